"""What happens at all nodes, in one order: over the real Redis, each test with names of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import DriverInfo
from redis.asyncio import Redis

from server.cluster import feed
from server.cluster.directory import RedisAway
from server.cluster.feed import RedisFeed
from server.recent import Happened, Recent, RecentReader
from server.ring import Entry
from tests.redis import SERVER, redis_prefix


def _client() -> Redis:
    made: Redis = Redis.from_url(SERVER, protocol=2, driver_info=DriverInfo(name="tests", lib_version="0"))
    return made


class House:
    """One node's side."""

    def __init__(self, prefix: str, node: str) -> None:
        self.clients = _client(), _client()
        self.recent = Recent()
        self.forgotten: list[str] = []
        self.feed = RedisFeed(*self.clients, prefix, node, self.recent, self.forgotten.extend)
        self.recent.feed = self.feed

    def happen(self, call_id: str, *seqs: int, event: str = "bot.word") -> None:
        for seq in seqs:
            self.recent.add("tester", Entry(call_id, seq, 1.0, event, b'{"n":%d}' % seq))


@asynccontextmanager
async def houses() -> AsyncIterator[tuple[House, House]]:
    with redis_prefix() as prefix:
        made = House(prefix, "a"), House(prefix, "b")
        try:
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(work())
                    for house in made
                    for work in (house.feed.write, house.feed.read)
                ]
                try:
                    yield made
                finally:
                    for task in running:
                        task.cancel()
        finally:
            for client in (client for house in made for client in house.clients):
                await client.aclose()


async def read(reader: RecentReader, count: int) -> list[Happened]:
    found: list[Happened] = []
    while len(found) < count:
        assert await reader.bell.wait(30.0)
        found += reader.read().happened
    assert len(found) == count
    return found


async def test_two_nodes_tell_the_same_in_the_same_order_at_the_same_places() -> None:
    async with houses() as (a, b):
        async with a.recent.following(None, None) as one, b.recent.following(None, None) as two:
            for seq in range(1, 301):
                a.happen("A", seq)
                b.happen("B", seq)
                if seq % 50 == 0:
                    await asyncio.sleep(0.03)
            here, there = await read(one, 600), await read(two, 600)
        assert [(h.place, h.entry.call_id, h.entry.seq) for h in here] == [
            (h.place, h.entry.call_id, h.entry.seq) for h in there
        ]
        assert [h.place for h in here] == sorted({h.place for h in here})
        for call_id in "AB":
            assert [h.entry.seq for h in here if h.entry.call_id == call_id] == list(range(1, 301))
        assert {(h.entry.call_id, h.elsewhere) for h in here} == {("A", False), ("B", True)}
        assert {(h.entry.call_id, h.elsewhere) for h in there} == {("A", True), ("B", False)}


async def test_whoever_comes_later_finds_what_is_kept_and_is_told_of_what_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "MAX_EVENTS", 200)
    async with houses() as (a, b):
        a.happen("A", *range(1, 101))
        await a.feed.flushed(10.0)
        async with b.recent.following(None, 1) as reader:
            found = await read(reader, 100)
            assert [h.entry.seq for h in found] == list(range(1, 101))
        async with b.recent.following(None, found[49].place) as reader:
            assert [h.entry.seq for h in await read(reader, 50)] == list(range(51, 101))
            assert reader.read().resume_from == 0
        async with b.recent.following(None, None) as reader:
            assert reader.read().happened == [], "from here on"
        a.happen("A", *range(101, 1001))
        await a.feed.flushed(10.0)
        async with a.recent.following(None, found[0].place) as reader:
            page = reader.read()
            assert page.resume_from == page.happened[0].place
            assert page.happened[-1].entry.seq == 1000


async def test_what_was_sent_again_is_told_once_and_what_is_forgotten_is_not() -> None:
    async with houses() as (a, b):
        async with b.recent.following(None, None) as reader:
            a.happen("A", 1, 2)
            await read(reader, 2)
            a.happen("A", 1, 2, 3)
            a.happen("B", 1)
            assert [(h.entry.call_id, h.entry.seq) for h in await read(reader, 2)] == [("A", 3), ("B", 1)]
        assert await b.feed.heard() == {"A": 3, "B": 1}
        a.recent.forget(("A",))
        assert a.forgotten == ["A"]
        await a.feed.delete(("A",))
        assert await b.feed.heard() == {"B": 1}


async def test_what_was_told_last_is_with_redis_when_a_node_stops() -> None:
    async with houses() as (a, b):
        await a.feed.flushed(0.0)
        a.happen("A", 1, 2)
        await a.feed.flushed(10.0)
        assert await b.feed.heard() == {"A": 2}


async def test_while_redis_is_away_a_node_tells_its_own_and_later_the_others() -> None:
    async with (
        houses() as (a, b),
        a.recent.following(None, None) as one,
        b.recent.following(None, None) as two,
    ):
        a.happen("A", 1)
        first = await read(one, 1)
        await read(two, 1)

        async def away(keys: list[str], args: list[Any]) -> list[Any]:
            raise RedisAway("gone")

        add = a.feed._add
        a.feed._add = away  # type: ignore[assignment]
        a.happen("A", 2)
        second = await read(one, 1)
        a.happen("A", 3)
        third = await read(one, 1)
        assert two.read().happened == []
        a.feed._add = add
        a.happen("A", 4)
        fourth = await read(one, 1)
        places = [h.place for h in (*first, *second, *third, *fourth)]
        assert places == sorted(set(places))
        assert [h.entry.seq for h in await read(two, 3)] == [2, 3, 4]


def test_how_calls_began_that_are_not_over() -> None:
    recent = Recent()
    for call_id, seq, event in (
        ("A", 1, "call.ringing"),
        ("B", 1, "call.ringing"),
        ("A", 2, "call.started"),
        ("A", 3, "bot.word"),
        ("C", 1, "call.started"),
        ("C", 2, "call.summary"),
    ):
        recent.add("tester", Entry(call_id, seq, 1.0, event, b"{}"))
    assert [(h.entry.call_id, h.entry.event) for h in recent.firsts()] == [
        ("A", "call.started"),
        ("B", "call.ringing"),
    ]
