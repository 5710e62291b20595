"""Who tries too often waits; who does not is not kept waiting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.ratelimit import MAX_KNOWN, Attempts


def test_after_so_many_tries_the_oldest_has_to_be_a_minute_ago() -> None:
    attempts = Attempts(3, 60.0)
    for now in (0.0, 10.0, 20.0):
        assert attempts.wait_s("1.2.3.4", now) == 0
        attempts.note("1.2.3.4", now)
    assert attempts.wait_s("1.2.3.4", 25.0) == 35.0
    assert attempts.wait_s("1.2.3.5", 25.0) == 0
    assert attempts.wait_s("1.2.3.4", 60.0) == 0
    attempts.note("1.2.3.4", 60.0)
    assert attempts.wait_s("1.2.3.4", 60.0) == 10.0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.5", False),
        ("testclient", "other", False),
        ("", "", True),
    ],
)
def test_an_owner_of_ipv6_has_one_address(one: str, other: str, same: bool) -> None:
    attempts = Attempts(1, 60.0)
    attempts.note(one, 0.0)
    assert (attempts.wait_s(other, 1.0) > 0) is same


def test_it_remembers_so_many_addresses_and_no_more() -> None:
    attempts = Attempts(2, 60.0)
    for index in range(MAX_KNOWN + 10):
        attempts.note(str(index), 0.0)
        attempts.note(str(index), 0.0)
    assert len(attempts) == MAX_KNOWN
    assert attempts.wait_s("0", 0.0) == 0
    assert attempts.wait_s(str(MAX_KNOWN), 0.0) == 60.0


@given(st.lists(st.floats(0, 30), max_size=60))
def test_within_any_minute_no_more_get_through(gaps: list[float]) -> None:
    attempts, now, through = Attempts(10, 60.0), 0.0, []
    for gap in gaps:
        now += gap
        if attempts.wait_s("a", now) == 0:
            attempts.note("a", now)
            through.append(now)
    for first in through:
        assert sum(first <= at < first + 60.0 for at in through) <= 10
