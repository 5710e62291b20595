"""Where settings would have ended the turns of a recording, and at what price. Pure.

The price has two sides. Dead air: how long a caller who has finished waits until the turn ends. A cut-off: the turn
ended in a pause after which he went on. ``survey`` judges a recording by the pauses themselves; a benchmark
that knows where the turns end makes its own ``Pause`` values and asks ``outcome``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from media.frames import Pcm
from media.ports import VadStream, VadWindow, VoiceDetector
from media.segmenter import VadParams, VoiceEnded, VoiceSegmenter, VoiceStarted
from media.vad.pool import CallLater
from pipeline.endpointing.evidence import EndOfTurn, Evidence
from pipeline.endpointing.habit import Habit

SHORTEST_MS = 100
"""Shorter silences are part of the words."""
_FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class Voice:
    """A stretch of voice without a pause, in ms from the beginning of the recording."""

    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    end_ms: float
    """From the beginning of the recording."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is known from a silence on."""

    at_ms: float
    """So long into the pause."""
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence after voice."""

    turn: int
    """Number of the turn that it is in, or that it ends."""
    at_ms: float
    """When the voice ended, from the beginning of the recording."""
    length_ms: float
    """Until the voice came back; infinite where it did not."""
    looks: tuple[Look, ...]
    """What was known, in order of time: at least one look."""
    ends: bool
    """The turn was over."""
    late_ms: float = 0.0
    """Of an end: how much later than the true one the voice seemed to end. Part of the dead air."""

    @property
    def cuttable(self) -> bool:
        """He went on: a turn that ends here is cut off."""
        return not self.ends and self.length_ms >= SHORTEST_MS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one setting would have made of some pauses."""

    dead_air_ms: tuple[float, ...]
    """Of each turn whose end came, by the order of the turns."""
    cut: tuple[bool, ...]
    """Of each pause that he went on after: whether the turn was ended in it."""
    turns_cut: int
    turns: int

    @property
    def mean_dead_air_ms(self) -> float:
        """NaN without a turn."""
        return sum(self.dead_air_ms) / len(self.dead_air_ms) if self.dead_air_ms else math.nan

    @property
    def cut_share(self) -> float:
        """Of the pauses that he went on after, those that were cut off; 0 without such a pause."""
        return sum(self.cut) / len(self.cut) if self.cut else 0.0

    @property
    def turns_cut_share(self) -> float:
        return self.turns_cut / self.turns if self.turns else 0.0


def ended_ms(judge: EndOfTurn, pause: Pause) -> float | None:
    """The silence at which this judge ends the turn in this pause. None: the voice comes back before."""
    for number, look in enumerate(pause.looks):
        following = pause.looks[number + 1].at_ms if number + 1 < len(pause.looks) else math.inf
        at_ms = max(look.at_ms, judge.judge(look.evidence).end_ms)
        if at_ms < following:
            return at_ms if at_ms < pause.length_ms else None
    return None


def outcome(judge: EndOfTurn, pauses: Iterable[Pause]) -> Outcome:
    """What this judge would have made of the pauses of whole turns.

    A turn that was cut off is judged on: its end has its dead air all the same.
    """
    dead_air: dict[int, float] = {}
    cut: list[bool] = []
    turns: set[int] = set()
    turns_cut: set[int] = set()
    for pause in pauses:
        turns.add(pause.turn)
        at_ms = ended_ms(judge, pause)
        if pause.ends and at_ms is not None:
            dead_air.setdefault(pause.turn, at_ms + pause.late_ms)
        elif pause.cuttable:
            cut.append(at_ms is not None)
            if at_ms is not None:
                turns_cut.add(pause.turn)
    return Outcome(tuple(dead_air[turn] for turn in sorted(dead_air)), tuple(cut), len(turns_cut), len(turns))


@dataclass(frozen=True, slots=True)
class Survey:
    """A recording as it would have been with several settings."""

    pauses: tuple[Pause, ...]
    ended_ms: dict[str, tuple[float | None, ...]]
    """By setting: of each pause, the silence at which the turn would have ended in it."""
    outcomes: dict[str, Outcome]


