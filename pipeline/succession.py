"""A call that goes on with another agent: the one that has it is told the end of all that it had begun, and the next one
begins as on a new call. Audio path, recording, limits and the turn machine go on.

Like the session it acts and does not decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.answering import Answering
from pipeline.config import Engines, SessionConfig
from pipeline.events import CallEnded, CallHeld, CallStarted, EndReason, Event, HeldBy
from pipeline.listening import Listening
from pipeline.opening import Opening
from pipeline.playing import Playing
from pipeline.ports import ChatMessage
from pipeline.presence import Presence
from pipeline.saying import Saying
from pipeline.taping import Taping
from pipeline.telling import Telling
from pipeline.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Manner:
    """How a call is taken over."""

    other_ears: bool
    history: bool
    """The language model knows what was said before."""
    known: Mapping[str, str]
    """What it is to know besides, under names."""
    paused: bool
    """It says nothing by itself: see ``Session.pause``."""


class Passed(Protocol):
    """The call, as far as that is concerned."""

    @property
    def held_by(self) -> frozenset[HeldBy]:
        """Who has it on hold."""

    def emit(self, event: Event) -> None: ...

    def unhold(self, by: HeldBy = "agent") -> None: ...

    def unmute(self) -> None: ...

    def activity(self) -> None: ...

    def behave(self, engines: Engines, config: SessionConfig, *, other_ears: bool) -> None:
        """Be held otherwise from now on."""

    def ended_so_far(self, reason: EndReason, detail: str, now: float) -> CallEnded:
        """What its end is for whoever has it."""


class Succession:
    """Of the agents of one call. ``began_at``: when it did, on the loop's clock."""

    def __init__(
        self,
        call: Passed,
        opening: Opening,
        ears: Listening,
        playing: Playing,
        answering: Answering,
        saying: Saying,
        telling: Telling,
        presence: Presence,
        taping: Taping,
        transcript: Transcript,
        began_at: float,
    ) -> None:
        self._call = call
        self._opening = opening
        self._ears = ears
        self._playing = playing
        self._answering = answering
        self._saying = saying
        self._telling = telling
        self._presence = presence
        self._taping = taping
        self._transcript = transcript
        self._began_at = began_at

    def leave(self, owner: str, detail: str, now: float) -> CallEnded:
        """Tell the agent that has the call, ``owner`` by its key, how all ended that was open; returns what the end is
        for it. What was still to be said is dropped; what the caller is saying belongs to the next one."""
        self._playing.cut(now, "cancelled", "cancelled")
        self._call.unhold()
        self._call.unmute()
        self._ears.flush()
        self._answering.close(now)
        self._telling.close(now)
        ended = self._call.ended_so_far(EndReason.ROUTED, detail, now)
        self._transcript.hand_over(owner)
        return ended

    def take_over(self, engines: Engines, config: SessionConfig, manner: Manner) -> None:
        """Begin with another agent; whatever is told from here on is told to it."""
        said = self._transcript.said(self._began_at)
        self._answering.change_hands(engines.llm, config, manner.known)
        if manner.paused:
            self._answering.pause(on=True)
        if manner.history:
            self._answering.dialogue.add([ChatMessage(line.role, line.content) for line in said])
        self._telling.change_hands(config.events)
        self._saying.change_hands()
        self._call.emit(CallStarted(config.language, said))
        self._opening.connected(engines)
        self._call.behave(engines, config, other_ears=manner.other_ears)
        self._presence.back()
        self._taping.tell_again()
        for by in sorted(self._call.held_by):
            self._call.emit(CallHeld(by))
        self._call.activity()
        self._opening.greet()
