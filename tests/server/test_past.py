"""Ended calls in memory: bounded in number and in bytes, the oldest go first."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from server.past import CallQuery, MemoryStore, PastCall, page_of
from server.ring import Entry, Ring
from server.summary import CallSummary
from server.wire import CallFacts


def ring(call_id: str = "CA1", events: int = 3, size: int = 2, **limits: int) -> Ring:
    made = Ring(**limits)
    for seq in range(1, events + 1):
        made.append(Entry(call_id, seq, 1.0, "bot.word", b"x" * size))
    return made


def past(call_id: str, slug: str = "a", events: int = 3, size: int = 2) -> PastCall:
    summary = CallSummary(CallFacts(call_id, slug, "+1", "+2"), slug, 1.0)
    summary.close()
    return PastCall(summary.past(), ring(call_id, events, size))


async def test_the_newest_first_of_one_agent_or_of_all() -> None:
    store = MemoryStore(10, 1 << 20)
    for call_id, slug in (("1", "a"), ("2", "b"), ("3", "a")):
        assert store.keep(past(call_id, slug)) == []
    assert [call.call_id for call in await store.newest(10, CallQuery())] == ["3", "2", "1"]
    assert [call.call_id for call in await store.newest(10, CallQuery("a"))] == ["3", "1"]
    assert [call.call_id for call in await store.newest(1, CallQuery())] == ["3"]


async def test_what_is_not_kept_is_not_found() -> None:
    store = MemoryStore(1, 1 << 20)
    store.keep(past("1"))
    assert store.keep(past("2")) == ["1"]
    assert await store.find("1") is None
    assert await store.events("1", 0, 10) is None
    assert await store.waveform("1", 0) is None
    kept = await store.find("2")
    assert kept is not None
    assert kept.call_id == "2"
    assert await store.waveform("2", 0) is None


async def test_nothing_is_kept_where_nothing_is_wanted() -> None:
    store = MemoryStore(0, 1 << 20)
    assert store.keep(past("1")) == ["1"]
    assert (len(store), store.size) == (0, 0)


async def test_a_call_that_comes_once_more_takes_the_place_of_its_first_time() -> None:
    store = MemoryStore(10, 1 << 20)
    store.keep(past("1", events=3))
    store.keep(past("2"))
    assert store.keep(past("1", events=5)) == []
    page = await store.events("1", 0, 10)
    assert page is not None
    assert page.last_seq == 5
    assert len(store) == 2


@given(
    st.integers(0, 5),
    st.integers(0, 20_000),
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3000)), max_size=20),
)
def test_it_never_holds_more_than_it_may(
    max_calls: int, max_bytes: int, calls: list[tuple[int, int]]
) -> None:
    async def main() -> None:
        store = MemoryStore(max_calls, max_bytes)
        kept: list[str] = []
        for index, (events, size) in enumerate(calls):
            call = past(str(index), events=events, size=size)
            kept.append(str(index))
            for gone in store.keep(call):
                assert kept.pop(0) == gone, "the oldest goes first"
            assert len(store) == len(kept) <= max_calls
            assert store.size <= max_bytes
        assert {call.call_id for call in await store.newest(100, CallQuery())} == {*kept}
        assert (store.size == 0) == (not kept)

    asyncio.run(main())


def test_a_page_goes_on_behind_its_cursor_and_tells_what_is_lost() -> None:
    page = page_of(ring(events=10), 3, 4, over=False)
    assert [entry.seq for entry in page.entries] == [4, 5, 6, 7]
    assert (page.last_seq, page.lost, page.over) == (10, 0, False)
    page = page_of(ring(events=10, max_events=4), 1, 100, over=True)
    assert [entry.seq for entry in page.entries] == [7, 8, 9, 10]
    assert (page.last_seq, page.lost, page.over) == (10, 5, True)
    page = page_of(ring(events=2), 2, 4, over=True)
    assert (list(page.entries), page.lost) == ([], 0)
