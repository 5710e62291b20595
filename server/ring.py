"""The last events of one call, in order: what an agent that was away can be told from any place on.

Pure. Bounded in number and in bytes; of more the oldest go, measurements of the audio before facts.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

MAX_EVENTS = 4000
MAX_BYTES = 1 << 20
MAX_METRICS = 1000
METRICS = "audio.metrics"
LAST = ("call.ended", "call.recording")
"""There is one of each, at the end of a call, and it may be larger than all else, for it holds all that was said: its
bytes do not push out the rest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it goes out."""

    call_id: str
    seq: int
    ts: float
    event: str
    """Its name on the wire."""
    data: bytes
    """The message, JSON."""
    msg_id: str = ""
    """Of tools that are asked for: their batch."""
    key: str = ""
    """Of the agent, or the line, that had the call."""


class Ring:
    """The events of one call. A cursor is the ``seq`` of the last event that somebody has; 0: none."""

    def __init__(
        self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES, max_metrics: int = MAX_METRICS
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_metrics = max_metrics
        self._facts: deque[Entry] = deque()
        self._metrics: deque[Entry] = deque()
        self._counted = 0
        self._lost_to = 0
        self.size = 0
        """Bytes of all that is kept."""
        self.last_seq = 0

    def __len__(self) -> int:
        return len(self._facts) + len(self._metrics)

    def append(self, entry: Entry) -> None:
        """Keep an event; its ``seq`` is larger than all before it."""
        (self._metrics if entry.event == METRICS else self._facts).append(entry)
        self.last_seq = entry.seq
        self._count(entry, 1)
        if len(self._metrics) > self._max_metrics:
            self._drop(self._metrics)
        while self._is_full and (self._metrics or len(self._facts) > 1):
            self._drop(self._metrics or self._facts)

    @property
    def _is_full(self) -> bool:
        return len(self) > self._max_events or self._counted > self._max_bytes

    def _drop(self, oldest_of: deque[Entry]) -> None:
        entry = oldest_of.popleft()
        self._count(entry, -1)
        if oldest_of is self._facts:
            self._lost_to = entry.seq

    def _count(self, entry: Entry, sign: int) -> None:
        self.size += sign * len(entry.data)
        if entry.event not in LAST:
            self._counted += sign * len(entry.data)

    def since(self, cursor: int) -> Iterator[Entry]:
        """What came after, as far as it is kept, in order."""
        facts, metrics = _after(self._facts, cursor), _after(self._metrics, cursor)
        if not metrics:
            return iter(facts)
        return heapq.merge(facts, metrics, key=lambda entry: entry.seq)

    def lost_since(self, cursor: int) -> int:
        """How many events after it had to go. Measurements that went alone do not count."""
        return max(0, self._lost_to - cursor)


def _after(entries: deque[Entry], cursor: int) -> list[Entry]:
    found = []
    for entry in reversed(entries):
        if entry.seq <= cursor:
            break
        found.append(entry)
    found.reverse()
    return found
