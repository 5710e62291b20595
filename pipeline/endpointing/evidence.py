"""What is known while the user is silent, and what is made of it. Pure values.

Silence is measured from the end of voice. A verdict holds until new evidence comes (more words, a better look
at the sound): it says at which silence each edge of the turn falls, so that nobody has to poll it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class TurnReason(StrEnum):
    """What a turn signal rests on."""

    SILENCE = "silence"
    """Nothing but the length of the silence."""
    TRANSCRIPT = "transcript"
    """The words moved it away from where silence alone would have put it."""
    MODEL = "model"
    """The sound did: a model of how turns end, or the melody of the last words."""
    PROVIDER = "provider"
    """The recogniser said so."""
    FORCED = "forced"
    """The recogniser was waited for in vain, or the agent ended the turn."""
    TYPED = "typed"
    """The user has typed, and that is complete."""


@dataclass(frozen=True, slots=True)
class Prosody:
    """How the last voiced stretch before the silence sounded. None where it could not be measured."""

    pitch: float | None = None
    """At the end, in semitones above (below: negative) the caller's own median."""
    slope: float | None = None
    """Of the pitch over the last 200 to 300 ms of voice, semitones a second."""
    fade_db: float | None = None
    """Level of the last 200 ms of voice against that of the stretch, dB; falls at the end of a thought."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a judgement may rest on."""

    text: str = ""
    """All of the turn so far; interim where the recogniser still owes its final."""
    final: bool = True
    """The recogniser owes nothing."""
    language: str = "en"
    """BCP-47, of what is being understood."""
    question: str = ""
    """What the bot said last before this turn, as far as it was heard; empty: nothing."""
    voice_ms: int = 0
    """Voice in this turn so far."""
    pauses_ms: tuple[int, ...] = ()
    """The caller's last pauses within turns that he went on after, the latest last."""
    prosody: Prosody | None = None
    model: float | None = None
    """Probability of an audio model that the turn is over, 0 to 1; the latest."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """When the edges of the turn fall, as far as one can tell now."""

    complete: float
    """How likely it is that what was said is all, 0 to 1, before the silence is weighed."""
    eager_ms: int
    """Silence from which on an answer may be prepared."""
    end_ms: int
    """Silence that ends the turn. Never below ``eager_ms``."""
    reason: TurnReason
    """The evidence that moved ``end_ms`` most."""

    @property
    def unfinished(self) -> bool:
        """He has probably not finished."""
        return self.complete < 0.5


class EndOfTurn(Protocol):
    """Judges whether a turn is over. Pure, cheap (well under a millisecond) and without memory."""

    def judge(self, evidence: Evidence) -> Verdict: ...

    def probability(self, evidence: Evidence, silence_ms: float) -> float:
        """How likely the turn is over after so much silence, 0 to 1: what the events carry."""
