"""The stereo timeline: to the sample, without what was cleared, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.frames import Pcm
from media.recording import StereoTimeline


def pcm(*values: int) -> Pcm:
    return np.array(values, np.int16)


def channels(interleaved: Pcm) -> tuple[list[int], list[int]]:
    return interleaved[::2].tolist(), interleaved[1::2].tolist()


def test_caller_left_and_bot_right_each_at_its_sample() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4))
    timeline.bot(2, pcm(7, 8, 9))
    timeline.caller(4, pcm(5, 6))
    drained = timeline.drain(6)
    assert drained.dtype == np.int16
    assert channels(drained) == ([1, 2, 3, 4, 5, 6], [0, 0, 7, 8, 9, 0])


def test_gaps_are_silence() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(2, pcm(1))
    timeline.caller(5, pcm(2))
    timeline.bot(1, pcm(7))
    timeline.bot(4, pcm(8))
    assert channels(timeline.drain(7)) == ([0, 0, 1, 0, 0, 2, 0], [0, 7, 0, 0, 8, 0, 0])


def test_a_piece_may_be_drained_in_parts() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4, 5))
    timeline.bot(1, pcm(6, 7, 8))
    assert channels(timeline.drain(2)) == ([1, 2], [0, 6])
    assert channels(timeline.drain(3)) == ([3], [7])
    assert channels(timeline.drain(3)) == ([], [])
    assert channels(timeline.drain(1)) == ([], [])
    assert channels(timeline.drain(6)) == ([4, 5, 0], [8, 0, 0])
    assert timeline.drained == 6
    assert timeline.held == 0


def test_bot_audio_never_lies_over_bot_audio() -> None:
    timeline = StereoTimeline(8000)
    timeline.bot(2, pcm(1, 2, 3))
    timeline.bot(3, pcm(4, 5))
    timeline.bot(0, pcm(6))
    assert channels(timeline.drain(9))[1] == [0, 0, 1, 2, 3, 4, 5, 6, 0]


def test_bot_audio_for_a_time_already_written_goes_to_the_next_free_place() -> None:
    timeline = StereoTimeline(8000)
    timeline.drain(3)
    timeline.bot(1, pcm(4, 5))
    assert channels(timeline.drain(6))[1] == [4, 5, 0]


def test_what_was_cleared_is_absent() -> None:
    timeline = StereoTimeline(8000)
    timeline.bot(0, pcm(1, 2, 3))
    timeline.bot(3, pcm(4, 5, 6))
    timeline.bot(6, pcm(7, 8, 9))
    timeline.clear_bot(4)
    assert timeline.held == 4
    timeline.bot(5, pcm(10))
    assert channels(timeline.drain(8))[1] == [1, 2, 3, 4, 0, 10, 0, 0]


@pytest.mark.parametrize("at", [0, 3, 9])
def test_clearing_at_an_edge(at: int) -> None:
    timeline = StereoTimeline(8000)
    timeline.bot(0, pcm(1, 2, 3))
    timeline.bot(3, pcm(4, 5, 6))
    timeline.clear_bot(at)
    assert channels(timeline.drain(6))[1] == ([1, 2, 3, 4, 5, 6][:at] + [0] * 6)[:6]


def test_clearing_does_not_reach_what_is_written_nor_the_caller() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 1, 1, 1))
    timeline.bot(0, pcm(2, 2, 2, 2))
    assert channels(timeline.drain(2)) == ([1, 1], [2, 2])
    timeline.clear_bot(0)
    assert channels(timeline.drain(4)) == ([1, 1], [0, 0])


def test_a_frame_of_the_caller_that_comes_again_is_left_out() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3))
    timeline.caller(0, pcm(9, 9, 9))
    timeline.caller(2, pcm(9, 4))
    assert timeline.clock == 4
    assert channels(timeline.drain(5))[0] == [1, 2, 3, 4, 0]
    timeline.caller(4, pcm(9, 5))
    assert channels(timeline.drain(7))[0] == [5, 0]


def test_the_end_is_that_of_the_longer_channel() -> None:
    timeline = StereoTimeline(8000)
    assert timeline.end == 0
    timeline.caller(0, pcm(1, 2))
    timeline.bot(3, pcm(1, 2))
    assert (timeline.clock, timeline.end) == (2, 5)
    timeline.clear_bot(4)
    assert timeline.end == 4


def test_bot_audio_ahead_is_held_up_to_the_bound_and_no_further() -> None:
    timeline = StereoTimeline(1000, max_held_ms=10)
    timeline.bot(0, pcm(*range(1, 9)))
    timeline.bot(8, pcm(*range(9, 20)))
    assert (timeline.held, timeline.lost) == (10, 9)
    timeline.bot(20, pcm(1))
    assert (timeline.held, timeline.lost) == (10, 10)
    assert channels(timeline.drain(12))[1] == [*range(1, 11), 0, 0]
    timeline.bot(12, pcm(5))
    assert channels(timeline.drain(13))[1] == [5]


def test_the_clock_goes_on_where_the_callers_audio_finds_no_room() -> None:
    """Else a disk that was slow once would stop the recording for good."""
    timeline = StereoTimeline(1000, max_held_ms=4)
    for start in range(0, 10, 2):
        timeline.caller(start, pcm(1, 2))
    assert (timeline.clock, timeline.held, timeline.lost) == (10, 4, 6)
    assert channels(timeline.drain(10))[0] == [1, 2, 1, 2, 0, 0, 0, 0, 0, 0]
    timeline.caller(10, pcm(3))
    assert channels(timeline.drain(11))[0] == [3]


def test_a_jump_of_the_clock_is_silence_and_loses_nothing() -> None:
    timeline = StereoTimeline(1000, max_held_ms=10)
    timeline.caller(0, pcm(1))
    timeline.caller(60_000, pcm(2))
    left, _ = channels(timeline.drain(60_001))
    assert (left[0], left[-1], sum(left), timeline.lost) == (1, 2, 3, 0)


operations = st.one_of(
    st.tuples(st.just("caller"), st.integers(0, 12), st.integers(0, 9)),
    st.tuples(st.just("bot"), st.integers(-6, 20), st.integers(0, 9)),
    st.tuples(st.just("clear"), st.integers(-9, 20), st.just(0)),
    st.tuples(st.just("drain"), st.integers(-3, 15), st.just(0)),
)


@given(st.lists(operations, max_size=60))
def test_it_is_the_same_as_painting_on_one_long_strip(steps: list[tuple[str, int, int]]) -> None:
    """The simplest thing that could be right: two arrays as long as the call, and a pen."""
    timeline = StereoTimeline(8000)
    left, right = np.zeros(4000, np.int16), np.zeros(4000, np.int16)
    clock = bot_end = drained = 0
    got: list[Pcm] = []
    for value, (name, offset, length) in enumerate(steps, 1):
        audio = np.full(length, value, np.int16)
        if name == "caller":
            start = max(clock, drained) + offset
            timeline.caller(start, audio)
            left[start : start + length] = value
            clock = start + length
        elif name == "bot":
            timeline.bot(max(clock + offset, 0), audio)
            if length:
                start = max(clock + offset, bot_end, drained, 0)
                right[start : start + length] = value
                bot_end = start + length
        elif name == "clear":
            at = max(clock + offset, drained)
            timeline.clear_bot(at)
            right[at:] = 0
            bot_end = min(bot_end, at)
        else:
            upto = max(drained + offset, 0)
            got.append(timeline.drain(upto))
            drained = max(drained, upto)
    got.append(timeline.drain(4000))
    strip = np.concatenate(got)
    assert np.array_equal(strip[::2], left)
    assert np.array_equal(strip[1::2], right)
    assert timeline.held == timeline.lost == 0
