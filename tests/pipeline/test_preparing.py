"""How long an answer waits for its agent."""

from __future__ import annotations

import pytest

from pipeline.preparing import MAX_SILENT_TURNS, Barrier, Missed, Opening, Preparing

OPTED_IN = Preparing(1500, opted_in=True)


def due(barrier: Barrier | Opening) -> float | None:
    return barrier.deadline


def test_the_agent_is_waited_for_until_it_is_ready() -> None:
    barrier = Barrier(OPTED_IN)
    assert barrier.begin(1, 10.0)
    assert due(barrier) == 11.5
    assert barrier.tick(11.4) is None
    assert not barrier.ready(0), "that is another turn"
    assert barrier.ready(1)
    assert due(barrier) is None
    assert not barrier.ready(1), "it is over"
    assert barrier.tick(20.0) is None


def test_without_a_turn_whatever_is_waited_for_goes_on() -> None:
    barrier = Barrier(OPTED_IN)
    assert not barrier.ready(None)
    barrier.begin(1, 0.0)
    barrier.begin(1, 0.1)
    assert barrier.ready(None)


def test_a_turn_that_goes_on_waits_for_both() -> None:
    barrier = Barrier(OPTED_IN)
    barrier.begin(1, 0.0)
    barrier.drop()
    assert due(barrier) is None
    barrier.begin(1, 0.5)
    assert not barrier.ready(1), "this one was for what is void"
    assert barrier.ready(1)
    barrier.begin(1, 1.0)
    barrier.drop()
    assert not barrier.ready(1)
    barrier.begin(1, 2.0)
    assert barrier.ready(1), "the first had come before"


def test_the_next_turn_owes_nothing_for_the_last_one() -> None:
    barrier = Barrier(OPTED_IN)
    barrier.begin(1, 0.0)
    barrier.begin(2, 1.0)
    assert not barrier.ready(1)
    assert barrier.ready(2)


def test_the_budget_ends_it() -> None:
    barrier = Barrier(OPTED_IN)
    barrier.begin(3, 10.0)
    assert barrier.tick(11.52) == Missed(3, 1520, 1500, told=True)
    assert barrier.tick(11.6) is None
    barrier = Barrier(Preparing(60_000, opted_in=True))
    barrier.begin(1, 0.0)
    assert due(barrier) == 5.0
    barrier = Barrier(Preparing())
    barrier.begin(1, 0.0)
    assert barrier.tick(0.15) == Missed(1, 150, 150, told=False)


def test_who_does_not_know_it_is_asked_in_three_turns_only() -> None:
    barrier = Barrier(Preparing())
    for turn in (0, 0, 1, 2):
        assert barrier.begin(turn, turn)
        assert barrier.tick(turn + 1)
    assert not barrier.begin(3, 9.0)
    barrier.ready(1)
    assert barrier.begin(4, 10.0), "it does know"
    barrier.config = OPTED_IN
    for turn in range(10, 20):
        assert barrier.begin(turn, turn)
        assert barrier.tick(turn + 2)


def test_an_answer_now_and_then_is_enough() -> None:
    barrier = Barrier(Preparing())
    for turn in range(4 * MAX_SILENT_TURNS):
        assert barrier.begin(turn, turn)
        if turn % MAX_SILENT_TURNS == 0:
            assert barrier.ready(turn)
        assert (barrier.tick(turn + 1) is None) == (turn % MAX_SILENT_TURNS == 0)


@pytest.mark.parametrize("config", [None, OPTED_IN])
def test_nobody_is_waited_for_who_does_not_want_it_or_is_away(config: Preparing | None) -> None:
    barrier = Barrier(config)
    if config is not None:
        assert barrier.begin(1, 0.0)
        barrier.agent_away()
        assert due(barrier) is None
    assert not barrier.begin(1, 0.0)
    barrier.agent_back()
    assert barrier.begin(1, 0.0) == (config is not None)
    assert barrier.ready(1) == (config is not None), "what it was told before is forgotten"


def test_an_opening_is_over_with_the_first_that_ends_it() -> None:
    opening = Opening(600)
    assert not opening.close(), "it has not begun"
    assert opening.begin(10.0)
    assert due(opening) == 10.6
    assert not opening.tick(10.59)
    assert opening.close()
    assert due(opening) is None
    assert not opening.close()
    assert not opening.tick(20.0), "once"


def test_an_opening_is_over_by_itself() -> None:
    opening = Opening(600)
    opening.begin(10.0)
    assert opening.tick(10.6)
    assert not opening.tick(10.7)


def test_without_a_wait_there_is_no_opening() -> None:
    opening = Opening(0)
    assert not opening.begin(10.0)
    assert due(opening) is None
