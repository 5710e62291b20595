"""With which token a page may come back."""

from __future__ import annotations

from server.way_back import WayBack


def test_the_last_token_is_good_and_none_before_it() -> None:
    way = WayBack()
    assert not way.takes("")
    way.gave("first")
    way.heard()
    assert way.takes("first")
    assert not way.takes("other")
    way.came("first")
    way.gave("second")
    way.heard()
    assert way.takes("second")
    assert not way.takes("first")


def test_a_connection_that_never_opened_costs_nothing() -> None:
    way = WayBack()
    way.gave("first")
    way.heard()
    for _ in range(3):
        way.came("first")
        assert way.takes("first")


def test_a_token_that_may_not_have_arrived_leaves_the_one_before() -> None:
    way = WayBack()
    way.gave("first")
    way.heard()
    way.came("first")
    way.gave("second")
    assert way.takes("first")
    assert way.takes("second")
    way.came("first")
    way.gave("third")
    assert way.takes("first")
    assert not way.takes("second"), "who came with the first did not have it"
    assert way.takes("third")
