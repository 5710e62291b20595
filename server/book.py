"""What can be seen of calls: those that are live and those that have ended, and whoever follows them.

The registry of calls tells the book when one rings, what happens in it (as to any watcher) and when it is over. A
reader is a cursor into a call's log and a bell that is rung when there is more: whoever reads slowly costs nothing,
and finds in the end that some of it is not kept any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pipeline.monitor import Listener
from server.bell import Bell
from server.call import Call
from server.clock import Clock
from server.envelopes import forget_lately
from server.followed import Followed
from server.narration import narrated
from server.past import (
    AgentPage,
    CallQuery,
    CallStore,
    Page,
    PastCall,
    Place,
    StoreUnavailable,
    page_of,
    told_in,
)
from server.recent import Recent
from server.ring import Entry
from server.summary import CallSummary, PastSummary
from server.tally import Tally
from server.transcript import NAMES, Told, timed, told
from server.waveform import Strip, Waveform

Summary = CallSummary | PastSummary

MAX_CHANGED = 10_000
"""Calls that changed while a follower of the list was not reading; then it has to begin anew."""
PAGE = 500
OFTEN_S = 1.0
"""So often the log of an agent is looked at while other nodes cannot tell that it has more."""
SELDOM_S = 15.0
"""The same while they can."""


class _Seen:
    """A call that is not over yet."""

    def __init__(self, call: Call, book: CallBook) -> None:
        self.call = call
        self.summary = CallSummary(call.facts, call.slug, book.now())
        self.tally = Tally()
        self.last: Entry | None = None
        self.waveform: Waveform | None = None
        self.bells: set[Bell] = set()
        self._book = book

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """What a watcher of the call is told."""
        if entry is not None:
            changed = self.summary.add(entry)
            self.tally.add(entry)
            self.last = entry
            self._book.store.add(self.summary, entry)
            self._book.recent.add(entry.key or self.call.slug, entry)
            if changed:
                self._book.changed(self.summary)
            self.ring()
        return True

    def sum_up(self) -> None:
        """Close the log with what all of it comes to. Its agent is not told: what it knows ends with the call."""
        if self.last is not None:
            entry = self.tally.entry(self.last, self._book.now())
            self.call.events.append(entry)
            self.offer(entry.data, entry)

    def ring(self) -> None:
        for bell in self.bells:
            bell.set()


class Changes:
    """What became of the list of calls since somebody looked."""

    def __init__(self) -> None:
        self.news = Bell()
        self.overflowed = False
        self._changed: dict[str, Summary | None] = {}

    def note(self, call_id: str, summary: Summary | None) -> None:
        if len(self._changed) >= MAX_CHANGED:
            self.overflowed = True
        else:
            self._changed[call_id] = summary
        self.news.set()

    async def wait(self, patience_s: float) -> bool:
        """Until there is something to take. False: there was nothing for so long."""
        return await self.news.wait(patience_s)

    def take(self) -> dict[str, Summary | None]:
        """The calls that changed; None: it is not in the list any more."""
        self.news.clear()
        changed, self._changed = self._changed, {}
        return changed


class CallBook:
    """All calls of the process that can be looked at. ``drawn``: with their waveforms."""

    def __init__(self, store: CallStore, clock: Clock, *, drawn: bool) -> None:
        self.store = store
        self._epoch = clock.epoch
        self._drawn = drawn
        self._loop = asyncio.get_running_loop()
        self._live: dict[str, _Seen] = {}
        self._followers: set[Changes] = set()
        self.elsewhere: Callable[[], Iterable[PastSummary]] = tuple
        """The live calls of other nodes."""
        self._bells: set[Bell] = set()
        self._agent_bells: dict[str, set[Bell]] = {}
        store.on_noted = self._noted
        self.tell_noted: Callable[[Collection[str]], None] = lambda slugs: None
        """Tells other nodes that the logs of agents, by slug, have more."""
        self.woken: Callable[[], bool | None] = lambda: None
        """Whether other nodes tell the same now. None: there are none."""
        self.recent = Recent()
        self.followed = Followed()
        self.closed = False
        """The server stops: nobody follows anything any more."""

    def now(self) -> float:
        """Epoch seconds."""
        return self._epoch()

    # --- told by the registry -----------------------------------------------------------------------------

    def rang(self, call: Call) -> None:
        """A call is there."""
        seen = self._live[call.call_id] = _Seen(call, self)
        call.watch(seen)
        self.changed(seen.summary)

    def listener(self, call: Call, sample_rate_hz: int) -> Listener | None:
        """Its audio begins."""
        seen = self._live.get(call.call_id)
        if seen is None:
            return None
        if self._drawn:
            seen.waveform = Waveform(sample_rate_hz, self._loop.time, self._epoch)
        return seen.waveform

    def over(self, call: Call, *, recorded: bool = False) -> None:
        """It is over, and all was told of it. One that nobody was told of leaves nothing."""
        seen = self._live.pop(call.call_id, None)
        if seen is None:
            return
        call.unwatch(seen)
        seen.sum_up()
        summary = seen.summary
        summary.recording = recorded
        if seen.waveform is not None:
            seen.waveform.over = True
        if not summary.last_seq:
            self.gone((call.call_id,))
        else:
            summary.close()
            past = summary.past()
            self.changed(past)
            self.gone(self.store.keep(PastCall(past, call.events, seen.waveform)))
        seen.ring()

    def closed_for_another(self, summary: PastSummary, added: Iterable[Entry]) -> None:
        """A call whose server was killed was closed here; ``added``: to its log."""
        self.changed(summary)
        for entry in added:
            self.recent.add(summary.slug, entry, elsewhere=True)

    def changed(self, summary: Summary) -> None:
        for follower in self._followers:
            follower.note(summary.call_id, summary)

    def gone(self, call_ids: Iterable[str]) -> None:
        """They are not in the list any more."""
        for call_id in call_ids:
            for follower in self._followers:
                follower.note(call_id, None)

    def forget(self, call_ids: Collection[str]) -> None:
        """They are deleted: nothing of them is told any more."""
        self.recent.forget(call_ids)
        self.forgotten(call_ids)

    def forgotten(self, call_ids: Collection[str]) -> None:
        """They were deleted, at whatever node."""
        self.gone(call_ids)
        self.recent.drop(call_ids)
        forget_lately()
        narrated.cache_clear()

    def _noted(self, slugs: Collection[str]) -> None:
        self.noted(slugs)
        self.tell_noted(slugs)

    def noted(self, slugs: Collection[str] | None) -> None:
        """The logs of these agents have more, at whatever node that was written. None: any may have."""
        for slug in self._agent_bells.keys() if slugs is None else slugs:
            for bell in self._agent_bells.get(slug, ()):
                bell.set()

    @property
    def poll_s(self) -> float | None:
        """So often it is looked whether the log of an agent has more that nobody has told of. None: never."""
        woken = self.woken() if self.store.durable else None
        if woken is None:
            return self.store.poll_s
        return SELDOM_S if woken else OFTEN_S

    def close(self) -> None:
        """Let everybody go who follows something."""
        self.closed = True
        self.recent.close()
        for bell in self._bells:
            bell.set()

    # --- looking ------------------------------------------------------------------------------------------

    def live_here(self) -> list[CallSummary]:
        """Those of this node, the newest first."""
        return [seen.summary for seen in reversed(self._live.values())]

    def live(self, query: CallQuery | None = None) -> list[Summary]:
        """Those of all nodes, the newest first."""
        wanted, here, elsewhere = query or CallQuery(), self.live_here(), list(self.elsewhere())
        summaries: list[Summary] = [*here, *elsewhere]
        if elsewhere:
            summaries.sort(key=lambda summary: summary.created_at, reverse=True)
        return [summary for summary in summaries if wanted.wants(summary)]

    async def ended(
        self, limit: int, query: CallQuery | None = None, before: Place | None = None
    ) -> list[PastSummary]:
        """Those that ended last; ``before``: behind this place in the list. Raises ``StoreUnavailable``, as all that
        follows."""
        return list(await self.store.newest(limit, query or CallQuery(), before))

    def first(self, call_id: str) -> Entry | None:
        """How a live call began. None: nobody was told of it yet, or it is not here."""
        seen = self._live.get(call_id)
        return seen.call.first if seen is not None else None

    def is_live(self, call_id: str) -> bool:
        """It is here, and goes on."""
        return call_id in self._live

    async def find(self, call_id: str) -> Summary | None:
        """None: there is no such call, or it is not kept any more."""
        seen = self._live.get(call_id)
        return seen.summary if seen is not None else await self.store.find(call_id)

    async def page(self, call_id: str, after: int, limit: int = PAGE) -> Page | None:
        """A part of a call's log, behind an event."""
        page = self.page_in_memory(call_id, after, limit)
        if page is None:
            return await self.store.events(call_id, after, limit)
        if not page.lost or not self.store.durable:
            return page
        # It has gone out of memory, and is kept nevertheless.
        kept = await self.store.events(call_id, after, limit)
        if kept is not None and kept.lost:
            return page
        if kept is None or not kept.entries:
            raise StoreUnavailable("these events are on their way to the database")
        return replace(kept, last_seq=max(kept.last_seq, page.last_seq), over=False)

    def page_in_memory(self, call_id: str, after: int, limit: int = PAGE) -> Page | None:
        """The same of a live call, with what is lost of it in memory. None: it is not live."""
        seen = self._live.get(call_id)
        return page_of(seen.call.events, after, limit, over=False) if seen is not None else None

    async def told(self, call_id: str, names: Sequence[str]) -> list[Entry]:
        """All events of a call that have these names, as far as they are kept, in order."""
        seen = self._live.get(call_id)
        if seen is None:
            return list(await self.store.told(call_id, names))
        ring = seen.call.events
        found: dict[int, Entry] = {}
        if ring.lost_since(0) and self.store.durable:
            found = {entry.seq: entry for entry in await self.store.told(call_id, names)}
        found |= {entry.seq: entry for entry in told_in(ring, names)}
        return [found[seq] for seq in sorted(found)]

    async def transcript(self, call_id: str) -> Told:
        """What was said, as far as it is known by now."""
        known = told(await self.told(call_id, NAMES))
        said = None if call_id in self._live else await self.store.said(call_id)
        return known if said is None else Told(tuple(timed(said, known.lines)), known.recording_ms)

    async def recorded(self, call_id: str) -> Mapping[str, Any] | None:
        """What was told of the recording of a call that is over."""
        return None if call_id in self._live else await self.store.recorded(call_id)

    async def waveform(self, call_id: str, from_ms: int) -> Strip | None:
        """None: it has no audio yet, or is not drawn."""
        seen = self._live.get(call_id)
        if seen is not None:
            return seen.waveform.strip(from_ms) if seen.waveform is not None else None
        return await self.store.waveform(call_id, from_ms)

    # --- following ----------------------------------------------------------------------------------------

    @contextmanager
    def changes(self) -> Iterator[Changes]:
        """Follow the list, from here on."""
        changes = Changes()
        self._followers.add(changes)
        self._bells.add(changes.news)
        try:
            yield changes
        finally:
            self._followers.discard(changes)
            self._bells.discard(changes.news)
            changes.news.close()

    @contextmanager
    def reading_agents(self, slugs: Collection[str], after: int) -> Iterator[AgentReader]:
        """Follow how the calls of agents come and go, from behind a place."""
        reader = AgentReader(self, frozenset(slugs), after)
        bells = [self._bells, *(self._agent_bells.setdefault(slug, set()) for slug in reader.slugs)]
        for among in bells:
            among.add(reader.bell)
        try:
            yield reader
        finally:
            for among in bells:
                among.discard(reader.bell)
            for slug in reader.slugs:
                if not self._agent_bells.get(slug, True):
                    del self._agent_bells[slug]
            reader.bell.close()

    @contextmanager
    def reading(self, call_id: str, after: int) -> Iterator[Reader]:
        """Follow a call from behind an event."""
        reader = Reader(self, call_id, after)
        seen = self._live.get(call_id)
        bells = [self._bells] if seen is None else [self._bells, seen.bells]
        for among in bells:
            among.add(reader.bell)
        try:
            yield reader
        finally:
            for among in bells:
                among.discard(reader.bell)
            reader.bell.close()


