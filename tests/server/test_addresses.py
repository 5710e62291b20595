"""Where a request came from."""

from __future__ import annotations

import pytest

from server.addresses import MAX_HOPS, UNKNOWN, Proxies

PROXIES = Proxies(["127.0.0.0/8", "10.0.0.0/8", "::1/128"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["198.51.100.1", "203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("::1", ["203.0.113.9:5543"], "203.0.113.9"),
        ("127.0.0.1", ['"[2001:db8:1:2:3::4]:443"'], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:aaaa::1", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        (None, ["203.0.113.9"], UNKNOWN),
        ("testclient", [], UNKNOWN),
    ],
)
def test_whose_address_counts(peer: str | None, forwarded: list[str], caller: str) -> None:
    assert PROXIES.caller(peer, forwarded) == caller


def test_a_caller_cannot_say_where_he_comes_from() -> None:
    assert PROXIES.caller("203.0.113.9", ["198.51.100.1"]) == "203.0.113.9", "that is no proxy"
    assert PROXIES.caller("127.0.0.1", ["1.1.1.1, nonsense, 203.0.113.9"]) == "203.0.113.9"
    assert PROXIES.caller("127.0.0.1", ["203.0.113.9, nonsense"]) == "203.0.113.9", "a proxy wrote that"
    assert Proxies([]).caller("127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"


def test_no_more_is_read_than_proxies_may_stand_behind_each_other() -> None:
    hops = ["203.0.113.9"] + ["10.0.0.1"] * (MAX_HOPS + 5)
    assert PROXIES.caller("127.0.0.1", [",".join(hops)]) == "10.0.0.1"
