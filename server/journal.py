"""What happened in a call, in order: every event is numbered and dated here before anybody is told."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.events import (
    BotFinished,
    BotSpeaking,
    Event,
    MessageAborted,
    MessageConfirmed,
    ToolCallsRequested,
)
from server.clock import Clock
from server.protocol import AnyCallEvent, to_json
from server.ring import Entry
from server.wire import CallFacts, Stamp, to_wire

MAX_BEGUN = 8
"""Messages that are heard and have not come to their end: one, and what a bug would leave."""


class Journal:
    """The events of one call. ``seq`` counts from 1 without holes; ``ts`` never goes back."""

    def __init__(self, call: CallFacts, clock: Clock, tell: Callable[[Entry], None], key: str = "") -> None:
        self._call = call
        self._key = key
        self._clock = clock
        self._tell = tell
        self._seq = 0
        self._begun: dict[str, tuple[int, str]] = {}
        """Of each message that is being heard: where that was told, and with what text."""

    def hand_over(self, call: CallFacts, key: str) -> None:
        """What happens from now on is for somebody else. ``key`` as in ``Entry``."""
        self._call, self._key = call, key

    def append(self, event: Event) -> Entry:
        """Number, date and tell an event."""
        self._seq += 1
        stamp = Stamp(self._seq, self._clock.epoch())
        message = self._corrected(event, to_wire(event, self._call, stamp, self._clock))
        msg_id = event.msg_id if isinstance(event, ToolCallsRequested) else ""
        entry = Entry(
            self._call.call_id, stamp.seq, stamp.ts, message.event, to_json(message), msg_id, self._key
        )
        self._tell(entry)
        return entry

    def _corrected(self, event: Event, message: AnyCallEvent) -> AnyCallEvent:
        """What was heard of a message says which event it puts right, so that each stands for itself."""
        match event:
            case BotSpeaking():
                self._begun[event.message_id] = (self._seq, event.text)
                if len(self._begun) > MAX_BEGUN:
                    del self._begun[next(iter(self._begun))]
            case BotFinished():
                # It is told here already: whoever reads that a message is over need not wait for what it was.
                seq, text = self._begun.get(event.message_id, (0, ""))
                if seq and event.text.split() != text.split():
                    return message.model_copy(update={"corrects": seq, "text": event.text})
            case MessageConfirmed() | MessageAborted():
                seq, text = self._begun.pop(event.message_id, (0, ""))
                heard = event.text if isinstance(event, MessageConfirmed) else None
                if seq and (heard is None or heard.split() != text.split()):
                    return message.model_copy(update={"corrects": seq})
        return message
