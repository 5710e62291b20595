"""What becomes of calls where a node is killed, or Redis is away for a while."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.cluster.node import RedisCluster
from telephony.carriers.twilio.simulator import SimulatedCarrier
from tests.e2e.harness import KEY, ROOT, TIMEOUT_S, Frame, connected, free_port, in_order, running
from tests.e2e.test_nodes import FROM, GREETING, PUBLIC, TO, TOKEN, Node, agent_at, call, known, nodes
from tests.e2e.test_process import environment
from tests.e2e.watching import streamed
from tests.redis import SERVER, redis_prefix

pytestmark = pytest.mark.e2e


def a_node(data_dir: Path, port: int, prefix: str, **more: str) -> dict[str, str]:
    """The environment of a server of its own process."""
    return environment(
        data_dir,
        port,
        TALKWIRE_REDIS_URL=SERVER,
        TALKWIRE_REDIS_PREFIX=prefix,
        TALKWIRE_PUBLIC_URL=PUBLIC,
        TALKWIRE_API_KEYS=KEY,
        TWILIO_AUTH_TOKEN=TOKEN,
        **more,
    )


@asynccontextmanager
async def a_process(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server that may be killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.cli", "serve", env=env, stdout=asyncio.subprocess.DEVNULL, cwd=ROOT
    )
    try:
        await listens(int(env["TALKWIRE_PORT"]))
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def listens(port: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@pytest.mark.parametrize("database", ["sqlite", "memory"])
async def test_the_calls_of_a_killed_node_end_as_failed(tmp_path: Path, database: str) -> None:
    more = {"database_url": "memory"} if database == "memory" else {}
    port = free_port()
    with redis_prefix() as prefix:
        env = a_node(tmp_path, port, prefix, TALKWIRE_DATABASE_URL=more.get("database_url", ""))
        shared = {
            "redis_url": SERVER,
            "redis_prefix": prefix,
            "public_url": PUBLIC,
            "twilio_auth_token": TOKEN,
        }
        url = f"http://127.0.0.1:{port}"
        async with running(tmp_path, **shared, **more) as server, a_process(env) as process:
            a = Node(server, SimulatedCarrier(server.url, auth_token=TOKEN, public_url=PUBLIC))
            async with (
                agent_at(a) as agent,
                a.carrier,
                SimulatedCarrier(url, auth_token=TOKEN, public_url=PUBLIC) as there,
            ):
                # A node that comes later learns who is there.
                async with asyncio.timeout(TIMEOUT_S):
                    while "Reject" in (answer := await there.ring(FROM, TO)).body:
                        await asyncio.sleep(0.1)
                placed = await there.open_stream(answer.plan())
                call_id = (await agent.wait("call.started"))["call_id"]
                here = await a.carrier.place_call(FROM, TO)
                await agent.wait("call.started", count=2)
                await agent.send("bot.reply", call_id=call_id, message_id="m1", text=GREETING)
                await agent.wait("bot.word", count=2)
                process.kill()
                ended = await agent.wait("call.ended", call_id=call_id)
                assert ended["reason"] == "failed"
                told = [frame["seq"] for frame in agent.frames if frame.get("call_id") == call_id]
                assert told == list(range(1, len(told) + 1)), "the end comes next, and nothing twice"
                assert server.services.calls.get(here.ids.call_sid) is not None, "the others go on"
                await asyncio.sleep(1.0)
                ends = [f for f in agent.of("call.ended") if f["call_id"] == call_id]
                assert len(ends) == 1
                if database == "sqlite":
                    kept = (await a.get(f"/v1/calls/{call_id}")).json()
                    assert (kept["state"], kept["reason"]) == ("ended", "failed")
                    log = (await a.get(f"/v1/calls/{call_id}/events?format=wire&limit=1000")).json()
                    assert [event["seq"] for event in log["events"] if event["event"] == "call.ended"] == [
                        ended["seq"]
                    ]
                assert server.services.cluster.health()["nodes"] == 1
                here.hang_up()
                await agent.wait("call.ended", count=2)
                placed.drop()


@asynccontextmanager
async def a_redis(port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    """One of its own."""
    command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        pytest.skip("Redis: there is no redis-server to run")
    try:
        await listens(port)
        yield process
    finally:
        process.kill()
        process.wait()


async def test_redis_is_away_and_comes_back_empty(tmp_path: Path) -> None:
    port = free_port()
    async with (
        a_redis(port) as first,
        nodes(tmp_path, redis_url=f"redis://127.0.0.1:{port}/0") as (a, b),
        agent_at(a, b) as agent,
    ):
        near, far = await call(a, a), await call(b, b)
        near_id, far_id = near.ids.call_sid, far.ids.call_sid
        for call_id in (near_id, far_id):
            await agent.wait("call.started", call_id=call_id)
            await agent.send("bot.reply", call_id=call_id, message_id=f"m-{call_id}", text=GREETING)
            await agent.wait("bot.word", call_id=call_id)
        first.kill()
        first.wait()
        # What is at the agent's own node goes on as if nothing had happened.
        await agent.wait("message.confirmed", call_id=near_id)
        await agent.send("bot.reply", call_id=near_id, message_id="again", text="Still here.", ack="still")
        assert (await agent.wait("ack", ack="still"))["status"] == "processing"
        assert (await a.get("/readyz")).json()["cluster"]["redis"] is False
        async with a_redis(port):
            await agent.wait("message.confirmed", call_id=far_id)
            far.hang_up()
            assert (await agent.wait("call.ended", call_id=far_id))["reason"] == "hangup"
            near.hang_up()
            await agent.wait("call.ended", call_id=near_id)
            in_order(agent.frames)
            async with asyncio.timeout(TIMEOUT_S):
                while (await a.get("/readyz")).json()["cluster"] != {
                    **(await a.get("/readyz")).json()["cluster"],
                    "redis": True,
                    "nodes": 2,
                }:
                    await asyncio.sleep(0.1)
            # Who answers is known again, and commands find their call.
            placed = await call(b, a)
            started: Frame = await agent.wait("call.started", count=3)
            await agent.send("call.hangup", call_id=started["call_id"])
            await placed.ended()
            async with connected(b.ws) as other:
                await other.send("agent.create", agent_id="tester")
                await other.wait("error", code="AGENT_CONFLICT")


async def test_an_agent_whose_node_was_killed_is_taken_at_once_by_another(tmp_path: Path) -> None:
    """Its call, which is there, goes on with it."""
    port = free_port()
    with redis_prefix() as prefix:
        shared = {
            "redis_url": SERVER,
            "redis_prefix": prefix,
            "public_url": PUBLIC,
            "twilio_auth_token": TOKEN,
        }
        async with (
            running(tmp_path, **shared) as server,
            a_process(a_node(tmp_path, port, prefix)) as process,
        ):
            a = Node(server, SimulatedCarrier(server.url, auth_token=TOKEN, public_url=PUBLIC))
            async with a.carrier, connected(f"ws://127.0.0.1:{port}", resume={}) as first:
                await first.send("agent.create", agent_id="tester")
                await first.send("channel.add", agent_id="tester", type="phone", ref="*")
                await known(a)
                placed = await a.carrier.place_call(FROM, TO)
                call_id = (await first.wait("call.started"))["call_id"]
                await first.send("bot.reply", call_id=call_id, message_id="m1", text=GREETING)
                await first.wait("bot.word", count=2)
                process.kill()
                await first.wait_closed()
                cursors = {call_id: [frame for frame in first.frames if "seq" in frame][-1]["seq"]}
                async with connected(a.ws, resume=cursors) as second:
                    await second.send("agent.create", agent_id="tester")
                    await second.wait("message.confirmed")
                    assert second.of("error") == []
                    placed.hang_up()
                    await second.wait("call.ended")
                in_order([*first.frames, *second.frames])


def lose(cluster: RedisCluster, node: str) -> None:
    out = cluster.links._out.get(node)
    if out is not None:
        out.first += 1


@pytest.mark.parametrize("seed", [1])
async def test_links_break_at_random_and_each_event_is_told_once(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        calls, sent = [await call(b, b) for _ in range(3)], 0
        await agent.wait("call.started", count=3)
        for placed in calls:
            for part in range(3):
                fields = {"message_id": f"m{part}", "text": "One two three four five."}
                await agent.send("bot.reply", call_id=placed.ids.call_sid, ack=f"{sent}", **fields)
                sent += 1
        here, there = (node.server.services.cluster for node in (a, b))
        assert isinstance(here, RedisCluster)
        assert isinstance(there, RedisCluster)
        for _ in range(12):
            await asyncio.sleep(chance.uniform(0.02, 0.25))
            match chance.randrange(4):
                case 0:  # Some of what was on the way to the agent's node is lost.
                    lose(there, here.node)
                case 1:  # Or of what was on the way from it.
                    lose(here, there.node)
                case 2:
                    here.peers.broke(there.node)
                case 3:
                    there.peers.part(here.node)
        for placed in calls:
            call_id = placed.ids.call_sid
            await agent.wait("message.confirmed", count=3, call_id=call_id)
            placed.hang_up()
            assert (await agent.wait("call.ended", call_id=call_id))["reason"] == "hangup"
        in_order(agent.frames)
        assert [f["ack"] for f in agent.of("ack")] == [f"{number}" for number in range(sent)]


@pytest.mark.parametrize("restarted", ["at once", "later"])
async def test_the_calls_of_a_node_that_is_killed_and_restarted_end_once(
    tmp_path: Path, restarted: str
) -> None:
    """Whoever comes first: the next server on its data directory, or those that bury it."""
    port = free_port()
    with redis_prefix() as prefix:
        shared = {
            "redis_url": SERVER,
            "redis_prefix": prefix,
            "public_url": PUBLIC,
            "twilio_auth_token": TOKEN,
        }
        url = f"http://127.0.0.1:{port}"
        async with running(tmp_path, **shared) as server:
            a = Node(server, SimulatedCarrier(server.url, auth_token=TOKEN, public_url=PUBLIC))
            async with agent_at(a) as agent, streamed(a) as stream:
                async with (
                    a_process(a_node(tmp_path, port, prefix)) as process,
                    connected(f"ws://127.0.0.1:{port}", resume={}) as other,
                    SimulatedCarrier(url, auth_token=TOKEN, public_url=PUBLIC) as there,
                ):
                    await other.send("agent.create", agent_id="other")
                    await other.send("channel.add", agent_id="other", type="phone", ref="+15550003333")
                    await other.wait("channel.added")
                    placed = []
                    for number, who in ((TO, agent), ("+15550003333", other)):
                        async with asyncio.timeout(TIMEOUT_S):
                            while "Reject" in (answer := await there.ring(FROM, number)).body:
                                await asyncio.sleep(0.1)
                        placed.append(await there.open_stream(answer.plan()))
                        call_id = (await who.wait("call.started"))["call_id"]
                        await who.send("bot.reply", call_id=call_id, message_id="m1", text=GREETING)
                        await who.wait("bot.word", count=2)
                    first, second = (one.ids.call_sid for one in placed)
                    process.kill()
                    await other.wait_closed()
                async with AsyncExitStack() as later:
                    if restarted == "at once":
                        # Its predecessor's silence is not noticed yet.
                        await later.enter_async_context(running(tmp_path, **shared))
                    cursors = {second: [frame for frame in other.frames if "seq" in frame][-1]["seq"]}
                    back = await later.enter_async_context(connected(a.ws, resume=cursors))
                    await back.send("agent.create", agent_id="other")
                    ended = await agent.wait("call.ended")
                    if restarted == "later":
                        await later.enter_async_context(running(tmp_path, **shared))
                    assert (await back.wait("call.ended"))["reason"] == "failed"
                    await stream.wait("call.summary", count=2)
                    await asyncio.sleep(1.0)
                    assert len(agent.of("call.ended")) == len(back.of("call.ended")) == 1
                    for frames in (agent.frames, [*other.frames, *back.frames]):
                        seqs = [frame["seq"] for frame in frames if "seq" in frame]
                        assert seqs == list(range(1, len(seqs) + 1)), "the end comes next, and nothing twice"
                    for call_id in (first, second):
                        log = (await a.get(f"/v1/calls/{call_id}/events?format=wire&limit=1000")).json()
                        ends = [event for event in log["events"] if event["event"] == "call.ended"]
                        assert [event["reason"] for event in ends] == ["failed"]
                        assert log["events"][-1]["event"] == "call.summary"
                        if call_id == first:
                            assert ends == [ended], "what was told is what is kept"
                        for kind in ("call.ended", "call.summary"):
                            assert [f["call"] for f in stream.of(kind)].count(call_id) == 1
                for one in placed:
                    one.drop()


async def test_a_node_that_is_alone_closes_what_the_one_before_it_left(tmp_path: Path) -> None:
    port = free_port()
    with redis_prefix() as prefix:
        env, url = a_node(tmp_path, port, prefix), f"http://127.0.0.1:{port}"
        async with (
            a_process(env) as process,
            connected(f"ws://127.0.0.1:{port}", resume={}) as agent,
            SimulatedCarrier(url, auth_token=TOKEN, public_url=PUBLIC) as carrier,
        ):
            await agent.send("agent.create", agent_id="tester")
            await agent.send("channel.add", agent_id="tester", type="phone", ref="*")
            await agent.wait("channel.added")
            placed = await carrier.place_call(FROM, TO)
            call_id = (await agent.wait("call.started"))["call_id"]
            await asyncio.sleep(0.3)
            process.kill()
            await agent.wait_closed()
        cursors = {call_id: [frame for frame in agent.frames if "seq" in frame][-1]["seq"]}
        async with a_process(env), connected(f"ws://127.0.0.1:{port}", resume=cursors) as back:
            await back.send("agent.create", agent_id="tester")
            assert (await back.wait("call.ended"))["reason"] == "failed"
            seqs = [frame["seq"] for frame in (*agent.frames, *back.frames) if "seq" in frame]
            assert seqs == list(range(1, len(seqs) + 1))
        placed.drop()


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_readyz_says_what_is_wrong_with_redis_and_calls_go_on(tmp_path: Path, how: str) -> None:
    port = free_port()

    async def redis_is(node: Node, *, well: bool) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                reply = await node.get("/readyz")
                cluster: dict[str, Any] = reply.json()["cluster"]
                if cluster["redis"] is well:
                    assert (reply.status_code, reply.json()["status"]) == (200, "ready")
                    return cluster
                await asyncio.sleep(0.05)

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(a_redis(port))
        a, b = await stack.enter_async_context(nodes(tmp_path, redis_url=f"redis://127.0.0.1:{port}/0"))
        agent = await stack.enter_async_context(agent_at(a, b))
        placed = await call(a, a)
        call_id = (await agent.wait("call.started"))["call_id"]
        assert "why" not in await redis_is(a, well=True)
        if how == "killed":
            first.kill()
            first.wait()
        else:
            first.send_signal(signal.SIGSTOP)
        why = (await redis_is(a, well=False))["why"]
        assert ("no answer" in why) == (how == "stopped"), why
        assert str(port) not in why, "anybody may ask, and need not know where it is"
        await agent.send("bot.reply", call_id=call_id, message_id="m1", text="One two three.")
        await agent.wait("message.confirmed", call_id=call_id)
        other = await call(a, a)
        await agent.wait("call.started", count=2)
        other.hang_up()
        await agent.wait("call.ended")
        if how == "killed":
            await stack.enter_async_context(a_redis(port))
        else:
            first.send_signal(signal.SIGCONT)
        for node in (a, b):
            assert "why" not in await redis_is(node, well=True)
        placed.hang_up()
        await agent.wait("call.ended", count=2)
        in_order(agent.frames)
