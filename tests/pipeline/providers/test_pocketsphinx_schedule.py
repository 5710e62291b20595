"""Who gets a worker: the policy as a table, and what must hold whatever the situation."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.providers.pocketsphinx.schedule import plan


@dataclass(frozen=True)
class Segment:
    serial: int
    ended: bool = False
    unheard_samples: int = 0


def over(serial: int) -> Segment:
    return Segment(serial, ended=True)


def spoken(serial: int, samples: int = 0) -> Segment:
    return Segment(serial, unheard_samples=samples)


@pytest.mark.parametrize(
    ("waiting", "running", "free", "take_back", "give"),
    [
        pytest.param([], [], 2, [], [], id="nothing to do"),
        pytest.param([spoken(2), spoken(1)], [], 1, [], [1], id="the older first"),
        pytest.param([spoken(1), over(2)], [], 1, [], [2], id="who is done first"),
        pytest.param([spoken(3)], [spoken(1), spoken(2)], 0, [], [], id="a talker waits for talkers"),
        pytest.param([over(3)], [spoken(1, 50), spoken(2, 20)], 0, [2], [3], id="taken from the cheapest"),
        pytest.param([over(3)], [over(1), spoken(2)], 0, [], [], id="one will be free in a moment"),
        pytest.param([over(3), over(4)], [over(1), spoken(2)], 0, [2], [3], id="but only one"),
        pytest.param([over(3), over(4)], [over(1), over(2)], 0, [], [], id="a full pool"),
        pytest.param([over(3), over(4)], [spoken(1)], 1, [1], [3, 4], id="the free one counts"),
    ],
)
def test_the_policy(
    waiting: list[Segment], running: list[Segment], free: int, take_back: list[int], give: list[int]
) -> None:
    moves = plan(waiting, running, free)
    assert [s.serial for s in moves.take_back] == take_back
    assert [s.serial for s in moves.give] == give


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=8),
    st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=4),
    st.integers(0, 4),
)
def test_what_always_holds(waits: list[tuple[bool, int]], runs: list[tuple[bool, int]], free: int) -> None:
    waiting = [Segment(n, ended, size) for n, (ended, size) in enumerate(waits)]
    running = [Segment(100 + n, ended, size) for n, (ended, size) in enumerate(runs)]
    moves = plan(waiting, running, free)
    assert not any(s.ended for s in moves.take_back)
    assert set(moves.take_back) <= set(running)
    assert set(moves.give) <= set(waiting)
    assert len(moves.give) == min(len(waiting), free + len(moves.take_back))
    if moves.take_back:  # whoever is taken from makes room for one who is done
        assert all(s.ended for s in moves.give)
    still_spoken = [s for s in running if not s.ended and s not in moves.take_back]
    left = [s for s in waiting if s.ended and s not in moves.give]
    finishing = sum(s.ended for s in running)
    assert not still_spoken or len(left) <= finishing
