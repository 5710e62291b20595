"""The stereo timeline: to the sample, without what was cleared, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.frames import Pcm
from media.recording import Channels, StereoTimeline, laid_out


def pcm(*values: int) -> Pcm:
    return np.array(values, np.int16)


def channels(interleaved: Pcm) -> tuple[list[int], list[int]]:
    return interleaved[::2].tolist(), interleaved[1::2].tolist()


def drain(timeline: StereoTimeline, upto: int) -> Pcm:
    """Give out for good."""
    begin, given = timeline.take(upto)
    assert begin == timeline.given - len(given) // 2
    timeline.settle(timeline.given)
    return given


def test_caller_left_and_bot_right_each_at_its_sample() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4))
    timeline.bot(2, pcm(7, 8, 9))
    timeline.caller(4, pcm(5, 6))
    drained = drain(timeline, 6)
    assert drained.dtype == np.int16
    assert channels(drained) == ([1, 2, 3, 4, 5, 6], [0, 0, 7, 8, 9, 0])


def test_gaps_are_silence() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(2, pcm(1))
    timeline.caller(5, pcm(2))
    timeline.bot(1, pcm(7))
    timeline.bot(4, pcm(8))
    assert channels(drain(timeline, 7)) == ([0, 0, 1, 0, 0, 2, 0], [0, 7, 0, 0, 8, 0, 0])


def test_a_piece_may_be_drained_in_parts() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4, 5))
    timeline.bot(1, pcm(6, 7, 8))
    assert channels(drain(timeline, 2)) == ([1, 2], [0, 6])
    assert channels(drain(timeline, 3)) == ([3], [7])
    assert channels(drain(timeline, 3)) == ([], [])
    assert channels(drain(timeline, 1)) == ([], [])
    assert channels(drain(timeline, 6)) == ([4, 5, 0], [8, 0, 0])
    assert timeline.settled == 6
    assert timeline.held == 0


def test_bot_audio_never_lies_over_bot_audio() -> None:
    timeline = StereoTimeline(8000)
    timeline.bot(2, pcm(1, 2, 3))
    timeline.bot(3, pcm(4, 5))
    timeline.bot(0, pcm(6))
    assert channels(drain(timeline, 9))[1] == [0, 0, 1, 2, 3, 4, 5, 6, 0]


def test_bot_audio_for_a_time_already_written_goes_to_the_next_free_place() -> None:
    timeline = StereoTimeline(8000)
    drain(timeline, 3)
    timeline.bot(1, pcm(4, 5))
    assert channels(drain(timeline, 6))[1] == [4, 5, 0]


def test_what_was_cleared_is_absent() -> None:
    timeline = StereoTimeline(8000)
    timeline.bot(0, pcm(1, 2, 3))
    timeline.bot(3, pcm(4, 5, 6))
    timeline.bot(6, pcm(7, 8, 9))
    timeline.clear_bot(4)
    assert timeline.held == 4
    timeline.bot(5, pcm(10))
    assert channels(drain(timeline, 8))[1] == [1, 2, 3, 4, 0, 10, 0, 0]


@pytest.mark.parametrize("at", [0, 3, 9])
def test_clearing_at_an_edge(at: int) -> None:
    timeline = StereoTimeline(8000)
    timeline.bot(0, pcm(1, 2, 3))
    timeline.bot(3, pcm(4, 5, 6))
    timeline.clear_bot(at)
    assert channels(drain(timeline, 6))[1] == ([1, 2, 3, 4, 5, 6][:at] + [0] * 6)[:6]


def test_clearing_does_not_reach_what_is_written_nor_the_caller() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 1, 1, 1))
    timeline.bot(0, pcm(2, 2, 2, 2))
    assert channels(drain(timeline, 2)) == ([1, 1], [2, 2])
    timeline.clear_bot(0)
    assert channels(drain(timeline, 4)) == ([1, 1], [0, 0])


def test_a_frame_of_the_caller_that_comes_again_is_left_out() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3))
    timeline.caller(0, pcm(9, 9, 9))
    timeline.caller(2, pcm(9, 4))
    assert timeline.clock == 4
    assert channels(drain(timeline, 5))[0] == [1, 2, 3, 4, 0]
    timeline.caller(4, pcm(9, 5))
    assert channels(drain(timeline, 7))[0] == [5, 0]


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
    assert channels(drain(timeline, 12))[1] == [*range(1, 11), 0, 0]
    timeline.bot(12, pcm(5))
    assert channels(drain(timeline, 13))[1] == [5]


def test_the_clock_goes_on_where_the_callers_audio_finds_no_room() -> None:
    """Else a disk that was slow once would stop the recording for good."""
    timeline = StereoTimeline(1000, max_held_ms=4)
    for start in range(0, 10, 2):
        timeline.caller(start, pcm(1, 2))
    assert (timeline.clock, timeline.held, timeline.lost) == (10, 4, 6)
    assert channels(drain(timeline, 10))[0] == [1, 2, 1, 2, 0, 0, 0, 0, 0, 0]
    timeline.caller(10, pcm(3))
    assert channels(drain(timeline, 11))[0] == [3]


def test_a_jump_of_the_clock_is_silence_and_loses_nothing() -> None:
    timeline = StereoTimeline(1000, max_held_ms=10)
    timeline.caller(0, pcm(1))
    timeline.caller(60_000, pcm(2))
    left, _ = channels(drain(timeline, 60_001))
    assert (left[0], left[-1], sum(left), timeline.lost) == (1, 2, 3, 0)


@pytest.mark.parametrize(
    ("channels", "wanted"),
    [
        ("stereo", [1, 10, 2, 20, 30_000, 30_000]),
        ("mono", [11, 22, 32_767]),
        ("user", [1, 2, 30_000]),
        ("bot", [10, 20, 30_000]),
    ],
)
def test_a_file_may_have_one_channel(channels: Channels, wanted: list[int]) -> None:
    assert laid_out(pcm(1, 10, 2, 20, 30_000, 30_000), channels).tolist() == wanted


# --- what changes after it was given out ------------------------------------------------------------------


def test_what_is_learnt_late_is_given_out_anew_from_there() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4))
    assert timeline.take(4)[0] == 0
    assert not timeline.outdated(4)
    timeline.bot(2, pcm(8))
    assert timeline.outdated(4)
    timeline.caller(4, pcm(5))
    begin, given = timeline.take(5)
    assert (begin, *channels(given)) == (2, [3, 4, 5], [8, 0, 0])
    assert not timeline.outdated(5)


def test_what_is_settled_changes_no_more_and_takes_no_memory() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4))
    timeline.take(4)
    timeline.settle(3)
    assert timeline.held == 1
    timeline.bot(0, pcm(8))
    begin, given = timeline.take(4)
    assert (begin, *channels(given)) == (3, [4], [8])


def test_what_was_not_given_out_cannot_be_settled() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4))
    timeline.take(4)
    timeline.bot(1, pcm(8))
    timeline.settle(4)
    assert timeline.settled == 1
    assert channels(timeline.take(4)[1]) == ([2, 3, 4], [8, 0, 0])


def test_a_long_change_may_be_taken_in_parts() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3, 4, 5))
    timeline.take(5)
    timeline.bot(1, pcm(6, 7, 8, 9))
    begin, given = timeline.take(5, longest=2)
    assert (begin, *channels(given)) == (1, [2, 3], [6, 7])
    begin, given = timeline.take(5, longest=2)
    assert (begin, *channels(given)) == (3, [4, 5], [8, 9])
    assert not timeline.outdated(5)


# --- pauses -----------------------------------------------------------------------------------------------


def test_a_pause_is_silence_on_both_sides_and_time_goes_on() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3))
    timeline.bot(0, pcm(7, 7, 7))
    timeline.pause(2)
    timeline.pause(0)  # Twice is once.
    timeline.caller(3, pcm(4, 5, 6))
    timeline.bot(3, pcm(8, 8, 8))
    timeline.resume(5)
    timeline.caller(6, pcm(7))
    assert channels(drain(timeline, 7)) == ([1, 2, 0, 0, 0, 0, 7], [7, 7, 0, 0, 0, 0, 0])


def test_what_was_heard_before_a_pause_and_is_learnt_in_it_is_kept_and_the_other_way_round() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 1, 1, 1))
    timeline.pause(4)
    timeline.caller(4, pcm(1, 1, 1, 1))
    timeline.bot(2, pcm(5, 6, 7, 8))
    timeline.resume(8)
    timeline.caller(8, pcm(1, 1))
    timeline.bot(7, pcm(2, 3, 4))
    assert channels(drain(timeline, 10)) == (
        [1, 1, 1, 1, 0, 0, 0, 0, 1, 1],
        [0, 0, 5, 6, 0, 0, 0, 0, 3, 4],
    )


def test_what_was_given_out_already_is_taken_back_by_a_pause() -> None:
    timeline = StereoTimeline(8000)
    timeline.caller(0, pcm(1, 2, 3))
    timeline.take(3)
    timeline.pause(1)
    begin, given = timeline.take(3)
    assert (begin, *channels(given)) == (1, [0, 0], [0, 0])


operations = st.one_of(
    st.tuples(st.just("caller"), st.integers(0, 12), st.integers(0, 9)),
    st.tuples(st.just("bot"), st.integers(-6, 20), st.integers(0, 9)),
    st.tuples(st.just("clear"), st.integers(-9, 20), st.just(0)),
    st.tuples(st.just("pause"), st.integers(-9, 3), st.just(0)),
    st.tuples(st.just("resume"), st.integers(-3, 3), st.just(0)),
    st.tuples(st.just("take"), st.integers(-6, 15), st.one_of(st.none(), st.integers(1, 20))),
    st.tuples(st.just("settle"), st.integers(-15, 0), st.just(0)),
)


class Strip:
    """The simplest thing that could be right: two arrays as long as the call, and a pen."""

    def __init__(self) -> None:
        self.sides = np.zeros((4000, 2), np.int16)
        self.clock = self.bot_end = 0
        self.silent = np.zeros(4000, bool)
        self.paused: int | None = None
        self.resumed = 0

    def paint(self, side: int, start: int, length: int, value: int) -> int | None:
        """Returns the end of what is there of it."""
        places = np.arange(start, start + length)
        kept = places[~self.silent[start : start + length]]
        self.sides[kept, side] = value
        return int(kept[-1]) + 1 if len(kept) else None

    def pause(self, at: int) -> None:
        self.paused = at
        self.silent[at:] = True
        self.sides[at:] = 0
        self.bot_end = min(self.bot_end, at)

    def resume(self, at: int) -> None:
        assert self.paused is not None
        self.resumed, self.paused = max(at, self.paused), None
        self.silent[self.resumed :] = False


@given(st.lists(operations, max_size=60))
def test_it_is_the_same_as_painting_on_one_long_strip(steps: list[tuple[str, int, int | None]]) -> None:
    timeline, strip = StereoTimeline(8000), Strip()
    file = np.full((4000, 2), -1, np.int16)

    def take(upto: int, longest: int | None) -> None:
        begin, given = timeline.take(upto, longest)
        file[begin : begin + len(given) // 2] = given.reshape(-1, 2)

    for value, (name, offset, length) in enumerate(steps, 1):
        settled = timeline.settled
        audio = np.full(length or 0, value, np.int16)
        match name:
            case "caller":
                start = max(strip.clock, settled) + offset
                timeline.caller(start, audio)
                strip.paint(0, start, len(audio), value)
                strip.clock = start + len(audio)
            case "bot":
                at = max(strip.clock + offset, 0)
                timeline.bot(at, audio)
                end = strip.paint(1, max(at, strip.bot_end, settled), len(audio), value)
                strip.bot_end = end or strip.bot_end
            case "clear":
                at = max(strip.clock + offset, settled)
                timeline.clear_bot(at)
                strip.sides[at:, 1] = 0
                strip.bot_end = min(strip.bot_end, at)
            case "pause" if strip.paused is None:
                at = max(strip.clock + offset, settled, strip.resumed)
                timeline.pause(at)
                strip.pause(at)
            case "resume" if strip.paused is not None:
                at = max(strip.clock + offset, settled, 0)
                timeline.resume(at)
                strip.resume(at)
            case "take":
                take(max(strip.clock + offset, 0), length)
            case "settle":
                timeline.settle(strip.clock + offset)
    while timeline.outdated(4000):
        take(4000, 1500)
    assert np.array_equal(file, strip.sides)
    timeline.settle(4000)
    assert timeline.held == timeline.lost == 0
