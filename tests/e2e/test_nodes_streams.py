"""Whoever follows all calls has those of all nodes, at any of them, in one order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from server import book
from telephony.carriers.twilio.simulator import SimulatedCarrier
from tests.e2e.harness import TIMEOUT_S, Agent, Frame, free_port, in_order, running
from tests.e2e.test_nodes import BEARER, GREETING, PUBLIC, TOKEN, Node, agent_at, call, known, nodes
from tests.e2e.test_nodes_fail import a_redis
from tests.e2e.watching import streamed, tapped
from tests.redis import SERVER, redis_prefix

pytestmark = pytest.mark.e2e


def told(stream: Agent) -> list[Frame]:
    return [frame for frame in stream.frames if not frame["event"].startswith("log.")]


async def spoken(agent: Agent, call_id: str) -> None:
    await agent.send("bot.reply", call_id=call_id, message_id=f"m-{call_id}", text="One two three.")
    await agent.wait("message.confirmed", call_id=call_id)


async def test_a_tap_has_the_calls_of_all_nodes_from_their_beginning(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        before = [await call(node, node) for node in (a, b)]
        await agent.wait("call.started", count=2)
        for placed in before:
            await spoken(agent, placed.ids.call_sid)
        async with tapped(a) as one, tapped(b) as two:
            for tap in (one, two):
                began = {(await tap.wait("call.started", count=n + 1))["call_id"] for n in range(2)}
                assert began == {placed.ids.call_sid for placed in before}
            after = [await call(node, node) for node in (a, b)]
            await agent.wait("call.started", count=4)
            for placed in (*before, *after):
                placed.hang_up()
                await agent.wait("call.ended", call_id=placed.ids.call_sid)
            for tap in (one, two):
                for placed in (*before, *after):
                    await tap.wait("call.ended", call_id=placed.ids.call_sid)
                for placed in after:
                    mine = [f["seq"] for f in tap.frames if f.get("call_id") == placed.ids.call_sid]
                    assert mine == list(range(1, len(mine) + 1)), "all of it, once, in order"
                for placed in before:
                    mine = [f["seq"] for f in tap.frames if f.get("call_id") == placed.ids.call_sid]
                    assert mine == sorted(set(mine)), "its beginning, and what came, once"
                assert "call.summary" not in tap.names()


async def test_a_tap_of_a_call_to_come_has_it_from_another_node(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        answer = await b.carrier.ring("+15550001111", "+15550002222")
        async with tapped(a, f"?call={answer.call_sid}") as tap:
            placed = await b.carrier.open_stream(answer.plan())
            other = await call(b, b)
            await tap.wait("call.started", call_id=answer.call_sid)
            for one in (other, placed):
                one.hang_up()
                await agent.wait("call.ended", call_id=one.ids.call_sid)
            await tap.wait("call.ended")
            assert {f["call_id"] for f in tap.frames if "call_id" in f} == {answer.call_sid}


async def test_a_cursor_of_one_node_is_good_at_the_other(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        async with streamed(a) as here, streamed(b) as there:
            for stream in (here, there):
                await stream.wait("log.caught_up")
            placed = [await call(node, node) for node in (a, b, a)]
            await agent.wait("call.started", count=3)
            for each in placed:
                await spoken(agent, each.ids.call_sid)
                each.hang_up()
            for stream in (here, there):
                await stream.wait("call.summary", count=3)
            assert told(here) == told(there), "the same, at the same places"
            seqs = [entry["seq"] for entry in told(here)]
            assert seqs == sorted(set(seqs))
            for each in placed:
                page = await a.get(f"/v1/calls/{each.ids.call_sid}/events")
                kept = [entry["type"] for entry in page.json()["entries"]]
                mine = [entry["type"] for entry in told(here) if entry["call"] == each.ids.call_sid]
                assert [kind for kind in mine if kind in kept] == mine
                assert mine == kept
            everything = told(here)
        half = len(seqs) // 2
        async with streamed(b, f"&after={seqs[half]}") as stream:
            assert (await stream.wait("log.caught_up"))["seq"] == seqs[-1]
            assert told(stream) == everything[half + 1 :]
            assert stream.of("log.gap") == []


async def sse(node: Node, path: str, until: str, **headers: str) -> list[tuple[str, str, Any]]:
    """Its events, with their ids, up to one."""
    found: list[tuple[str, str, Any]] = []
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx.AsyncClient(base_url=node.server.url, trust_env=False) as http,
        http.stream("GET", path, headers={**BEARER, **headers}) as reply,
    ):
        name = place = ""
        async for line in reply.aiter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("id: "):
                place = line[4:]
            elif line.startswith("data: "):
                found.append((name, place, json.loads(line[6:])))
            elif not line and name == until:
                return found
    raise AssertionError(found)


async def test_a_page_follows_an_agent_at_any_node(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        path = "/v1/agents/tester/stream"
        following = asyncio.create_task(sse(a, path, "call.ended"))
        await asyncio.sleep(0.3)
        placed = await call(b, b)
        await agent.wait("call.started")
        await spoken(agent, placed.ids.call_sid)
        placed.hang_up()
        events = await following
        assert [events[0][0], events[1][0], events[-1][0]] == ["connected", "call.started", "call.ended"]
        assert {data["callId"] for _, _, data in events[1:]} == {placed.ids.call_sid}
        assert "bot.word" in [name for name, _, _ in events]
        again = await sse(b, path, "call.ended", **{"Last-Event-ID": events[2][1]})
        assert again[1:] == events[3:], "the rest, at another node"


async def test_the_end_of_calls_of_a_node_that_stops_is_told_at_the_others(tmp_path: Path) -> None:
    with redis_prefix() as prefix:
        shared = {
            "redis_url": SERVER,
            "redis_prefix": prefix,
            "twilio_auth_token": TOKEN,
            "public_url": PUBLIC,
        }
        async with running(tmp_path, **shared) as server:
            a = Node(server, SimulatedCarrier(server.url, auth_token=TOKEN, public_url=PUBLIC))
            async with agent_at(a) as agent, streamed(a) as stream:
                async with running(tmp_path, **shared) as other:
                    b = Node(other, SimulatedCarrier(other.url, auth_token=TOKEN, public_url=PUBLIC))
                    await known(b)
                    async with b.carrier:
                        await call(b, b)
                        await stream.wait("call.started")
                await stream.wait("call.summary")
                await agent.wait("call.ended")


async def test_while_redis_is_away_each_node_tells_its_own_calls_and_later_those_of_all(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with (
        a_redis(port) as first,
        nodes(tmp_path, redis_url=f"redis://127.0.0.1:{port}/0") as (a, b),
        agent_at(a, b) as agent,
        streamed(a) as here,
        streamed(b) as there,
    ):
        near = await call(a, a)
        near_id = near.ids.call_sid
        for stream in (here, there):
            await stream.wait("call.started")
        first.kill()
        first.wait()
        await agent.send("bot.reply", call_id=near_id, message_id="m1", text=GREETING)
        await here.wait("bot.finished")
        assert there.of("bot.finished") == []
        async with a_redis(port):
            await there.wait("bot.finished")
            near.hang_up()
            found = []
            for stream in (here, there):
                await stream.wait("call.summary")
                found.append([(e["event"], e["data"]) for e in told(stream) if e["call"] == near_id])
                seqs = [entry["seq"] for entry in told(stream)]
                assert seqs == sorted(set(seqs))
            assert found[0] == found[1], "once, in order"
            await agent.wait("call.ended")
        in_order(agent.frames)


async def test_the_log_of_an_agent_has_calls_of_other_nodes_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    """Without looking for them."""
    monkeypatch.setattr(book, "SELDOM_S", 3600.0)
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        address = f"{a.ws}/v1/attach?agent=tester"
        async with websockets.connect(address, additional_headers=BEARER, compression=None) as log:

            async def next_of(call_id: str) -> str:
                entry = json.loads(await log.recv())
                assert entry["data"]["call"] == call_id
                kind: str = entry["type"]
                return kind

            async with asyncio.timeout(TIMEOUT_S):
                assert json.loads(await log.recv())["type"] == "log.caught_up"
                for node in (a, b):
                    placed = await call(node, node)
                    call_id = placed.ids.call_sid
                    assert await next_of(call_id) == "call.started"
                    placed.hang_up()
                    assert await next_of(call_id) == "call.ended"
        await agent.wait("call.ended", count=2)
        for node in (a, b):
            assert node.server.services.book.poll_s == 3600.0


async def test_while_redis_is_away_the_log_of_an_agent_is_looked_at(tmp_path: Path) -> None:
    port = free_port()
    async with (
        a_redis(port) as first,
        nodes(tmp_path, redis_url=f"redis://127.0.0.1:{port}/0") as (a, b),
        agent_at(a, b) as agent,
    ):
        placed = await call(b, b)
        await agent.wait("call.started")
        first.kill()
        first.wait()
        async with asyncio.timeout(TIMEOUT_S):
            while a.server.services.book.poll_s != book.OFTEN_S:
                await asyncio.sleep(0.05)
        address = f"{a.ws}/v1/attach?agent=tester"
        async with websockets.connect(address, additional_headers=BEARER, compression=None) as log:
            async with asyncio.timeout(TIMEOUT_S):
                kinds = [json.loads(await log.recv())["type"] for _ in range(2)]
                assert kinds == ["call.started", "log.caught_up"]
                placed.hang_up()
                assert json.loads(await log.recv())["type"] == "call.ended"
