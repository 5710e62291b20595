"""What is remembered of a caller's pauses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.endpointing.habit import KEPT, Habit, odds, stretch


def test_the_latest_pauses_are_kept_and_no_more() -> None:
    habit = Habit()
    assert habit.pauses_ms == ()
    for pause_ms in range(400, 400 + 10 * (KEPT + 3), 10):
        habit.went_on(pause_ms)
    assert habit.pauses_ms == tuple(range(430, 430 + 10 * KEPT, 10))


@pytest.mark.parametrize("pause_ms", [0, 199, 3001, 60_000])
def test_what_is_no_pause_for_thought_is_passed_over(pause_ms: int) -> None:
    habit = Habit()
    habit.went_on(pause_ms)
    assert habit.pauses_ms == ()


def test_one_long_pause_moves_little_and_many_move_much() -> None:
    assert stretch(()) == 1.0
    assert stretch((250, 260)) == 1.0  # too short to be ended by a voice detector: says nothing
    assert 1.0 < stretch((1200,)) < 1.2
    assert stretch((1200,) * 3) > 1.25


@given(st.lists(st.integers(200, 3000), max_size=KEPT))
def test_a_habit_is_bounded(pauses_ms: list[int]) -> None:
    assert 0.85 <= stretch(pauses_ms) <= 1.3


def test_a_turn_that_ended_takes_the_oldest_pause_away() -> None:
    habit = Habit()
    habit.turn_over()
    habit.went_on(500)
    habit.went_on(600)
    habit.turn_over()
    assert habit.pauses_ms == (600,)


def test_going_on_again_and_again_speaks_against_an_end() -> None:
    assert odds(()) == odds((250,)) == 0.0
    assert odds((500,)) > odds((500, 600)) > odds((500,) * KEPT) > -1.2
