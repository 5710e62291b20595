"""What is to be said: the messages of the agent and of the call's own mind, taken or refused, continued, ended and
cancelled.

Like the session it acts and does not decide. How what is said sounds, and how much of it was heard, is not its
business: see ``pipeline.speaking`` and ``pipeline.playing``.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from pipeline import turns
from pipeline.absence import Greeted
from pipeline.answering import Answering
from pipeline.events import AbortReason, BotInterrupted, Event, MessageAborted, ReplyRejected
from pipeline.message import Message, Placed
from pipeline.playing import Playing
from pipeline.speech import SpeechQueue
from pipeline.telling import Telling

STREAM_IDLE_S = 15.0
"""A streamed message of which nothing more has come for so long, with all of it heard, is taken as complete."""


class Sayer(Protocol):
    """The call, as far as what is said in it is concerned."""

    @property
    def ended(self) -> bool: ...

    def emit(self, event: Event) -> None: ...

    def moved(self) -> None:
        """Something has changed: do what is due."""


class Saying:
    """Of one call."""

    def __init__(
        self,
        call: Sayer,
        machine: turns.TurnMachine,
        speech: SpeechQueue,
        playing: Playing,
        answering: Answering,
        telling: Telling,
    ) -> None:
        self._call = call
        self._machine = machine
        self._speech = speech
        self._playing = playing
        self._answering = answering
        self._telling = telling
        self._loop = asyncio.get_running_loop()
        self._greeted = Greeted()
        self.taken_over = False
        """A person speaks in the bot's place: what its agent says is not taken."""
        self._dry: Message | None = None
        self._dry_since = 0.0

    @property
    def reply_to(self) -> str:
        """The id of the user's message that is to be answered now."""
        return self._machine.reply_to

    # --- what the agent says ------------------------------------------------------------------------------

    def reply(
        self, message_id: str, text: str, in_reply_to: str, *, known: bool = False, interruptible: bool = True
    ) -> Placed:
        """Say a text; a stale answer is refused. ``known``: the language model is to know of it.
        ``interruptible``: the user may silence it."""
        return self._place(Message(message_id, text, in_reply_to, known=known, interruptible=interruptible))

    def stream_start(self, message_id: str, in_reply_to: str, *, interruptible: bool = True) -> Placed:
        """Begin a message whose text comes in pieces."""
        message = Message(message_id, "", in_reply_to, streamed=True, complete=False)
        message.interruptible = interruptible
        return self._place(message)

    def _place(self, message: Message) -> Placed:
        self._answering.readiness.opened()  # The greeting comes first.
        refused = self._refusal(message.message_id, message.in_reply_to)
        if refused:
            return Placed(refused=refused)
        message.turn = self._machine.turn_of(message.in_reply_to)
        if self._greeted.repeats(message, self._loop.time()):
            self._drop_unasked(message.message_id, "duplicate_greeting")
            return Placed()
        self.say(message)
        return Placed(self._speech.place_of(message.message_id))

    def stream_chunk(self, message_id: str, token: str) -> Placed:
        """More of a streamed message. One that is over or was refused is left alone: its sender learns of
        that by an event, and may have sent more before."""
        message = self._open_stream(message_id)
        if message is None:
            return Placed()
        self.append(message, token)
        place = self._speech.place_of(message_id)
        return Placed(place) if place else Placed(refused="message_too_long")

    def stream_end(self, message_id: str) -> bool:
        """The text of a streamed message is complete. False: there is no such stream."""
        message = self._open_stream(message_id)
        if message is not None:
            self.finish(message)
            self._call.moved()
        return message is not None

    def finish_streams(self) -> None:
        """The agent is gone: what it has begun to say ends with what there is."""
        for message in self._speech.open_streams():
            if message.own:
                continue  # The call's own mind is still at it.
            self.finish(message)
        self._call.moved()

    def _open_stream(self, message_id: str) -> Message | None:
        """A message of the agent whose text is not complete."""
        message = self._speech.find(message_id) if not self._call.ended else None
        if message is None or not message.streamed or message.complete or message.own:
            return None
        return message

    # --- refusals -----------------------------------------------------------------------------------------

    def _refusal(self, message_id: str, in_reply_to: str) -> str:
        """Why a message is not taken, which is told; empty: it is."""
        if self._call.ended:
            return "call_ended"
        if in_reply_to and in_reply_to != self._machine.reply_to:
            reason = "message_obsolete"
        elif self._speech.find(message_id) is not None:
            reason = "duplicate_message_id"
        elif self.taken_over:
            reason = "taken_over"
        elif self._speech.full:
            reason = "queue_full"
        else:
            return ""
        if reason in ("queue_full", "taken_over") and not in_reply_to:
            self._drop_unasked(message_id, "cancelled")
        else:
            self._reject(message_id, in_reply_to, reason)
        return reason

    def _drop_unasked(self, message_id: str, reason: AbortReason) -> None:
        """Whoever says something unasked waits for its end, and learns of it by this."""
        turn = self._machine.turn
        self._call.emit(BotInterrupted(turn, message_id, 0, 0, None, "cancelled"))
        self._call.emit(MessageAborted(turn, message_id, reason))

    def _reject(self, message_id: str, in_reply_to: str, reason: str) -> None:
        expected = self._machine.reply_to
        self._call.emit(ReplyRejected(self._machine.turn, message_id, in_reply_to, expected, reason))

    # --- whoever says it ----------------------------------------------------------------------------------

    def say(self, message: Message) -> None:
        """Queue a message that nothing speaks against."""
        now = self._loop.time()
        self._answering.knows(message)
        self._greeted.said(message)
        self._telling.queued(message, now)
        self._playing.tell(self._speech.add(message, first=message.holding), now)
        self._call.moved()

    def append(self, message: Message, token: str) -> None:
        """More of a message whose text comes in pieces."""
        self._telling.text_came(message, self._loop.time())
        if not self._speech.append(message, token):
            self._reject(message.message_id, message.in_reply_to, "message_too_long")
            self.cancel(message.message_id)
        self._call.moved()

    def finish(self, message: Message, *, broken: bool = False) -> None:
        """The text of a message that came in pieces is complete; ``broken``: what is no whole sentence is
        dropped."""
        self._playing.tell(self._speech.finish(message, broken=broken), self._loop.time())

    def taken_back(self, message: Message) -> None:
        """Nothing of a message was heard, and nothing more is told of it."""
        self._telling.taken_back(message)

    @property
    def next(self) -> str:
        """The id of the message that is being heard, or else of the one that would be next."""
        message = self._speech.head
        return message.message_id if message is not None else ""

    def is_a_persons(self, message_id: str) -> bool:
        """It is what a person beside the bot says, and not the agent's to stop."""
        return message_id in self._speech.of_people()

    def clear(self) -> tuple[list[str], list[str]]:
        """Stop everything, also the answer in the making, but not what a person beside the bot says. Returns what was
        stopped, and what goes on."""
        stopped, kept = self._speech.of_others(), self._speech.of_people()
        if kept:
            self._answering.stop()
            for message_id in stopped:
                self.cancel(message_id)
        else:
            self.cancel(None)
        return stopped, kept

    def cancel(self, message_id: str | None) -> bool:
        """Stop one message, or everything. False: there is no such message."""
        if self._call.ended:
            return False
        now = self._loop.time()
        self._playing.progress(now)
        if message_id is None:
            self._playing.cut(now, "cancelled", "cancelled")
            return True
        message = self._speech.find(message_id)
        if message is None:
            return False
        self._playing.cut_one(message, now)
        self._answering.silenced(message_id)
        self._call.moved()
        return True

    # --- what happens meanwhile ---------------------------------------------------------------------------

    def change_hands(self) -> None:
        """Another agent has the call from now on, which has not greeted yet."""
        self._greeted = Greeted()

    def announced_again(self) -> None:
        """The agent was told of the call as of a new one: it may greet once more."""
        self._greeted.announced_again(self._loop.time())

    def note(self, event: Event) -> None:
        """See what became of what was said."""
        if isinstance(event, MessageAborted):
            self._greeted.unheard(event.message_id)

    def end_dry(self, now: float) -> None:
        """A stream that its agent never ends would keep the floor for ever."""
        message = self._speech.dry()
        if message is not self._dry:
            self._dry, self._dry_since = message, now
        elif message is not None and now - self._dry_since >= STREAM_IDLE_S:
            self.finish(message)