def survey(
    pcm: Pcm,
    sample_rate_hz: int,
    detector: Callable[[CallLater], VoiceDetector],
    judges: Mapping[str, EndOfTurn],
    *,
    words: Sequence[Word] = (),
    words_lag_ms: float = 200.0,
    bot: Sequence[Voice] = (),
    apart_ms: float = 2000.0,
    language: str = "en",
    sound: Callable[[int], Evidence] | None = None,
) -> Survey:
    """Go through the caller's side of a recorded call with several settings.

    A pause is the end of a turn where the bot spoke next (``bot``: when it did, where the recording has its
    side), or where it lasted ``apart_ms``; after any other the caller went on.

    :param pcm: the caller's side, int16 mono at 8000 or 16000 Hz.
    :param detector: makes the voice detector, given how it puts work off (``SileroVad(call_later=...)``).
    :param words: what was understood and when; without it only silence and sound speak.
    :param sound: what was heard up to a sample: its ``prosody`` and ``model`` are taken.
    """
    silences = pauses_of(voices(pcm, sample_rate_hz, detector), len(pcm) * 1000.0 / sample_rate_hz)
    habit, first_word, turn = Habit(), 0, 0
    pauses: list[Pause] = []
    for at_ms, length_ms in silences:
        until = sum(word.end_ms <= at_ms + SHORTEST_MS for word in words)
        heard = sound(int(at_ms * sample_rate_hz / 1000)) if sound is not None else Evidence()
        evidence = Evidence(
            text=" ".join(word.text for word in words[first_word:until]),
            language=language,
            pauses_ms=habit.pauses_ms,
            prosody=heard.prosody,
            model=heard.model,
        )
        answered = any(at_ms <= voice.start_ms < at_ms + length_ms for voice in bot)
        ends = answered or length_ms >= apart_ms
        pauses.append(Pause(turn, at_ms, length_ms, looks(evidence, words_lag_ms), ends))
        if ends:
            turn, first_word = turn + 1, until
            habit.turn_over()
        else:
            habit.went_on(length_ms)
    found = tuple(pauses)
    return Survey(
        found,
        {name: tuple(ended_ms(judge, pause) for pause in found) for name, judge in judges.items()},
        {name: outcome(judge, found) for name, judge in judges.items()},
    )


def looks(evidence: Evidence, words_lag_ms: float) -> tuple[Look, ...]:
    """Where there are words, nothing is judged before they are there: no turn ends without its last ones."""
    return (Look(max(0.0, words_lag_ms) if evidence.text else 0.0, evidence),)


def voices(
    pcm: Pcm,
    sample_rate_hz: int,
    detector: Callable[[CallLater], VoiceDetector],
    params: VadParams | None = None,
) -> list[Voice]:
    """The stretches of voice, parted by every silence of ``SHORTEST_MS``, as the server's own chain sees them.

    Raises ``ValueError`` for a rate that the detector does not take.
    """
    due: list[Callable[[], None]] = []
    params = replace(params or VadParams(), speech_end_delay_ms=SHORTEST_MS)
    segmenter = VoiceSegmenter(sample_rate_hz, params)
    edges: list[VoiceStarted | VoiceEnded] = []

    def on_window(window: VadWindow) -> None:
        edges.extend(segmenter.push(window))

    stream: VadStream = detector(lambda _, tick: due.append(tick)).open(sample_rate_hz, on_window)
    size = sample_rate_hz * _FRAME_MS // 1000
    for start in range(0, len(pcm), size):
        stream.feed(pcm[start : start + size])
        while due:
            due.pop()()
    stream.close()
    edges.extend(segmenter.flush(len(pcm)))
    ms = 1000.0 / sample_rate_hz
    return [Voice(edge.onset * ms, edge.end * ms) for edge in edges if isinstance(edge, VoiceEnded)]


def pauses_of(stretches: Sequence[Voice], length_ms: float) -> list[tuple[float, float]]:
    """Where each pause begins and how long it lasts. The last one lasts to the end of the recording, at least."""
    found = [
        (voice.end_ms, following.start_ms - voice.end_ms)
        for voice, following in pairwise(stretches)
        if following.start_ms - voice.end_ms >= SHORTEST_MS
    ]
    if stretches and length_ms > stretches[-1].end_ms:
        found.append((stretches[-1].end_ms, math.inf))
    return found
