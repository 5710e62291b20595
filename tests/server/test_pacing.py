"""Turns are given in order, evenly, and none is lost."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.pacing import Pace


def test_a_burst_is_spread() -> None:
    pace = Pace(2.0)
    assert [pace.reserve(10.0) for _ in range(4)] == [10.0, 10.5, 11.0, 11.5]


def test_whoever_comes_late_waits_for_nothing() -> None:
    pace = Pace(1.0)
    assert pace.reserve(1.0) == 1.0
    assert pace.reserve(50.0) == 50.0
    assert pace.reserve(50.2) == 51.0


@given(
    st.floats(0.1, 50),
    st.lists(st.floats(0, 5, allow_nan=False, allow_infinity=False), min_size=2, max_size=50),
)
def test_two_turns_are_never_closer_than_the_rate_allows(rate: float, waits: list[float]) -> None:
    pace, now, turns = Pace(rate), 0.0, []
    for wait in waits:
        now += wait
        turns.append(pace.reserve(now))
        assert turns[-1] >= now
    assert all(later - earlier >= 1 / rate - 1e-9 for earlier, later in pairwise(turns))
