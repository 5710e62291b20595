"""Calls that are kept: the port to wherever that is, and the memory of this process as the simplest such place."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, Final, Protocol

import orjson

from server.envelopes import LIFECYCLE, slug_of
from server.ring import Entry, Ring
from server.summary import CallSummary, PastSummary
from server.transcript import Role
from server.waveform import Strip, Waveform
from telephony.numbers import normalise

ENTRY_BYTES = 250
"""What an event costs in memory beside its text."""

RECORDED: Final = ("duration_ms", "format", "sample_rate", "channels", "started_at")
"""What is kept of a recording beside its file."""
MAX_LIFECYCLE = 10_000
"""Entries of all agents' logs that are kept in memory."""

Place = tuple[float, str]
"""Where a call that is over stands in the list: when it ended, and its id."""


class StoreUnavailable(Exception):
    """Whatever keeps the calls does not answer. Nothing is lost by that, and it is worth another try."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a call's log, behind a cursor."""

    entries: Sequence[Entry]
    last_seq: int
    """Of the call."""
    lost: int
    """Events behind the cursor that are not kept any more."""
    over: bool
    """The call has ended: there will be no others."""


@dataclass(frozen=True, slots=True)
class AgentPage:
    """A part of the log of agents, behind a cursor."""

    entries: Sequence[tuple[int, Entry]]
    """Events with their places."""
    kept_from: int = 0
    """What came before this place is not kept."""


def place_of(entry: Entry) -> int:
    """Where an event stands among those of other calls, if nothing came before: microseconds of the epoch. So a log that
    begins anew goes on behind the cursors of those who read the old one."""
    return int(entry.ts * 1e6)


