"""A door is open only to whoever has a key, or can be nobody else."""

from __future__ import annotations

import hmac

import pytest

from server.auth import KeyRing, is_loopback, open_door


def test_each_key_of_the_ring_is_right_and_nothing_else() -> None:
    ring = KeyRing(["tw_one", "tw_zwölf"])
    assert len(ring) == 2
    assert ring.check("tw_one")
    assert ring.check("tw_zwölf")
    for wrong in ("", "tw_", "tw_one ", "TW_ONE", "tw_two", "tw_oneX", "\ud800", "x" * 100_000):
        assert not ring.check(wrong)


@pytest.mark.parametrize(
    ("host", "opens"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("evil.example:8080", False),
        ("", False),
    ],
)
def test_a_request_must_name_this_machine(host: str, opens: bool) -> None:
    assert open_door("127.0.0.1", None, {"host": host}) is opens


def test_an_empty_ring_lets_nobody_in() -> None:
    assert not KeyRing([]).check("")
    assert not KeyRing([""]).check("")
    assert len(KeyRing([""])) == 0


def test_all_keys_are_compared_whichever_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    ring = KeyRing(["a", "bb", "ccc"])
    assert ring.check("a")
    assert compared == [(32, 32)] * 3


def test_the_keys_are_not_shown() -> None:
    ring = KeyRing(["sesame"])
    assert "sesame" not in repr(ring)
    assert "sesame" not in str(vars(ring))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LocalHost"])
def test_these_are_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert open_door(host, None, {})


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "",
        "10.0.0.1",
        "192.168.1.2",
        "example.org",
        "localhost.example.org",
        "127.0.0.1.nip.io",
    ],
)
def test_these_are_not(host: str) -> None:
    assert not is_loopback(host)
    assert not open_door(host, None, {})
    assert not open_door(host, "http://127.0.0.1:8080", {})


@pytest.mark.parametrize(
    ("public_url", "opens"),
    [
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080/voice", True),
        ("http://[::1]:8080", True),
        ("https://voice.example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("https://localhost@example.org", False),
        ("", False),
    ],
)
def test_a_public_url_closes_it(public_url: str | None, opens: bool) -> None:
    assert open_door("127.0.0.1", public_url, {"host": "127.0.0.1:8080"}) is opens


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "forwarded",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-FORWARDED-HOST",
        "x-forwarded-anything",
    ],
)
def test_a_request_through_a_proxy_or_a_tunnel_closes_it(name: str) -> None:
    assert not open_door("127.0.0.1", None, {"host": "127.0.0.1", name: ""})


def test_other_headers_do_not() -> None:
    assert open_door(
        "127.0.0.1", None, {"host": "localhost", "x-forward": "1", "forwarded-by": "1", "origin": "null"}
    )
