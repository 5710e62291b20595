"""The far end's play-out, in explicit time: what is heard, when, and what never is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.g711 import ulaw_encode
from telephony.carriers.twilio.simulator.loudness import LOUD_AMPLITUDE, loud_bounds
from telephony.carriers.twilio.simulator.playback import Playback

QUIET = b"\xff" * 160
LOUD = ulaw_encode(np.full(160, 8000, np.int16))


def ms(samples: float) -> float:
    return samples / 8


def test_audio_is_heard_from_its_arrival_in_real_time() -> None:
    playback = Playback()
    playback.play(LOUD * 5, now=10.0)
    assert playback.end_s == pytest.approx(10.1)
    assert playback.buffered_ms(10.04) == pytest.approx(60)
    assert playback.buffered_ms(11.0) == 0
    assert playback.instant_of(0) == 10.0
    assert playback.instant_of(799) == pytest.approx(10.1 - 1 / 8000)
    assert playback.heard_ms() == pytest.approx(100)
    assert playback.heard_ms(to_s=10.03) == pytest.approx(30)
    assert playback.heard_ms(10.03, 10.05) == pytest.approx(20)


def test_what_arrives_in_time_is_heard_behind_what_is_there() -> None:
    """A late frame shifts nothing as long as the buffer is not empty."""
    playback = Playback()
    playback.play(LOUD * 2, now=1.0)
    for arrival in (1.035, 1.041, 1.079):
        playback.play(LOUD, now=arrival)
    assert len(playback.stretches) == 1
    assert playback.instant_of(4 * 160) == pytest.approx(1.08)
    assert playback.underruns() == []


def test_an_empty_buffer_is_a_hole() -> None:
    playback = Playback()
    playback.play(LOUD, now=1.0)
    playback.play(LOUD, now=1.05)
    (hole,) = playback.underruns()
    assert hole.at_s == pytest.approx(1.02)
    assert hole.duration_ms == pytest.approx(30)
    assert hole.in_speech
    assert playback.instant_of(160) == 1.05
    assert playback.heard_ms() == pytest.approx(40)


def test_a_hole_in_silence_is_not_in_speech_and_a_long_one_is_a_pause() -> None:
    playback = Playback()
    playback.play(LOUD + QUIET * 5, now=1.0)
    playback.play(LOUD, now=1.2)  # 80 ms after the last of 100 ms of quiet
    playback.play(LOUD, now=3.0)
    assert [hole.in_speech for hole in playback.underruns()] == [False]
    assert len(playback.underruns(within_ms=5000)) == 2


def test_quiet_after_a_clear_is_no_underrun() -> None:
    playback = Playback()
    playback.play(LOUD * 10, now=1.0)
    playback.clear(now=1.05)
    playback.play(LOUD, now=1.06)
    assert playback.underruns() == []
    assert [stretch.start_s for stretch in playback.stretches] == [1.0, 1.06]


def test_a_clear_takes_back_what_is_not_yet_audible_to_the_sample() -> None:
    playback = Playback()
    playback.play(LOUD * 10, now=1.0)
    cleared = playback.clear(now=1.0 + 401 / 8000)
    assert cleared.samples == 1600 - 401
    assert playback.cleared == 1199
    assert playback.heard_ms() == pytest.approx(ms(401))
    assert playback.instant_of(400) == pytest.approx(1.05)
    assert playback.instant_of(401) is None
    (heard,) = playback.utterances()
    assert heard.duration_ms == pytest.approx(ms(401))
    assert playback.end_s == pytest.approx(1.0 + 401 / 8000)


@pytest.mark.parametrize("now", [1.2, 1.3, 99.0])
def test_a_clear_of_an_empty_buffer_changes_nothing(now: float) -> None:
    playback = Playback()
    assert playback.clear(now=0.5).samples == 0
    playback.play(LOUD * 10, now=1.0)
    assert playback.clear(now=now).samples == 0
    assert playback.heard_ms() == pytest.approx(200)


def test_after_a_clear_audio_begins_anew() -> None:
    playback = Playback()
    playback.play(LOUD * 10, now=1.0)
    playback.clear(now=1.05)
    playback.play(QUIET * 3 + LOUD, now=1.05)
    assert playback.instant_of(1600) == 1.05
    first, second = playback.utterances(min_silence_ms=50)
    assert first.end_s == pytest.approx(1.05)
    assert second.start_s == pytest.approx(1.11)
    assert playback.received == 2240


def test_a_mark_is_due_when_what_came_before_it_is_played() -> None:
    playback = Playback()
    playback.mark("empty", now=0.9)
    assert playback.take_marks(0.9) == ["empty"]
    playback.play(LOUD * 10, now=1.0)
    playback.mark("a", now=1.0)
    playback.play(LOUD * 10, now=1.0)
    playback.mark("b", now=1.01)
    assert playback.next_mark_s() == pytest.approx(1.2)
    assert playback.take_marks(1.199) == []
    assert playback.take_marks(1.2) == ["a"]
    assert playback.take_marks(1.3) == []
    assert playback.take_marks(5.0) == ["b"]
    assert playback.next_mark_s() is None
    playback.mark("late", now=9.0)
    assert playback.take_marks(9.0) == ["late"]


def test_a_clear_returns_the_pending_marks_unplayed() -> None:
    playback = Playback()
    playback.play(LOUD * 10, now=1.0)
    playback.mark("a", now=1.0)
    playback.play(LOUD * 10, now=1.0)
    playback.mark("b", now=1.0)
    assert playback.take_marks(1.21) == ["a"]
    assert playback.clear(now=1.21).marks == ("b",)
    assert playback.take_marks(9.0) == []
    assert playback.clear(now=9.0).marks == ()


def test_or_drops_them_as_some_imitations_do() -> None:
    playback = Playback(marks_on_clear=False)
    playback.play(LOUD * 10, now=1.0)
    playback.mark("a", now=1.0)
    assert playback.clear(now=1.1).marks == ()
    assert playback.take_marks(9.0) == []


def test_a_mark_after_a_clear_is_due_at_once() -> None:
    playback = Playback()
    playback.play(LOUD * 10, now=1.0)
    playback.clear(now=1.1)
    playback.mark("a", now=1.1)
    assert playback.take_marks(1.1) == ["a"]


def test_utterances_begin_and_end_with_the_voice_not_with_the_audio() -> None:
    playback = Playback()
    word = QUIET[:100] + LOUD + QUIET[:60]
    playback.play(QUIET * 2 + word + QUIET * 3 + word + QUIET * 50 + word, now=1.0)
    assert [(round(u.start_s, 6), round(u.end_s, 6)) for u in playback.utterances(min_silence_ms=30)] == [
        (1.0525, 1.0725),
        (1.1525, 1.1725),
        (2.1925, 2.2125),
    ]
    assert [round(u.duration_ms) for u in playback.utterances()] == [120, 20]
    assert playback.is_loud(1.06, 1.061)
    assert not playback.is_loud(1.0, 1.0525)
    assert not playback.is_loud(1.08, 1.15)


def test_more_than_ten_minutes_are_discarded() -> None:
    playback = Playback(keep_audio=False)
    minute = QUIET * 3000
    assert [playback.play(minute, now=1.0) for _ in range(11)] == [0] * 10 + [len(minute)]
    assert playback.play(QUIET * 100, now=2.0) == 50 * 160
    assert playback.buffered_ms(2.0) == pytest.approx(600_000)


def test_audio_can_be_forgotten_without_losing_the_truth() -> None:
    kept, forgotten = Playback(), Playback(keep_audio=False)
    for playback in (kept, forgotten):
        playback.play(LOUD * 3, now=1.0)
        playback.clear(now=1.03)
    assert kept.utterances() == forgotten.utterances()
    assert (len(kept.stretches[0].ulaw), len(forgotten.stretches[0].ulaw)) == (480, 0)
    assert kept.heard_ms() == forgotten.heard_ms() == pytest.approx(30)


@pytest.mark.parametrize("sample", [-1, 160])
def test_a_sample_never_received_is_an_error(sample: int) -> None:
    playback = Playback()
    playback.play(LOUD, now=1.0)
    with pytest.raises(IndexError, match="160 received"):
        playback.instant_of(sample)


def test_loud_is_what_lies_above_the_threshold() -> None:
    just_quiet = ulaw_encode(np.array([0, LOUD_AMPLITUDE - 20, -LOUD_AMPLITUDE + 20], np.int16))
    just_loud = ulaw_encode(np.array([LOUD_AMPLITUDE + 20, -LOUD_AMPLITUDE - 20], np.int16))
    assert loud_bounds(just_quiet) is None
    assert loud_bounds(b"") is None
    assert loud_bounds(just_quiet + just_loud + just_quiet) == (3, 5)


steps = st.lists(
    st.tuples(st.sampled_from(["play", "mark", "clear", "wait"]), st.integers(0, 60)), max_size=40
)


@given(steps)
def test_the_books_balance_whatever_happens(script: list[tuple[str, int]]) -> None:
    """Every sample is heard or cleared, once; every mark comes back once, in order, and never too early."""
    playback, now, marks, returned = Playback(), 5.0, 0, []
    for step, amount in script:
        returned += playback.take_marks(now)
        if step == "play":
            playback.play(LOUD[:80] * amount, now)
        elif step == "mark":
            playback.mark(str(marks), now)
            marks += 1
        elif step == "clear":
            returned += playback.clear(now).marks
        else:
            now += amount / 1000
    returned += playback.take_marks(now + 100)
    heard = sum(stretch.heard for stretch in playback.stretches)
    assert heard + playback.cleared == playback.received
    assert playback.heard_ms() == pytest.approx(ms(heard))
    assert returned == [str(index) for index in range(marks)]
    assert sum(playback.instant_of(i) is not None for i in range(playback.received)) == heard
    ends = [stretch.end_s for stretch in playback.stretches]
    starts = [stretch.start_s for stretch in playback.stretches]
    assert all(end <= start + 1e-6 for end, start in zip(ends, starts[1:], strict=False))
    assert sum(u.duration_ms for u in playback.utterances(min_silence_ms=0)) >= ms(heard) - 1e-6
