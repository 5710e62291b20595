"""A person beside the bot: what he says, what he tells the model, and the time in which he has the conversation in the
bot's place.

Like the session it acts and does not decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline import turns
from pipeline.answering import Answering
from pipeline.events import (
    Event,
    HandoffActive,
    HandoffReleased,
    HandoffRequested,
    MessageAborted,
    MessageConfirmed,
    SupervisorSaid,
    SupervisorWhispered,
)
from pipeline.message import Message
from pipeline.saying import Saying
from pipeline.speech import SpeechQueue


class Watched(Protocol):
    """The call, as far as that is concerned."""

    @property
    def ended(self) -> bool: ...

    def emit(self, event: Event) -> None: ...

    def moved(self) -> None:
        """Something has changed: do what is due."""

    def answer_owed(self) -> None:
        """Have the call's own mind answer what the caller has said last, where nothing was heard in answer to it."""


class Supervised:
    """Of one call."""

    def __init__(
        self,
        call: Watched,
        machine: turns.TurnMachine,
        speech: SpeechQueue,
        saying: Saying,
        answering: Answering,
        ids: Callable[[], str],
    ) -> None:
        self._call = call
        self._machine = machine
        self._speech = speech
        self._saying = saying
        self._answering = answering
        self._ids = ids
        self.by: str | None = None
        """Who has taken the conversation over; None: the bot has it."""
        self._last = ""
        """The bot's message that is heard to its end first."""

    def say(self, text: str, by: str, *, interrupt: bool) -> tuple[str, int]:
        """Have a text spoken, as soon as nobody speaks; the model knows of it as far as it is heard. ``interrupt``: what
        the bot says, and what waits, is cut off for it. Returns the message's id and its place in the queue, from 1; 0:
        there was nothing in it to be spoken. No agent stops it. Raises ``ValueError`` where too much waits."""
        if interrupt:
            self._saying.cancel(None)
        if self._call.ended:  # What was due with that has ended it.
            raise ValueError("the call has just ended")
        if self._speech.full:
            raise ValueError("too many messages wait to be spoken")
        self._answering.readiness.opened()
        message = Message(f"msg_{self._ids()[:12]}", text, turn=self._machine.turn, known=True)
        message.by_person = True
        self._call.emit(SupervisorSaid(text, by, message.message_id))
        self._saying.say(message)
        return message.message_id, self._speech.place_of(message.message_id)

    def whisper(self, text: str, by: str) -> None:
        """Tell the call's own model something, from its next answer on. Raises ``ValueError`` where its history is
        full."""
        if self._answering.thinks:
            self._answering.dialogue.note(text)
        self._call.emit(SupervisorWhispered(text, by))

    def take_over(self, by: str, *, interrupt: bool) -> None:
        """From here on neither model nor agent is heard: what of them waits is dropped, and what the caller is hearing is
        heard to its end, unless ``interrupt``. The model is to be paused by then. Raises ``ValueError`` where somebody
        has it already."""
        if self.by is not None:
            raise ValueError(f"{self.by} has taken the call over already: release it first")
        self.by = by
        self._call.emit(HandoffRequested(by))
        self._saying.taken_over = True
        if interrupt:
            self._saying.clear()
        for message_id in self._speech.unheard():
            if not self._saying.is_a_persons(message_id):
                self._saying.cancel(message_id)
        if self._call.ended:
            return  # What was due with that has ended it.
        current = self._speech.current
        self._last = current.message_id if current is not None and not current.by_person else ""
        if not self._last:
            self._call.emit(HandoffActive(by))
        self._call.moved()

    def release(self, by: str) -> None:
        """The bot goes on, and knows what was said; the model is not paused any more, unless its agent wants it to be.
        Raises ``ValueError`` where nobody has taken it over."""
        if self.by is None:
            raise ValueError("nobody has taken the call over")
        self.by, self._last = None, ""
        self._saying.taken_over = False
        self._call.emit(HandoffReleased(by))
        self._call.answer_owed()
        self._call.moved()

    def note(self, event: Event) -> None:
        """See whether the bot's last word was heard."""
        over = isinstance(event, MessageConfirmed | MessageAborted) and event.message_id == self._last
        if over and self._last and self.by is not None:
            self._last = ""
            self._call.emit(HandoffActive(self.by))

    def change_hands(self) -> None:
        """Another agent has the call from now on: it is not the one to speak, either."""
        if self.by is not None:
            self._call.emit(HandoffActive(self.by))