@dataclass(frozen=True, slots=True)
class CallQuery:
    """Which calls are wanted; None: any. Numbers are compared however they are written."""

    slug: str | None = None
    from_: str | None = None
    to: str | None = None
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    """They were taken on at ``since`` or later, and before ``until``: epoch seconds."""

    def wants(self, call: CallSummary | PastSummary) -> bool:
        return (
            self.slug in (None, call.slug)
            and self.reason in (None, call.reason)
            and (self.from_ is None or normalise(self.from_) == normalise(call.facts.from_))
            and (self.to is None or normalise(self.to) == normalise(call.facts.to))
            and (self.since is None or call.created_at >= self.since)
            and (self.until is None or call.created_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class PastCall:
    """All that is kept of a call."""

    summary: PastSummary
    events: Ring
    waveform: Waveform | None = None

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        drawn = self.waveform.size if self.waveform is not None else 0
        return self.events.size + ENTRY_BYTES * len(self.events) + drawn


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted."""

    call_ids: tuple[str, ...] = ()
    events: int = 0


class CallStore(Protocol):
    """Where calls are kept. Reading may wait for a disk or a database, and raises ``StoreUnavailable`` where it waits in
    vain; being told of calls never waits."""

    durable: bool
    """It keeps events of live calls, too, and outlives the process."""
    poll_s: float | None
    """So often there may be something in it that this process did not put there; None: never."""
    on_noted: Callable[[Collection[str]], None]
    """Is told of which agents the log has more."""

    def add(self, call: CallSummary, entry: Entry) -> None:
        """An event of a live call, which ``call`` counts already."""

    def keep(self, call: PastCall) -> Sequence[str]:
        """Take a call that has just ended; returns the ids of those that had to go for it."""

    async def newest(
        self, limit: int, query: CallQuery, before: Place | None = None
    ) -> Sequence[PastSummary]:
        """The calls that ended last, the newest first; ``before``: only those that stand behind this place."""

    async def find(self, call_id: str) -> PastSummary | None:
        """None: no such call is kept."""

    async def events(self, call_id: str, after: int, limit: int) -> Page | None:
        """At most ``limit`` events behind ``after``; of a live call those that are kept by now."""

    async def told(self, call_id: str, names: Sequence[str]) -> Sequence[Entry]:
        """All events of these names, as far as they are kept, in order."""

    async def said(self, call_id: str) -> Sequence[tuple[Role, str]] | None:
        """The transcript of a call that is over. None: it is not, or is not kept."""

    async def recorded(self, call_id: str) -> Mapping[str, Any] | None:
        """What was told of its recording (``RECORDED``). None: nothing."""

    async def lifecycle(self, slugs: Collection[str], after: int, limit: int) -> AgentPage:
        """How calls of these agents come and go, behind a place."""

    async def waveform(self, call_id: str, from_ms: int) -> Strip | None:
        """All behind ``from_ms``. None: it was not measured, or the call is not kept."""

    async def forget(self, contact: str) -> Forgotten:
        """Delete all ended calls with somebody, by number, whichever side called."""


class MemoryStore:
    """The last ended calls, in this process: bounded in number and in bytes; of more the oldest go."""

    durable = False
    poll_s: float | None = None

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self.on_noted: Callable[[Collection[str]], None] = lambda slugs: None
        self._lifecycle: deque[tuple[int, str, Entry]] = deque()
        self._last_place = self._lost_to = 0
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._calls: OrderedDict[str, PastCall] = OrderedDict()
        self.size = 0
        """Bytes of all that is kept, about."""

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: CallSummary, entry: Entry) -> None:
        """Its events are in the call itself, until it ends."""
        if entry.event not in LIFECYCLE:
            return
        self._last_place = max(self._last_place + 1, place_of(entry))
        key = slug_of(orjson.loads(entry.data))
        self._lifecycle.append((self._last_place, key, entry))
        if len(self._lifecycle) > MAX_LIFECYCLE:
            self._lost_to = self._lifecycle.popleft()[0]
        self.on_noted((key,))

    def keep(self, call: PastCall) -> list[str]:
        gone: list[str] = []
        self.drop(call.summary.call_id)
        self._calls[call.summary.call_id] = call
        self.size += call.size
        while self._calls and (len(self._calls) > self._max_calls or self.size > self._max_bytes):
            oldest = next(iter(self._calls))
            self.drop(oldest)
            gone.append(oldest)
        return gone

    def drop(self, call_id: str) -> None:
        """It need not be kept any more."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            self.size -= call.size

    async def newest(self, limit: int, query: CallQuery, before: Place | None = None) -> list[PastSummary]:
        summaries = (call.summary for call in self._calls.values())
        wanted = [call for call in summaries if query.wants(call) and (before is None or call.place < before)]
        return in_order(wanted)[:limit]

    async def find(self, call_id: str) -> PastSummary | None:
        call = self._calls.get(call_id)
        return call.summary if call is not None else None

    async def events(self, call_id: str, after: int, limit: int) -> Page | None:
        call = self._calls.get(call_id)
        return page_of(call.events, after, limit, over=True) if call is not None else None

    async def told(self, call_id: str, names: Sequence[str]) -> list[Entry]:
        call = self._calls.get(call_id)
        return told_in(call.events, names) if call is not None else []

    async def said(self, call_id: str) -> list[tuple[Role, str]] | None:
        ends = [orjson.loads(entry.data) for entry in await self.told(call_id, ("call.ended",))]
        if not ends:
            return None
        return [(line["role"], line["content"]) for end in ends for line in end.get("transcript") or ()]

    async def recorded(self, call_id: str) -> Mapping[str, Any] | None:
        events = await self.told(call_id, ("call.recording",))
        event = orjson.loads(events[-1].data) if events else {}
        return {name: event.get(name) for name in RECORDED} if event else None

    async def lifecycle(self, slugs: Collection[str], after: int, limit: int) -> AgentPage:
        behind = takewhile(lambda noted: noted[0] > after, reversed(self._lifecycle))
        wanted = [(place, entry) for place, slug, entry in behind if slug in slugs]
        return AgentPage(wanted[::-1][:limit], self._lost_to + 1 if self._lost_to else 0)

    async def waveform(self, call_id: str, from_ms: int) -> Strip | None:
        call = self._calls.get(call_id)
        return call.waveform.strip(from_ms) if call is not None and call.waveform is not None else None

    def get(self, call_id: str) -> PastCall | None:
        return self._calls.get(call_id)

    async def forget(self, contact: str) -> Forgotten:
        known = normalise(contact)
        going = [call for call in self._calls.values() if normalise(call.summary.facts.contact) == known]
        for call in going:
            self.drop(call.summary.call_id)
        gone = {call.summary.call_id for call in going}
        self._lifecycle = deque(noted for noted in self._lifecycle if noted[2].call_id not in gone)
        return Forgotten(
            tuple(call.summary.call_id for call in going), sum(len(call.events) for call in going)
        )


def told_in(events: Ring, names: Sequence[str]) -> list[Entry]:
    """Those of a ring that have these names."""
    return [entry for entry in events.since(0) if entry.event in names]


def in_order(calls: Iterable[PastSummary]) -> list[PastSummary]:
    """As they are listed: what ended last comes first."""
    return sorted(calls, key=lambda call: call.place, reverse=True)


def page_of(events: Ring, after: int, limit: int, *, over: bool) -> Page:
    """A part of a ring."""
    entries = list(islice(events.since(after), limit))
    return Page(entries, events.last_seq, events.lost_since(after), over)