class Reader:
    """A cursor into the log of one call."""

    def __init__(self, book: CallBook, call_id: str, after: int) -> None:
        self._book = book
        self._call_id = call_id
        self.after = after
        """The last event that was read."""
        self.bell = Bell(rung=True)

    def wait(self, patience_s: float) -> Coroutine[None, None, bool]:
        """Until there may be more. False: there was nothing for so long."""
        poll_s = self._book.store.poll_s
        if poll_s is None or poll_s >= patience_s or self._book.is_live(self._call_id):
            return self.bell.wait(patience_s)
        return self._poll(poll_s)

    async def _poll(self, poll_s: float) -> bool:
        await self.bell.wait(poll_s)  # Another server may have it.
        return True

    async def rest(self, patience_s: float) -> None:
        """Until something rings, at most so long."""
        self.bell.clear()
        await self.bell.wait(patience_s)

    async def read(self) -> Page | None:
        """What has come, which may be nothing; at most so much as is told at once. None: the call is not kept."""
        self.bell.clear()
        page = self._book.page_in_memory(self._call_id, self.after)
        if page is None or page.lost:
            page = await self._book.page(self._call_id, self.after)
        if page is not None and page.entries:
            self.after = page.entries[-1].seq
            if page.over or self.after < page.last_seq:
                self.bell.set()
        return page


class AgentReader:
    """A cursor into the log of some agents."""

    def __init__(self, book: CallBook, slugs: frozenset[str], after: int) -> None:
        self._book = book
        self.slugs = slugs
        self.after = after
        """The place of the last that was read."""
        self.bell = Bell(rung=True)

    async def wait(self, patience_s: float) -> bool:
        """Until there may be more. False: there was nothing for so long."""
        poll_s = self._book.poll_s
        if poll_s is None or poll_s >= patience_s:
            return await self.bell.wait(patience_s)
        await self.bell.wait(poll_s)
        return True

    async def read(self) -> AgentPage:
        """What has come, which may be nothing. Raises ``StoreUnavailable``."""
        self.bell.clear()
        page = await self._book.store.lifecycle(self.slugs, self.after, PAGE)
        if page.entries:
            self.after = page.entries[-1][0]
            if len(page.entries) == PAGE:
                self.bell.set()
        return page
