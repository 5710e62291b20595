"""What nodes know in common, in the real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis import DriverInfo
from redis.asyncio import Redis

from server.cluster.directory import Directory, RedisAway
from tests.e2e.harness import free_port
from tests.redis import SERVER, redis_prefix


@asynccontextmanager
async def directories(*names: str) -> AsyncIterator[list[Directory]]:
    with redis_prefix() as prefix:
        driver = DriverInfo(name="tests", lib_version="0")
        client: Redis = Redis.from_url(SERVER, protocol=2, driver_info=driver)
        try:
            yield [Directory(client, prefix, name) for name in names]
        finally:
            await client.aclose()


async def test_nodes_know_each_other_until_they_are_buried() -> None:
    async with directories("a", "b") as (a, b):
        assert await a.beat(b"A") == {"a": b"A"}
        assert await b.beat(b"B") == {"a": b"A", "b": b"B"}
        await a.bury("b")
        assert await a.beat(b"A2") == {"a": b"A2"}


async def test_a_silent_node_is_still_named_until_it_is_buried() -> None:
    async with directories("a", "b") as (a, b):
        await b.beat(b"B")
        await a._client.delete(a.key("node", "b"))  # As its silence does.
        assert await a.beat(b"A") == {"a": b"A", "b": b""}


async def test_a_name_is_claimed_by_one() -> None:
    async with directories("a", "b") as (a, b):
        await a.beat(b"A")
        await b.beat(b"B")
        assert await a.claim("agent:x", "a.1") == "a.1"
        assert await b.claim("agent:x", "b.1") == "a.1"
        assert await a.claim("agent:x", "a.1") == "a.1", "again, by the same"
        assert await b.claim("agent:x", "b.1", displaced="a.1") == "b.1"
        await a.release("agent:x", "a.1")
        assert await a.claim("agent:x", "a.2") == "b.1", "what another one holds is not released"
        await b.release("agent:x", "b.1")
        assert await a.claim("agent:x", "a.2") == "a.2"
        assert await a.claim_all([("agent:x", "a.2"), ("agent:y", "a.3")]) == ["a.2", "a.3"]
        assert await b.claim_all([("agent:x", "b.2")]) == ["a.2"]


async def test_the_claim_of_a_dead_node_holds_nobody_up() -> None:
    async with directories("a", "b") as (a, b):
        await a.beat(b"A")
        await a.claim("agent:x", "a.1")
        await b.bury("a")
        assert await b.claim("agent:x", "b.1") == "b.1"


async def test_of_many_that_claim_at_once_one_wins() -> None:
    names = [f"n{index}" for index in range(8)]
    async with directories(*names) as nodes:
        for node in nodes:
            await node.beat(b"x")
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(node.claim("number:+1", f"agent-{node.node}")) for node in nodes]
        assert len({task.result() for task in asked}) == 1


async def test_calls_are_found_and_tokens_are_good_once() -> None:
    async with directories("a", "b") as (a, b):
        await a.put_calls(["CA1", "CA2"])
        assert (await b.node_of("CA1"), await b.node_of("CA9")) == ("a", None)
        assert await b.nodes_of(["CA2", "CA9"]) == {"CA2": "a"}
        await a.end_call("CA1")
        assert await b.node_of("CA1") == "a", "for a while"
        assert await a.spend("t", 60.0)
        assert not await b.spend("t", 60.0)
        assert await a.lock("bury:c", 5.0)
        assert not await b.lock("bury:c", 5.0)


async def test_a_redis_that_is_away_is_told_as_that() -> None:
    driver = DriverInfo(name="tests", lib_version="0")
    client: Redis = Redis.from_url(f"redis://127.0.0.1:{free_port()}", protocol=2, driver_info=driver)
    try:
        with pytest.raises(RedisAway):
            await Directory(client, "x", "a").beat(b"A")
    finally:
        await client.aclose()
