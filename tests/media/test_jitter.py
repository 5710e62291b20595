"""Every chunk number takes exactly one place on the leg's clock, whatever the carrier does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.jitter import ChunkSequence


def test_an_unbroken_stream_has_no_holes() -> None:
    chunks = ChunkSequence()
    assert [chunks.missing_before(n) for n in range(1, 500)] == [0] * 499
    assert (chunks.lost, chunks.duplicate, chunks.late, chunks.resets) == (0, 0, 0, 0)


def test_the_clock_begins_with_the_first_chunk_whatever_its_number() -> None:
    chunks = ChunkSequence()
    assert chunks.missing_before(7000) == 0
    assert chunks.missing_before(7001) == 0
    assert chunks.lost == 0


def test_lost_chunks_are_counted_before_the_next_one() -> None:
    chunks = ChunkSequence()
    assert [chunks.missing_before(n) for n in (1, 2, 6, 7, 9)] == [0, 0, 3, 0, 1]
    assert chunks.lost == 4


def test_a_repeated_chunk_is_dropped() -> None:
    chunks = ChunkSequence()
    assert [chunks.missing_before(n) for n in (1, 2, 2, 1, 3)] == [0, 0, None, None, 0]
    assert (chunks.duplicate, chunks.late) == (2, 0)


def test_a_late_chunk_is_dropped_since_silence_has_its_place() -> None:
    chunks = ChunkSequence()
    assert [chunks.missing_before(n) for n in (1, 4, 2, 5)] == [0, 2, None, 0]
    assert (chunks.lost, chunks.late, chunks.duplicate) == (2, 1, 0)
    # The second time it is a repetition.
    assert chunks.missing_before(2) is None
    assert (chunks.late, chunks.duplicate) == (1, 1)


def test_the_longest_hole_is_filled_and_a_longer_one_is_a_reset() -> None:
    chunks = ChunkSequence(max_gap=250)
    assert chunks.missing_before(1) == 0
    assert chunks.missing_before(252) == 250
    assert chunks.missing_before(504) == 0
    assert (chunks.lost, chunks.resets) == (250, 1)
    assert chunks.missing_before(505) == 0


def test_a_counter_that_begins_anew_far_back_is_a_reset_at_once() -> None:
    chunks = ChunkSequence()
    for n in range(1, 1001):
        chunks.missing_before(n)
    assert [chunks.missing_before(n) for n in (1, 2, 4)] == [0, 0, 1]
    assert (chunks.resets, chunks.lost) == (1, 1)


def test_a_counter_that_begins_anew_early_is_understood_within_100_ms() -> None:
    chunks = ChunkSequence()
    for n in range(1, 51):
        chunks.missing_before(n)
    assert [chunks.missing_before(n) for n in range(1, 8)] == [None] * 4 + [0, 0, 0]
    assert (chunks.resets, chunks.duplicate) == (1, 4)


def test_repetitions_between_good_chunks_never_add_up_to_a_reset() -> None:
    chunks = ChunkSequence()
    chunks.missing_before(1)
    for n in range(2, 30):
        assert chunks.missing_before(n) == 0
        assert chunks.missing_before(n - 1) is None
    assert chunks.resets == 0


def test_what_is_remembered_of_lost_chunks_is_bounded() -> None:
    chunks = ChunkSequence(max_gap=250)
    for n in range(1, 20_000, 100):
        chunks.missing_before(n)
    assert chunks.lost == 199 * 99
    assert len(chunks._holes) == 250


@given(st.lists(st.integers(-300, 300), max_size=200))
def test_whatever_comes_the_clock_is_the_counter(steps: list[int]) -> None:
    """Between two resets the frames played and filled are exactly the span of the numbers taken."""
    chunks = ChunkSequence()
    number, first, clock, resets, taken = 1000, None, 0, 0, 0
    for step in steps:
        number += step
        missing = chunks.missing_before(number)
        if missing is None:
            continue
        assert 0 <= missing <= 250
        taken += 1
        if first is None or chunks.resets != resets:
            assert missing == 0
            first, clock, resets = number, 0, chunks.resets
        clock += missing + 1
        assert clock == number - first + 1
    assert taken + chunks.duplicate + chunks.late == len(steps)
