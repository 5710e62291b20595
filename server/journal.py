"""What happened in a call, in order: every event is numbered and dated here before anybody is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.events import Event
from server.clock import Clock
from server.protocol import to_json
from server.wire import CallFacts, Stamp, to_wire


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it goes out."""

    seq: int
    ts: float
    data: bytes
    """The message, JSON."""


class Journal:
    """The events of one call. ``seq`` counts from 1 without holes; ``ts`` never goes back."""

    def __init__(self, call: CallFacts, clock: Clock, tell: Callable[[Entry], None]) -> None:
        self._call = call
        self._clock = clock
        self._tell = tell
        self._seq = 0

    def append(self, event: Event) -> Entry:
        """Number, date and tell an event."""
        self._seq += 1
        stamp = Stamp(self._seq, self._clock.epoch())
        entry = Entry(stamp.seq, stamp.ts, to_json(to_wire(event, self._call, stamp, self._clock)))
        self._tell(entry)
        return entry
