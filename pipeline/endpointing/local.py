"""The judge that a call has by itself: silence, weighed with the words, the sound and the caller's habit. Pure.

By Bayes' rule. Before the silence is weighed, what was said gives the odds that it was all. A silence of s ms
then makes the end more likely as fewer of those who go on pause for so long. That share falls as

    S(s) = 1 / (1 + (s / m)^2),  m = 330 ms

which is the log-logistic curve through the published figures of a plain voice detector on conversations (eot-bench,
English: 56 % cut off at 300 ms, 22 % at 600, 10 % at 1000, 5 % at 1600). So the silence that is asked for falls as
the evidence for an end grows, at every instant, and nothing has to be asked again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.endpointing import habit, prosody, words
from pipeline.endpointing.evidence import Evidence, TurnReason, Verdict
from pipeline.endpointing.silence import SURE

PAUSE_MS = 330
"""Half of the pauses are longer."""
EARLIEST_MS = 300
"""A voice detector says by then that the voice has ended: nothing can be said of the turn before."""
LATEST_MS = 1100
"""For one who pauses as others do: a wrong "not finished" costs about half a second more."""
DICTATION = 1.35
"""Whoever dictates looks at a card meanwhile: by so much later."""
PRIOR = 0.0
"""Log-odds that a pause ends the turn where nothing else is known."""
MODEL_WEIGHT = 0.4
"""Of the model's log-odds. Chosen on the recordings of ``benchmarks.turns``, not held out: Smart Turn is often surer
than it is right there, and with 0.6 or 0.8 more pauses were cut off for no less dead air."""
_CERTAIN = 4.0
"""No model is believed further than so many log-odds."""


@dataclass(frozen=True, slots=True)
class Local:
    """``EndOfTurn`` of its own evidence. Raises ``ValueError`` naming the field."""

    patience: float = 1.0
    """Multiplies the silence that it takes, within the bounds below. 0.25 to 4."""
    threshold: float = 0.5
    """The protocol's ``smart_turn_threshold``: above 0.5 it has to be surer, below less. 0 to 1, neither."""
    earliest_ms: int = EARLIEST_MS
    """No turn ends before so much silence."""
    latest_ms: int = LATEST_MS
    """After so much each turn ends, whatever was said; later where patience, the caller's habit or dictation ask
    for it, and not before ``earliest_ms``."""
    max_ms: int = 2000
    """And after so much in any case."""

    def __post_init__(self) -> None:
        if not 0.25 <= self.patience <= 4.0:
            raise ValueError(f"patience must be 0.25 to 4, not {self.patience}")
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold must lie between 0 and 1, not {self.threshold}")
        if not 0 < self.earliest_ms <= self.max_ms:
            raise ValueError(
                f"earliest_ms must lie above 0 and not above max_ms ({self.max_ms}), not {self.earliest_ms}"
            )
        if self.latest_ms <= 0:
            raise ValueError(f"latest_ms must be positive, not {self.latest_ms}")

    def judge(self, evidence: Evidence) -> Verdict:
        weighed = self._weigh(evidence)
        end_ms = self._end_ms(weighed)
        return Verdict(
            complete=_share(weighed.odds),
            eager_ms=min(end_ms, math.ceil(self._silence_ms(weighed, 0.0))),
            end_ms=end_ms,
            reason=self._reason(weighed, end_ms),
        )

    def probability(self, evidence: Evidence, silence_ms: float) -> float:
        """Rises with the silence. At ``eager_ms`` it is 0.5 or more, at ``end_ms`` what is sure (0.85 where the
        threshold is 0.5) or more: also where the end comes only because nobody may wait for ever."""
        weighed = self._weigh(evidence)
        return _share(weighed.odds + self._gain(weighed) * self._told(weighed, silence_ms))

    def _weigh(self, evidence: Evidence) -> _Weighed:
        read = words.read(evidence.text, evidence.final, evidence.language, evidence.question)
        sound = prosody.odds(evidence.prosody)
        if evidence.model is not None:
            sound += MODEL_WEIGHT * max(-_CERTAIN, min(_CERTAIN, _odds(evidence.model)))
        habitual = habit.stretch(evidence.pauses_ms)
        return _Weighed(
            read.odds, sound, habit.odds(evidence.pauses_ms), self.patience * habitual, read.dictated
        )

    @property
    def _sure(self) -> float:
        return _odds(SURE) + _odds(self.threshold)

    def _told(self, weighed: _Weighed, silence_ms: float) -> float:
        """What so much silence says, as log-odds: 1 / S."""
        return math.log1p((max(silence_ms, 0.0) / (PAUSE_MS * weighed.stretch)) ** 2)

    def _silence_ms(self, weighed: _Weighed, wanted: float) -> float:
        """The silence from which on the odds are as wanted."""
        missing = (wanted - weighed.odds) / self._gain(weighed)
        return PAUSE_MS * weighed.stretch * math.sqrt(math.expm1(missing)) if missing > 0 else 0.0

    def _latest_ms(self, weighed: _Weighed) -> float:
        latest = self.latest_ms * weighed.stretch * (DICTATION if weighed.dictated else 1.0)
        return min(self.max_ms, max(self.earliest_ms, latest))

    def _gain(self, weighed: _Weighed) -> float:
        """More than 1 where the silence alone would not have made it sure by the latest end."""
        missing = self._sure - weighed.odds
        return max(1.0, missing / self._told(weighed, self._latest_ms(weighed)))

    def _end_ms(self, weighed: _Weighed) -> int:
        silence_ms = math.ceil(self._silence_ms(weighed, self._sure))
        return max(self.earliest_ms, min(silence_ms, math.ceil(self._latest_ms(weighed))))

    def _reason(self, weighed: _Weighed, end_ms: int) -> TurnReason:
        """What the end would have been without the words, and without the sound."""
        by_words = abs(end_ms - self._end_ms(weighed.without_words()))
        by_sound = abs(end_ms - self._end_ms(weighed.without_sound()))
        if max(by_words, by_sound) < _NOTICED_MS:
            return TurnReason.SILENCE
        return TurnReason.TRANSCRIPT if by_words >= by_sound else TurnReason.MODEL


_NOTICED_MS = 20
"""The length of a frame: less was no difference."""


@dataclass(frozen=True, slots=True)
class _Weighed:
    text: float
    sound: float
    habit: float
    stretch: float
    dictated: bool

    @property
    def odds(self) -> float:
        return PRIOR + self.text + self.sound + self.habit

    def without_words(self) -> _Weighed:
        return _Weighed(0.0, self.sound, self.habit, self.stretch, False)

    def without_sound(self) -> _Weighed:
        return _Weighed(self.text, 0.0, self.habit, self.stretch, self.dictated)


def _odds(probability: float) -> float:
    probability = min(1.0 - 1e-6, max(1e-6, probability))
    return math.log(probability / (1.0 - probability))


def _share(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds))
