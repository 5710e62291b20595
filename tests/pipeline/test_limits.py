"""How long a call may last, and how long its caller may say nothing."""

from __future__ import annotations

import pytest

from pipeline.events import EndReason, SessionIdleWarning, SessionTimeout
from pipeline.limits import ANSWER_S, End, Limits, Output, SessionLimits

USUAL = SessionLimits()
QUIET = {"busy": False, "speaks": False}
TALK = {"busy": True, "speaks": True}


def run(limits: Limits, until: float, since: float = 0.0) -> list[tuple[float, Output]]:
    """What comes up to a time, and when: ticked at its deadlines only."""
    out: list[tuple[float, Output]] = []
    now = since
    while (deadline := limits.deadline) is not None and deadline <= until:
        now = max(now, deadline)
        said = limits.tick(now)
        assert said, "a deadline at which nothing was due"
        out += [(round(now, 6), event) for event in said]
    return out


def test_the_ladder_of_a_caller_who_says_nothing() -> None:
    out = run(Limits(USUAL, 0.0), 1000.0)
    assert out == [
        (45.0, SessionIdleWarning(15.0, 60.0)),
        (60.0, SessionIdleWarning(0.0, 60.0)),
        (70.0, SessionTimeout("idle_timeout", 8.0)),
        (70.0 + ANSWER_S, End(EndReason.IDLE_TIMEOUT, "the caller said nothing for 70 s")),
    ]


def test_only_the_caller_sets_the_ladder_back() -> None:
    limits = Limits(USUAL, 0.0)
    assert len(run(limits, 65.0)) == 2
    limits.activity(65.0)
    assert [at for at, _ in run(limits, 1000.0, 65.0)] == [110.0, 125.0, 135.0, 136.0]


def test_what_goes_on_stops_the_time_and_does_not_set_it_back() -> None:
    limits = Limits(USUAL, 0.0)
    assert run(limits, 40.0) == []
    limits.note(**TALK, now=40.0)
    assert run(limits, 100.0) == []
    limits.note(**QUIET, now=100.0)
    assert [at for at, _ in run(limits, 400.0, 100.0)] == [105.0, 120.0, 130.0, 131.0]


def test_a_sign_of_life_while_something_goes_on_counts() -> None:
    limits = Limits(USUAL, 0.0)
    run(limits, 40.0)
    limits.note(**TALK, now=40.0)
    limits.activity(41.0)
    limits.note(**QUIET, now=50.0)
    assert [at for at, _ in run(limits, 400.0, 50.0)] == [95.0, 110.0, 120.0, 121.0]


def test_saying_the_same_twice_counts_the_time_once() -> None:
    limits = Limits(USUAL, 0.0)
    for now in (10.0, 20.0, 30.0):
        limits.note(**QUIET, now=now)
    assert run(limits, 46.0, 30.0)[0][0] == 45.0


def test_the_longest_call() -> None:
    limits = Limits(SessionLimits(max_duration_s=100.0, idle_timeout_s=0.0), 5.0)
    limits.note(**TALK, now=50.0)
    limits.activity(90.0)
    assert run(limits, 110.0) == [(105.0, SessionTimeout("max_duration", 8.0))]
    assert limits.ending


@pytest.mark.parametrize(
    ("limits", "times"),
    [
        (SessionLimits(idle_warning_s=0.0), [70.0, 71.0]),
        (SessionLimits(idle_grace_s=0.0), [45.0, 60.0, 61.0]),
        (SessionLimits(idle_timeout_s=10.0), [10.0, 20.0, 21.0]),
        (SessionLimits(idle_timeout_s=0.0), [600.0, 601.0]),
        (SessionLimits(idle_timeout_s=0.0, max_duration_s=0.0), []),
        (SessionLimits(farewell_s=0.0), [45.0, 60.0, 70.0, 70.0]),
        (SessionLimits(farewell_s=0.5), [45.0, 60.0, 70.0, 70.5]),
    ],
)
def test_each_can_be_switched_off(limits: SessionLimits, times: list[float]) -> None:
    assert [at for at, _ in run(Limits(limits, 0.0), 5000.0)] == times


def test_what_is_said_in_answer_to_a_timeout_is_heard() -> None:
    limits = Limits(USUAL, 0.0)
    run(limits, 70.5)
    limits.note(**TALK, now=70.5)
    assert run(limits, 75.0) == []
    limits.note(**QUIET, now=75.0)
    assert [type(event) for _, event in run(limits, 75.0, 75.0)] == [End]


def test_a_farewell_is_bounded() -> None:
    limits = Limits(USUAL, 0.0)
    run(limits, 70.5)
    limits.note(**TALK, now=70.5)
    assert [(at, type(event)) for at, event in run(limits, 100.0)] == [(78.0, End)]


def test_a_pause_within_the_time_to_answer_is_waited_for() -> None:
    limits = Limits(USUAL, 0.0)
    limits.note(**TALK, now=69.9)
    run(limits, 69.9)
    limits.note(**QUIET, now=69.9)
    run(limits, 70.2)
    limits.note(**TALK, now=70.2)
    limits.note(**QUIET, now=70.3)
    assert [at for at, _ in run(limits, 100.0)] == [71.0]


def test_whoever_comes_back_during_the_farewell_changes_nothing() -> None:
    limits = Limits(USUAL, 0.0)
    run(limits, 70.1)
    limits.activity(70.5)
    limits.note(busy=True, speaks=False, now=70.5)
    assert [(at, type(event)) for at, event in run(limits, 100.0)] == [(71.0, End)]


def test_after_the_end_nothing_comes() -> None:
    limits = Limits(USUAL, 0.0)
    run(limits, 1000.0)
    assert limits.deadline is None
    assert limits.tick(5000.0) == []


def test_a_limit_that_is_reached_stays_as_it_was_told() -> None:
    limits = Limits(SessionLimits(max_duration_s=10.0, farewell_s=3.0), 0.0)
    assert limits.tick(10.0) == [SessionTimeout("max_duration", 3.0)]
    limits.change(SessionLimits(max_duration_s=600.0, farewell_s=60.0))
    limits.note(**TALK, now=10.0)
    assert run(limits, 100.0, 10.0) == [(13.0, End(EndReason.MAX_DURATION, "the call reached 10 s"))]


def test_other_limits_hold_at_once() -> None:
    limits = Limits(USUAL, 0.0)
    assert len(run(limits, 61.0)) == 2
    limits.change(SessionLimits(idle_timeout_s=120.0))
    assert [at for at, _ in run(limits, 131.0, 61.0)] == [105.0, 120.0, 130.0, 131.0]
    limits = Limits(USUAL, 0.0)
    run(limits, 61.0)
    limits.change(SessionLimits(idle_timeout_s=20.0, idle_grace_s=5.0))
    assert [type(event) for _, event in run(limits, 61.0, 61.0)] == [SessionTimeout]
