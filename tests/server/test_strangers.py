"""What pages get that no key vouches for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from server.strangers import MAX_KEYS, Allowed, Rate, Strangers, TooMany

HOME, SHOP = "203.0.113.9", "https://shop.example.org"


@dataclass
class Place:
    stranger: str | None = HOME
    agent: str = "clock"
    connecting: bool = False


def test_so_many_in_a_minute_at_once_or_one_after_another() -> None:
    rate = Rate(6)
    for _ in range(6):
        assert rate.wait_s("a", 100.0) == 0
        rate.take("a", 100.0)
    assert rate.wait_s("a", 100.0) == pytest.approx(10.0)
    assert rate.wait_s("b", 100.0) == 0
    assert rate.wait_s("a", 104.0) == pytest.approx(6.0)
    assert rate.wait_s("a", 110.01) == 0
    rate.take("a", 110.01)
    assert rate.wait_s("a", 110.01) == pytest.approx(10.0, abs=0.1)


def test_what_is_not_used_is_not_saved_up() -> None:
    rate = Rate(2)
    rate.take("a", 0.0)
    for _ in range(2):
        assert rate.wait_s("a", 10_000.0) == 0
        rate.take("a", 10_000.0)
    assert rate.wait_s("a", 10_000.0) > 0


def test_no_more_keys_are_remembered_than_fit() -> None:
    rate = Rate(1)
    for number in range(MAX_KEYS + 5):
        rate.take(str(number), 0.0)
    assert len(rate._left) == MAX_KEYS
    assert rate.wait_s("0", 0.0) == 0
    assert rate.wait_s(str(MAX_KEYS), 0.0) > 0


def test_tokens_of_one_address_and_of_one_origin() -> None:
    strangers = Strangers(Allowed(tokens_per_minute=2))
    for _ in range(2):
        strangers.token(HOME, SHOP, 0.0)
    with pytest.raises(TooMany, match="2 tokens a minute are given to one address") as refused:
        strangers.token(HOME, SHOP, 0.0)
    assert refused.value.retry_after_s == pytest.approx(30.0)
    strangers.token(HOME, SHOP, 30.1)
    for number in range(19):
        strangers.token(f"198.51.100.{number}", SHOP, 30.1)
    with pytest.raises(TooMany, match="20 tokens a minute are given to one origin"):
        strangers.token("192.0.2.1", SHOP, 30.1)
    strangers.token("192.0.2.1", "https://other.example.org", 30.1)


def test_a_refused_token_counts_for_nothing() -> None:
    strangers = Strangers(Allowed(tokens_per_minute=1))
    for number in range(10):
        strangers.token(f"198.51.100.{number}", SHOP, 0.0)
    with pytest.raises(TooMany, match="one origin"):
        strangers.token(HOME, SHOP, 0.0)
    strangers.token(HOME, "https://other.example.org", 0.0)


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ([Place()] * 3, "3 calls of your network are going on"),
        ([Place(), Place(connecting=True), Place(connecting=True)], "are going on"),
        ([Place(connecting=True)] * 2, "2 calls of your network connect"),
        ([Place(f"198.51.100.{n}", connecting=True) for n in range(4)], "4 calls to agent 'clock' connect"),
        ([Place(None, connecting=True)] * 10, None),
        ([Place("198.51.100.1")] * 10, None),
        ([Place(connecting=True), Place()], None),
        ([Place(f"198.51.100.{n}", "other", connecting=True) for n in range(9)], None),
    ],
)
def test_places(held: list[Place], why: str | None) -> None:
    strangers = Strangers(Allowed(calls=3, connecting=2, connecting_to_agent=4))
    if why is None:
        strangers.place(held, HOME, "clock")
        return
    with pytest.raises(TooMany, match=why) as refused:
        strangers.place(held, HOME, "clock")
    assert 0 < refused.value.retry_after_s <= 60


def test_zero_is_any_number() -> None:
    strangers = Strangers(Allowed(0, 0, 0, 0))
    strangers.place([Place(connecting=True)] * 100, HOME, "clock")
    for _ in range(1000):
        strangers.token(HOME, SHOP, 0.0)
