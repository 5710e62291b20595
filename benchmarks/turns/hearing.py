"""A turn through the product's own chain: voice detector, segmenter, recogniser, melody, model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.turns.samples import Turn
from media.frames import Pcm
from media.segmenter import VadParams
from media.vad.pool import CallLater
from media.vad.silero import SileroVad
from pipeline.endpointing import prosody
from pipeline.endpointing.evidence import Evidence
from pipeline.endpointing.habit import Habit
from pipeline.endpointing.smart_turn import SmartTurn
from pipeline.endpointing.tune import Look, Pause, Voice, Word, looks, pauses_of, voices

TRUE_LAG_MS = 200.0
"""After the end of voice a true transcript is there."""
RECOGNISED_LAG_MS = 360.0
"""After the end of voice the embedded recogniser's is: 300 ms until the segment ends, and its own work."""
_PRE_ROLL_MS = 300
_NEAR_END_MS = 200.0
"""A pause that begins up to so much before the true end is that end, as a detector sees it."""


class Model:
    """The audio model, asked as the server asks it, one turn after the other."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._model = SmartTurn(path)
        self._loop.run_until_complete(self._model.start())

    def score(self, pcm: Pcm, rate_hz: int) -> float | None:
        async def ask() -> float | None:
            answer: asyncio.Future[float | None] = self._loop.create_future()
            self._model.ask("benchmark", pcm, rate_hz, answer.set_result)
            return await answer

        return self._loop.run_until_complete(ask())


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn under one condition."""

    turn: Turn
    pcm: Pcm
    rate_hz: int
    pauses: tuple[Pause, ...]
    """With the true words."""
    recognised: tuple[Pause, ...]
    """The same with those of the recogniser; empty where it was not asked."""
    text: str = ""
    """What the recogniser made of all of it."""


MODEL_ASKED_MS = 200


class Ears:
    """Hears the turns of one recording after the other, under one condition."""

    def __init__(self, model: Model | None, recogniser: Recogniser | None) -> None:
        self._model = model
        self._recogniser = recogniser
        self._detector = _Detector()

    def hear(self, turns: Sequence[tuple[Turn, Pcm, int]]) -> list[Heard]:
        """The turns of one recording, whose voice and habits are known better from turn to turn."""
        habit, register = Habit(), prosody.Register()
        return [self._hear(turn, pcm, rate_hz, habit, register) for turn, pcm, rate_hz in turns]

    def _hear(self, turn: Turn, pcm: Pcm, rate_hz: int, habit: Habit, register: prosody.Register) -> Heard:
        stretches = voices(pcm, rate_hz, self._detector)
        length_ms = len(pcm) * 1000 / rate_hz
        silences = pauses_of(stretches, length_ms) or [(length_ms, float("inf"))]
        if silences[-1][1] != float("inf"):  # the noise is voice to the detector, to the end
            silences.append((length_ms, float("inf")))
        finals = self._recogniser.finals(pcm, rate_hz, stretches) if self._recogniser else []
        pauses: list[Pause] = []
        recognised: list[Pause] = []
        for at_ms, lasting_ms in silences:
            ends = at_ms >= turn.end_ms - _NEAR_END_MS or lasting_ms == float("inf")
            evidence = self._evidence(pcm, rate_hz, at_ms, habit, register)
            true = replace(evidence, text=_said(turn.words, at_ms + 50))
            pauses.append(self._pause(turn, at_ms, lasting_ms, looks(true, TRUE_LAG_MS), ends))
            if self._recogniser:
                own = replace(evidence, text=_said(finals, at_ms + 1))
                recognised.append(self._pause(turn, at_ms, lasting_ms, looks(own, RECOGNISED_LAG_MS), ends))
            if not ends:
                habit.went_on(lasting_ms)
        habit.turn_over()
        return Heard(turn, pcm, rate_hz, tuple(pauses), tuple(recognised), " ".join(w.text for w in finals))

    def _pause(
        self, turn: Turn, at_ms: float, lasting_ms: float, known: tuple[Look, ...], ends: bool
    ) -> Pause:
        return Pause(0, at_ms, lasting_ms, known, ends, at_ms - turn.end_ms if ends else 0.0)

    def _evidence(
        self, pcm: Pcm, rate_hz: int, at_ms: float, habit: Habit, register: prosody.Register
    ) -> Evidence:
        at = int(at_ms * rate_hz / 1000)
        melody = prosody.measure(pcm[:at], rate_hz, register.median_hz)
        register.add(melody.voiced_hz)
        score = None
        if self._model is not None:
            score = self._model.score(pcm[: at + MODEL_ASKED_MS * rate_hz // 1000], rate_hz)
        return Evidence(pauses_ms=habit.pauses_ms, prosody=melody.prosody, model=score)


def _said(words: Sequence[Word], until_ms: float) -> str:
    return " ".join(word.text for word in words if word.end_ms <= until_ms)


class _Detector:
    """One session for all turns; each turn is a stream of its own."""

    def __init__(self) -> None:
        self._later: list[CallLater] = []
        self._vad = SileroVad(call_later=lambda delay_s, tick: self._later[-1](delay_s, tick))

    def __call__(self, later: CallLater) -> SileroVad:
        self._later[:] = [later]
        return self._vad


class Recogniser:
    """The embedded one, as its worker uses it: a segment at a time, the caller's mean carried along."""

    def __init__(self) -> None:
        from pipeline.providers.pocketsphinx import model
        from pipeline.providers.pocketsphinx.recogniser import OpenSearch, PhraseSearch

        loaded = model.load()
        self._words, self._phrases = OpenSearch(loaded), PhraseSearch(loaded)

    def finals(self, pcm: Pcm, rate_hz: int, stretches: Sequence[Voice]) -> list[Word]:
        """The text of each segment, at its end."""
        from pipeline.providers.pocketsphinx.segment import Segment
        from pipeline.providers.pocketsphinx.wire import Begin

        found, mean = [], None
        delay_ms = VadParams().speech_end_delay_ms
        for start_ms, end_ms in _segments(stretches, delay_ms):
            segment = Segment(Begin(1, rate_hz, (), mean), self._words, self._phrases)
            first = max(0, int((start_ms - _PRE_ROLL_MS) * rate_hz / 1000))
            last = int((end_ms + delay_ms) * rate_hz / 1000)
            for at in range(first, last, rate_hz // 50):
                segment.feed(pcm[at : min(last, at + rate_hz // 50)])
            final = segment.end()
            mean = final.mean
            found.append(Word(final.text, end_ms))
        return [word for word in found if word.text]


def _segments(stretches: Sequence[Voice], delay_ms: float) -> list[tuple[float, float]]:
    """Stretches that the server's own delay does not part."""
    found: list[tuple[float, float]] = []
    for voice in stretches:
        if found and voice.start_ms - found[-1][1] < delay_ms:
            found[-1] = (found[-1][0], voice.end_ms)
        else:
            found.append((voice.start_ms, voice.end_ms))
    return found


def numbered(heard: Sequence[Heard], recognised: bool = False) -> list[Pause]:
    """The pauses of many turns, each turn with a number of its own."""
    return [
        replace(pause, turn=number)
        for number, one in enumerate(heard)
        for pause in (one.recognised if recognised else one.pauses)
    ]
