"""What has just happened in all calls, in one order: for whoever follows agents rather than one call.

Bounded in number and in bytes. A reader is a cursor into it; one that comes back too late is told of the gap, and finds
what it has missed in the logs of the calls. Of several nodes all have one order, which a ``Feed`` gives them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from server.bell import Bell
from server.envelopes import SUMMARY
from server.past import place_of
from server.ring import Entry

MAX_EVENTS: Final = 4000
MAX_BYTES: Final = 4 << 20
AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, its place among those of all calls, and whose it is."""

    place: int
    key: str
    entry: Entry
    elsewhere: bool = False
    """In a call of another node."""


@dataclass(frozen=True, slots=True)
class RecentPage:
    happened: list[Happened]
    resume_from: int = 0
    """What came before this place is gone, wanted or not; 0: nothing is missing."""


class Feed(Protocol):
    """What happens at all nodes. It ``put``s what it is told of into the ``Recent`` that it was made for, in the order
    that all have, while somebody reads there."""

    def tell(self, key: str, entry: Entry, *, elsewhere: bool) -> None:
        """It happened here, or is told here in another node's place."""

    async def begin(self) -> None:
        """Somebody reads: until what is kept is there."""

    def end(self) -> None:
        """He reads no more."""

    def forget(self, call_ids: Collection[str]) -> None:
        """Nothing of these calls is told any more, at any node."""


class Recent:
    """The last events. Places grow, also from one process to the next."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._kept: deque[Happened] = deque()
        self._size = 0
        self._gone_to = 0
        self._begun = False
        self.last = 0
        """The place of the last event."""
        self._readers: set[RecentReader] = set()
        self.feed: Feed | None = None
        """None: there are no other nodes."""

    def add(self, key: str, entry: Entry, *, elsewhere: bool = False) -> None:
        """It happened here. ``key``: of the agent that it concerns; ``elsewhere``: in a call that another node had."""
        if self.feed is None:
            self.put(key, entry, place_of(entry), elsewhere=elsewhere)
        else:
            self.feed.tell(key, entry, elsewhere=elsewhere)

    def put(self, key: str, entry: Entry, place: int, *, elsewhere: bool = False) -> None:
        """It is the last that happened. ``place``: at least this one."""
        self.last = max(self.last + 1, place)
        if not self._begun:
            # Whoever was told something before was so by another process.
            self._begun, self._gone_to = True, self.last - 1
        self._kept.append(Happened(self.last, key, entry, elsewhere))
        self._size += len(entry.data)
        while len(self._kept) > self._max_events or (self._size > self._max_bytes and len(self._kept) > 1):
            gone = self._kept.popleft()
            self._size -= len(gone.entry.data)
            self._gone_to = gone.place
        for reader in self._readers:
            if reader.wants(key):
                reader.bell.set()

    def begin_anew(self) -> None:
        """Nothing is known of what has happened."""
        self._kept.clear()
        self._size = self._gone_to = self.last = 0
        self._begun = False

    @asynccontextmanager
    async def following(self, keys: Collection[str] | None, after: int | None) -> AsyncIterator[RecentReader]:
        """The same as ``reading``, once it is there what happened at other nodes."""
        if self.feed is None:
            with self.reading(keys, after) as reader:
                yield reader
            return
        try:
            await self.feed.begin()
            with self.reading(keys, after) as reader:
                yield reader
        finally:
            self.feed.end()

    @contextmanager
    def reading(self, keys: Collection[str] | None, after: int | None) -> Iterator[RecentReader]:
        """Follow some agents, or all; from behind a place, or from here on."""
        reader = RecentReader(
            self, None if keys is None else frozenset(keys), self.last if after is None else after
        )
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            reader.bell.close()

    def behind(self, place: int) -> tuple[list[Happened], int]:
        """What came after, and where that begins if something before it is gone; else 0."""
        found: list[Happened] = []
        for happened in reversed(self._kept):
            if happened.place <= place:
                break
            found.append(happened)
        return found[::-1], self._gone_to + 1 if 0 < place < self._gone_to else 0

    def forget(self, call_ids: Collection[str]) -> None:
        """Nothing of these calls is told any more at other nodes."""
        if self.feed is not None:
            self.feed.forget(call_ids)

    def drop(self, call_ids: Collection[str]) -> None:
        """They are not kept here any more."""
        gone = frozenset(call_ids)
        self._kept = deque(happened for happened in self._kept if happened.entry.call_id not in gone)
        self._size = sum(len(happened.entry.data) for happened in self._kept)

    def firsts(self) -> list[Happened]:
        """Of each call that is not over, as far as that is known here: how it began."""
        first: dict[str, Happened] = {}
        for happened in self._kept:
            entry = happened.entry
            if entry.event == SUMMARY:
                first.pop(entry.call_id, None)
            elif entry.call_id not in first or entry.event == "call.started":
                first[entry.call_id] = happened
        return list(first.values())

    def close(self) -> None:
        """Let everybody see that this is the end."""
        for reader in self._readers:
            reader.bell.set()


class RecentReader:
    """A cursor. ``after``: the place of what was read last."""

    def __init__(self, recent: Recent, keys: frozenset[str] | None, after: int) -> None:
        self._recent = recent
        self._keys = keys
        self.after = after
        self.bell = Bell(rung=True)

    def wants(self, key: str) -> bool:
        return self._keys is None or key in self._keys

    def read(self) -> RecentPage:
        """What has come, which may be nothing; at most so much as is told at once."""
        self.bell.clear()
        found, resume_from = self._recent.behind(self.after)
        if len(found) > AT_ONCE:
            found = found[:AT_ONCE]
            self.bell.set()
        if found:
            self.after = found[-1].place
        elif resume_from:
            self.after = resume_from - 1
        return RecentPage([happened for happened in found if self.wants(happened.key)], resume_from)

    async def wait(self, patience_s: float) -> bool:
        """Until there may be more. False: there was nothing for so long."""
        return await self.bell.wait(patience_s)
