"""What happened in a call, in order: every event is numbered and dated here before anybody is told."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.events import Event, ToolCallsRequested
from server.clock import Clock
from server.protocol import to_json
from server.ring import Entry
from server.wire import CallFacts, Stamp, to_wire


class Journal:
    """The events of one call. ``seq`` counts from 1 without holes; ``ts`` never goes back."""

    def __init__(self, call: CallFacts, clock: Clock, tell: Callable[[Entry], None], key: str = "") -> None:
        self._call = call
        self._key = key
        self._clock = clock
        self._tell = tell
        self._seq = 0

    def hand_over(self, call: CallFacts, key: str) -> None:
        """What happens from now on is for somebody else. ``key`` as in ``Entry``."""
        self._call, self._key = call, key

    def append(self, event: Event) -> Entry:
        """Number, date and tell an event."""
        self._seq += 1
        stamp = Stamp(self._seq, self._clock.epoch())
        message = to_wire(event, self._call, stamp, self._clock)
        msg_id = event.msg_id if isinstance(event, ToolCallsRequested) else ""
        entry = Entry(
            self._call.call_id, stamp.seq, stamp.ts, message.event, to_json(message), msg_id, self._key
        )
        self._tell(entry)
        return entry
