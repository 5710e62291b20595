"""The caller's clock, told by frames that come late."""

from __future__ import annotations

import random

import pytest

from media.callerclock import CallerClock

RATE = 8000


def run(
    clock: CallerClock, seconds: float, *, begin: float = 0.0, late_s: float = 0.0, ppm: float = 0.0
) -> None:
    """Frames of 20 ms, each late by up to so much."""
    rng = random.Random(1)
    for n in range(round(seconds * 50)):
        at = begin + (n + 1) * 0.02 * (1 + ppm / 1e6) + rng.random() * late_s
        clock.frame((n + 1) * 160, at)


def test_on_an_even_line_an_instant_is_its_sample() -> None:
    clock = CallerClock(RATE)
    run(clock, 1.0, begin=100.0)
    assert clock.sample(100.5) == 4000
    assert clock.began_at == pytest.approx(100.0)


def test_frames_that_come_late_do_not_move_it() -> None:
    clock = CallerClock(RATE)
    run(clock, 30.0, begin=100.0, late_s=0.15)
    assert clock.sample(110.0) == pytest.approx(10 * RATE, abs=RATE // 200)


@pytest.mark.parametrize("ppm", [-200.0, 200.0])
def test_it_follows_a_clock_that_goes_wrong(ppm: float) -> None:
    clock = CallerClock(RATE)
    run(clock, 600.0, ppm=ppm, late_s=0.05)
    truth = 599 / (1 + ppm / 1e6) * RATE
    assert clock.sample(599.0) == pytest.approx(truth, abs=RATE // 100)


def test_a_clock_that_stood_still_goes_on_at_once() -> None:
    clock = CallerClock(RATE)
    run(clock, 2.0)
    clock.frame(2 * RATE + 160, 10.02)
    assert clock.sample(10.02) == 2 * RATE + 160
    clock.frame(2 * RATE + 320, 10.04)
    assert clock.sample(10.03) == pytest.approx(2 * RATE + 240, abs=1)


def test_a_stall_that_is_caught_up_leaves_nothing_behind() -> None:
    clock = CallerClock(RATE)
    run(clock, 2.0)
    for n in range(100, 200):
        clock.frame((n + 1) * 160, max(4.5, (n + 1) * 0.02))  # For 2.5 s nothing comes, then all at once.
    assert clock.sample(4.0) == pytest.approx(4 * RATE, abs=RATE // 1)
    run(clock, 1.0, begin=0.0)
    assert clock.sample(1.0) == RATE
