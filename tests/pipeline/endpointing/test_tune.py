"""Where settings would have ended turns: pauses that are made up, and a recording whose voice is."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from media.frames import Pcm
from media.ports import VadStream, VadWindow
from media.vad.pool import CallLater
from pipeline.endpointing.evidence import Evidence
from pipeline.endpointing.local import Local
from pipeline.endpointing.silence import Silence
from pipeline.endpointing.tune import (
    Look,
    Pause,
    Voice,
    Word,
    ended_ms,
    looks,
    outcome,
    pauses_of,
    survey,
    voices,
)

RATE_HZ = 8000


def pause(length_ms: float, ends: bool = False, turn: int = 0, late_ms: float = 0.0, text: str = "") -> Pause:
    return Pause(turn, 0.0, length_ms, looks(Evidence(text), 200), ends, late_ms)


def test_a_turn_ends_in_a_pause_that_outlasts_the_judge() -> None:
    assert ended_ms(Silence(500), pause(500)) is None
    assert ended_ms(Silence(500), pause(501)) == 500
    assert ended_ms(Silence(500), pause(math.inf)) == 500


def test_nothing_ends_before_the_words_are_there() -> None:
    late = Pause(0, 0.0, math.inf, looks(Evidence("yes"), 700), True)
    assert ended_ms(Silence(500), late) == 700
    assert ended_ms(Silence(500), Pause(0, 0.0, 650.0, late.looks, False)) is None


def test_each_look_holds_until_the_next() -> None:
    first, second = Look(200.0, Evidence("book a table")), Look(250.0, Evidence("book a table for"))
    judge = Local()
    early, late = judge.judge(first.evidence).end_ms, judge.judge(second.evidence).end_ms
    assert early < 500 < late
    assert ended_ms(judge, Pause(0, 0.0, math.inf, (first, second), True)) == late
    assert ended_ms(judge, Pause(0, 0.0, math.inf, (first, Look(500.0, second.evidence)), True)) == early
    # What would have ended the turn earlier, had it been known, ends it at once.
    assert ended_ms(judge, Pause(0, 0.0, math.inf, (second, Look(700.0, first.evidence)), True)) == 700


def test_dead_air_and_cut_offs_are_counted_by_turn() -> None:
    found = outcome(
        Silence(500),
        [
            pause(400),
            pause(600),
            pause(700),
            pause(math.inf, ends=True, late_ms=50),
            pause(90, turn=1),
            pause(math.inf, ends=True, turn=1),
        ],
    )
    assert list(found.dead_air_ms) == [550, 500]
    assert found.mean_dead_air_ms == 525
    assert list(found.cut) == [False, True, True]  # 90 ms are no pause
    assert (found.turns_cut, found.turns) == (1, 2)
    assert found.cut_share == pytest.approx(2 / 3)
    assert found.turns_cut_share == 0.5


def test_an_end_that_noise_interrupts_is_found_behind_it() -> None:
    found = outcome(Silence(500), [pause(300, ends=True), pause(math.inf, ends=True, late_ms=380)])
    assert list(found.dead_air_ms) == [880]
    assert not found.cut


def test_of_nothing_there_is_no_figure() -> None:
    found = outcome(Silence(500), [])
    assert math.isnan(found.mean_dead_air_ms)
    assert (found.cut_share, found.turns_cut_share) == (0.0, 0.0)


class LoudIsVoice:
    """A voice detector for made up sound: what is loud is voice, 32 ms at a time."""

    def __init__(self, call_later: CallLater) -> None:
        self.rates: list[int] = []

    def open(self, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> VadStream:
        return _Loud(sample_rate_hz * 32 // 1000, on_window)


class _Loud:
    def __init__(self, size: int, on_window: Callable[[VadWindow], None]) -> None:
        self._size, self._on_window = size, on_window
        self._held = np.zeros(0, np.int16)
        self._at = 0

    def feed(self, pcm: Pcm) -> None:
        self._held = np.concatenate((self._held, pcm))
        while len(self._held) >= self._size:
            window, self._held = self._held[: self._size], self._held[self._size :]
            voiced = bool(np.abs(window).max() > 100)
            self._on_window(VadWindow(float(voiced), self._at, self._at + self._size))
            self._at += self._size

    def close(self) -> None:
        pass


def recording(*stretches: tuple[int, int]) -> Pcm:
    """Windows of voice and of silence after it, in turn, after two of silence."""
    parts = [np.zeros(2 * 256, np.int16)]
    for voiced, silent in stretches:
        parts += [np.full(voiced * 256, 5000, np.int16), np.zeros(silent * 256, np.int16)]
    return np.concatenate(parts)


CALL = recording((20, 2), (10, 10), (20, 80), (10, 100))
"""A gap of 64 ms, a pause of 320 ms, 2560 ms of silence, and the end of the recording."""


def test_voice_is_parted_by_each_pause_of_a_tenth_of_a_second() -> None:
    found = voices(CALL, RATE_HZ, LoudIsVoice)
    assert found == [Voice(64, 64 + 32 * 32), Voice(1408, 2048), Voice(4608, 4928)]
    assert pauses_of(found, len(CALL) / 8) == [(1088, 320), (2048, 2560), (4928, math.inf)]
    assert pauses_of([Voice(0, 500), Voice(560, 900)], 900) == []


def test_a_survey_says_where_each_setting_would_have_ended_the_turns() -> None:
    found = survey(CALL, RATE_HZ, LoudIsVoice, {"short": Silence(300), "long": Silence(500)})
    assert [(p.turn, p.length_ms, p.ends) for p in found.pauses] == [
        (0, 320, False),
        (0, 2560, True),
        (1, math.inf, True),
    ]
    assert found.ended_ms == {"short": (300, 300, 300), "long": (None, 500, 500)}
    assert list(found.outcomes["short"].cut) == [True]
    assert list(found.outcomes["long"].cut) == [False]
    assert list(found.outcomes["long"].dead_air_ms) == [500, 500]


def test_a_survey_knows_an_end_by_the_answer_of_the_bot() -> None:
    found = survey(CALL, RATE_HZ, LoudIsVoice, {}, bot=[Voice(1200, 1300)], apart_ms=3000)
    assert [p.ends for p in found.pauses] == [True, False, True]
    assert [p.turn for p in found.pauses] == [0, 1, 1]


def test_a_survey_gives_each_turn_its_words_and_the_caller_his_habit() -> None:
    words = [Word("i would like to", 1000), Word("book a table", 2000), Word("thanks", 4900)]
    found = survey(CALL, RATE_HZ, LoudIsVoice, {"ours": Local()}, words=words, words_lag_ms=150)
    last = [p.looks[-1] for p in found.pauses]
    assert [look.evidence.text for look in last] == [
        "i would like to",
        "i would like to book a table",
        "thanks",
    ]
    assert [look.at_ms for look in last] == [150, 150, 150]
    assert [look.evidence.pauses_ms for look in last] == [(), (320,), ()]
    ended = found.ended_ms["ours"]
    assert ended[0] is None
    assert all(at is not None and at <= 450 for at in ended[1:])


def test_a_survey_hears_the_sound_where_it_is_given() -> None:
    asked: list[int] = []

    def sound(at: int) -> Evidence:
        asked.append(at)
        return Evidence(text="not taken", model=0.9)

    found = survey(CALL, RATE_HZ, LoudIsVoice, {}, sound=sound)
    assert asked == [8704, 16384, 39424]
    assert {(p.looks[0].evidence.text, p.looks[0].evidence.model) for p in found.pauses} == {("", 0.9)}
