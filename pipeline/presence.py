"""The agent's process, which goes away and comes back, or does not: what the caller hears meanwhile, and the last
word where the call ends for want of it.

Like the session it acts and does not decide: ``pipeline.absence`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline import turns
from pipeline.absence import FAREWELL_S, Absence
from pipeline.answering import Answering
from pipeline.config import SessionConfig
from pipeline.events import EndReason, Event, MessageAborted, MessageConfirmed
from pipeline.message import Message
from pipeline.saying import Saying
from pipeline.speech import SpeechQueue


class Attended(Protocol):
    """The call, as far as its agent's process is concerned."""

    @property
    def ended(self) -> bool: ...

    def guarded(self, act: Callable[[], None]) -> None:
        """Run what the loop calls: a bug in it ends the call."""

    def moved(self) -> None:
        """Something has changed: do what is due."""

    def end(self, reason: EndReason, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Parting:
    """The call ends when this message has been heard, at the latest then."""

    message_id: str
    by: float
    reason: EndReason
    detail: str


class Presence:
    """Of the agent of one call."""

    def __init__(
        self,
        call: Attended,
        machine: turns.TurnMachine,
        speech: SpeechQueue,
        answering: Answering,
        saying: Saying,
        config: SessionConfig,
        ids: Callable[[], str],
    ) -> None:
        self._call = call
        self._machine = machine
        self._speech = speech
        self._answering = answering
        self._saying = saying
        self._ids = ids
        self._loop = asyncio.get_running_loop()
        self._absence = Absence(config.away, config.holding_after_s)
        self._parting: _Parting | None = None

    def change(self, config: SessionConfig) -> None:
        """Deal otherwise with an absence from now on."""
        self._absence.change(config.away, config.holding_after_s)

    def left(self) -> None:
        """The agent's connection is lost."""
        self._absence.left(self._loop.time())
        self._saying.finish_streams()
        self._answering.readiness.agent_away()

    def back(self) -> None:
        """The agent has a connection again."""
        self._absence.back()
        self._answering.agent_back()
        self._call.moved()

    def gone(self) -> None:
        """The agent's process is given up: tools that it was to run fail, now and from now on."""
        self._absence.back()
        self._answering.agent_gone()

    @property
    def awaited(self) -> bool:
        """The call waits for the agent, which is away, and which alone could answer."""
        return self._absence.lasts and not self._answering.answers

    def bridge(self, now: float) -> None:
        """Tell the caller that it takes a while, where the agent that is to answer is away."""
        if self._saying.taken_over:
            return  # Somebody else is to answer.
        owed = self._machine.state is turns.State.BOT_PENDING and not self._answering.answers
        quiet = self._speech.empty and self._machine.floor_free
        text = self._absence.line(now, owed=owed and self._speech.empty, quiet=quiet)
        if text:
            self._saying.say(Message(self._new_id(), text, turn=self._machine.turn, holding=True))

    # --- the last word ------------------------------------------------------------------------------------

    def part(self, reason: EndReason, detail: str) -> None:
        """End the call for want of its agent, which the caller is told before where that is wished."""
        text = self._absence.farewell
        if not text or self._call.ended or self._parting is not None:
            self._call.end(reason, detail)
            return
        message = Message(self._new_id(), text, interruptible=False)  # Of no turn: it answers none.
        self._parting = _Parting(message.message_id, self._loop.time() + FAREWELL_S, reason, detail)
        self._answering.wind_up()
        self._answering.break_off()
        self._saying.say(message)

    def note(self, event: Event) -> None:
        """See whether the last word was heard."""
        if self._parting is None or not isinstance(event, MessageConfirmed | MessageAborted):
            return
        if event.message_id == self._parting.message_id and not self._call.ended:
            # In a turn of its own: who tells of it may be in the middle of what is done there.
            self._loop.call_soon(self._call.guarded, self._part)

    def keep(self, now: float) -> None:
        """End the call where its last word has taken too long."""
        if self._parting is not None and now >= self._parting.by:
            self._part()

    def _part(self) -> None:
        if self._parting is not None:
            self._call.end(self._parting.reason, self._parting.detail)

    @property
    def deadline(self) -> float | None:
        """When ``bridge`` or ``keep`` has something to do."""
        times = (self._absence.deadline, self._parting.by if self._parting is not None else None)
        return min((at for at in times if at is not None), default=None)

    def _new_id(self) -> str:
        return f"msg_{self._ids()[:12]}"
