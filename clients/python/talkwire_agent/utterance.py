"""Something that is said on a call, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from talkwire_agent.pending import Pending

if TYPE_CHECKING:
    from talkwire_agent.call import Call

Outcome = Literal["finished", "interrupted", "rejected", "call_ended", "disconnected"]


@dataclass(frozen=True)
class Heard:
    """What the caller heard of a message.

    ``finished``: all of it. ``interrupted``: ``text`` is as far as it came. ``rejected``: the server did not
    take it, for the user has gone on. ``call_ended``: the call was over first. ``disconnected``: the client was
    closed, and it is not known.
    """

    outcome: Outcome
    text: str = ""
    """The words that began to be heard."""
    played_ms: int = 0
    """Audio that was heard, milliseconds."""
    reason: str = ""
    """Of an interruption ``early``, ``user_spoke`` or ``cancelled``; of a rejection ``message_obsolete`` or
    others."""

    @property
    def complete(self) -> bool:
        """All of it was heard."""
        return self.outcome == "finished"


class Utterance(Pending[Heard]):
    """A message that was sent. Await it to learn what was heard of it; that never raises."""

    def __init__(self, call: Call, message_id: str, text: str, in_reply_to: str) -> None:
        super().__init__()
        self.call = call
        self.id = message_id
        """Its ``message_id`` in all events."""
        self.text = text
        """What was to be said."""
        self.in_reply_to = in_reply_to
        """Message id of the turn that it answers; empty: it is said in any case."""
        self.words: list[str] = []
        """What began to be heard so far."""
        self.fields: dict[str, Any] | None = None
        """Its command, where that can be sent again."""
        self.seen = False
        """The server has told of it: it has arrived."""

    def cancel(self) -> None:
        """Stop it, spoken or waiting."""
        if not self.done:
            self.call.cancel(self.id)

    def ended(self, heard: Heard) -> None:
        """That was all of it."""
        self.seen = True
        self.settle(heard)
