"""Which sockets a connection has, and what is told of them."""

from __future__ import annotations

import socket

import pytest

from media.rtc.gathering import STUN_REST_S, Gathering

OWN = ["192.168.1.5", "10.0.0.2", "2001:db8::5"]
ONE, TWO = ("stun.example.org", 3478), ("stun.example.net", 3478)


def free_range(count: int) -> tuple[int, int]:
    """Ports of which nobody has any now."""
    for first in range(42_000, 60_000, count):
        socks = []
        try:
            for port in range(first, first + count):
                socks.append(sock := socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first, first + count - 1
        finally:
            for sock in socks:
                sock.close()
    raise AssertionError("no free ports")


def test_any_port_where_there_is_no_range() -> None:
    with Gathering().bind("127.0.0.1") as sock:
        assert sock.getsockname()[1] > 0
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 1 << 18


def test_each_port_of_a_range_once() -> None:
    first, last = free_range(4)
    gathering = Gathering((first, last))
    socks = [gathering.bind("127.0.0.1") for _ in range(4)]
    try:
        assert sorted(sock.getsockname()[1] for sock in socks) == list(range(first, last + 1))
        with pytest.raises(OSError, match="are taken"):
            gathering.bind("127.0.0.1")
    finally:
        for sock in socks:
            sock.close()
    with gathering.bind("127.0.0.1") as sock:
        assert first <= sock.getsockname()[1] <= last


def test_an_address_that_is_not_ours_has_no_socket() -> None:
    with pytest.raises(OSError):
        Gathering().bind("192.0.2.250")


@pytest.mark.parametrize(
    ("told", "own", "known_as"),
    [
        ((), "10.0.0.2", ["10.0.0.2"]),
        (("203.0.113.5",), "10.0.0.2", ["203.0.113.5"]),
        (("203.0.113.5",), "2001:db8::5", []),
        (("203.0.113.5", "192.168.1.5"), "192.168.1.5", ["203.0.113.5", "192.168.1.5"]),
        (("203.0.113.5", "192.168.1.5"), "10.0.0.2", ["203.0.113.5"]),
        (("192.168.1.5",), "10.0.0.2", []),
        (("2001:db8::99",), "2001:db8::5", ["2001:db8::99"]),
    ],
)
def test_what_the_outside_knows_an_address_as(told: tuple[str, ...], own: str, known_as: list[str]) -> None:
    assert Gathering(addresses=told).known_as(own, OWN) == known_as


def test_a_stun_server_that_is_silent_is_not_asked_for_a_while() -> None:
    gathering = Gathering(servers=[ONE, TWO])
    assert gathering.asks
    assert gathering.server(100.0) == ONE
    gathering.silent(ONE, 100.0)
    assert gathering.server(100.0) == TWO
    gathering.silent(TWO, 101.0)
    assert gathering.server(102.0) is None
    assert gathering.server(100.0 + STUN_REST_S) == ONE


def test_who_knows_his_address_asks_nobody() -> None:
    assert not Gathering(addresses=["203.0.113.5"], servers=[ONE]).asks
    assert not Gathering().asks
