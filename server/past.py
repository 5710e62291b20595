"""Calls that are over: the port to wherever they are kept, and the memory of this process as the simplest such place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from server.ring import Entry, Ring
from server.summary import CallSummary
from server.waveform import Strip, Waveform

ENTRY_BYTES = 250
"""What an event costs in memory beside its text."""


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
class PastCall:
    """All that is kept of a call."""

    summary: CallSummary
    events: Ring
    waveform: Waveform | None = None
    recording: Path | None = None

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        drawn = self.waveform.size if self.waveform is not None else 0
        return self.events.size + ENTRY_BYTES * len(self.events) + drawn


class CallStore(Protocol):
    """Where ended calls are kept. Reading may wait for a disk or a database; keeping never does."""

    def keep(self, call: PastCall) -> Sequence[str]:
        """Take a call that has just ended; returns the ids of those that had to go for it."""

    async def newest(self, limit: int, slug: str | None) -> Sequence[CallSummary]:
        """The calls that ended last, of one agent or of all, the newest first."""

    async def find(self, call_id: str) -> CallSummary | None:
        """None: no such call is kept."""

    async def events(self, call_id: str, after: int, limit: int) -> Page | None:
        """At most ``limit`` events behind ``after``."""

    async def waveform(self, call_id: str, from_ms: int) -> Strip | None:
        """All behind ``from_ms``. None: it was not measured, or the call is not kept."""

    async def recording(self, call_id: str) -> Path | None:
        """The file; None: there is none."""


class MemoryStore:
    """The last ended calls, in this process: bounded in number and in bytes; of more the oldest go."""

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._calls: OrderedDict[str, PastCall] = OrderedDict()
        self.size = 0
        """Bytes of all that is kept, about."""

    def __len__(self) -> int:
        return len(self._calls)

    def keep(self, call: PastCall) -> list[str]:
        gone: list[str] = []
        self._drop(call.summary.call_id)
        self._calls[call.summary.call_id] = call
        self.size += call.size
        while self._calls and (len(self._calls) > self._max_calls or self.size > self._max_bytes):
            oldest = next(iter(self._calls))
            self._drop(oldest)
            gone.append(oldest)
        return gone

    def _drop(self, call_id: str) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            self.size -= call.size

    async def newest(self, limit: int, slug: str | None) -> list[CallSummary]:
        of_agent = (
            call.summary for call in reversed(self._calls.values()) if slug in (None, call.summary.slug)
        )
        return list(islice(of_agent, limit))

    async def find(self, call_id: str) -> CallSummary | None:
        call = self._calls.get(call_id)
        return call.summary if call is not None else None

    async def events(self, call_id: str, after: int, limit: int) -> Page | None:
        call = self._calls.get(call_id)
        return page_of(call.events, after, limit, over=True) if call is not None else None

    async def waveform(self, call_id: str, from_ms: int) -> Strip | None:
        call = self._calls.get(call_id)
        return call.waveform.strip(from_ms) if call is not None and call.waveform is not None else None

    async def recording(self, call_id: str) -> Path | None:
        call = self._calls.get(call_id)
        return call.recording if call is not None else None


def page_of(events: Ring, after: int, limit: int, *, over: bool) -> Page:
    """A part of a ring."""
    entries = list(islice(events.since(after), limit))
    return Page(entries, events.last_seq, events.lost_since(after), over)
