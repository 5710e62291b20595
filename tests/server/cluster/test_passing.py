"""What shows one node that another one passes a request on."""

from __future__ import annotations

import pytest

from server.cluster.forward import Pass

KEY = b"k" * 32
SCOPE = {
    "path": "/v1/calls/CA1",
    "client": ("203.0.113.9", 4711),
    "headers": [(b"host", b"voice.example.org")],
}


def test_it_says_who_asked_and_where() -> None:
    told = Pass(KEY, lambda: 100.0).read(Pass(KEY, lambda: 99.0).make(SCOPE), SCOPE["path"])  # type: ignore[arg-type]
    assert told is not None
    assert (told["client"], told["host"]) == (["203.0.113.9", 4711], "voice.example.org")


@pytest.mark.parametrize(
    ("key", "now", "path"),
    [
        (b"x" * 32, 100.0, "/v1/calls/CA1"),
        (KEY, 140.0, "/v1/calls/CA1"),
        (KEY, 60.0, "/v1/calls/CA1"),
        (KEY, 100.0, "/v1/calls/CA2"),
    ],
)
def test_another_secret_another_time_or_another_path_is_not_believed(
    key: bytes, now: float, path: str
) -> None:
    assert Pass(key, lambda: now).read(Pass(KEY, lambda: 100.0).make(SCOPE), path) is None


@pytest.mark.parametrize("given", [b"", b".", b"a.b", b"\xff.\xff"])
def test_what_is_none_is_not_believed(given: bytes) -> None:
    assert Pass(KEY, lambda: 100.0).read(given, "/") is None
