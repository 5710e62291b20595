"""Links: what comes twice counts once, and what is missing is noticed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cluster.messages import Ahead, Message, pack, unpack


def numbered(first: int, count: int) -> list[Message]:
    return [{"t": "hello" if n == 1 else "ev", "n": n} for n in range(first, first + count)]


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6), st.booleans()), max_size=30))
def test_each_message_counts_once_in_order_or_the_link_is_broken(sent: list[tuple[int, int, bool]]) -> None:
    ahead, got = Ahead(), [0]
    for first, count, begins in [(1, 1, True), *sent]:
        if begins and first == 1:
            ahead, got = Ahead(), [0]
        was_broken = ahead.broken
        fresh = [message["n"] for message in ahead.take("e", first, numbered(first, count))]
        assert not (was_broken and fresh)
        if not was_broken and first > got[-1] + 1:
            assert ahead.broken
            assert not fresh
        got += fresh
        assert got == list(range(got[-1] + 1))


def test_a_broken_link_is_whole_again_in_its_next_epoch() -> None:
    ahead = Ahead()
    assert len(ahead.take("a", 1, numbered(1, 2))) == 2
    assert ahead.take("a", 4, numbered(4, 1)) == []
    assert ahead.broken
    assert ahead.take("a", 3, numbered(3, 1)) == [], "what was missing comes too late"
    assert ahead.take("b", 2, numbered(2, 1)) == [], "its beginning is missing, too"
    assert ahead.take("c", 1, numbered(2, 1)) == [], "nobody begins with something else"
    assert len(ahead.take("b", 1, numbered(1, 3))) == 3
    assert not ahead.broken


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"[{}", b'"x"'])
def test_what_is_no_list_of_messages_is_told(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data)


def test_there_and_back() -> None:
    told: list[dict[str, Any]] = [{"t": "ev", "d": '{"text":"ä \\u0000"}', "s": 1 << 40}]
    assert unpack(pack(told)) == told
