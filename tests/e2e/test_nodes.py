"""Two nodes, joined by the real Redis, that act as one server: whatever reaches the wrong one gets to the right one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from telephony.carriers.twilio.simulator import SimulatedCall, SimulatedCarrier, StreamRefused
from tests.e2e.browser import Browser
from tests.e2e.harness import KEY, TIMEOUT_S, Agent, Frame, Running, connected, in_order, running
from tests.redis import SERVER, redis_prefix

pytestmark = pytest.mark.e2e

FROM, TO = "+15550001111", "+15550002222"
PUBLIC, TOKEN = "https://voice.test", "twiliosecret"
BEARER = {"Authorization": f"Bearer {KEY}"}
GREETING = "One two three four five six seven eight nine ten."


@dataclass
class Node:
    """One of them, and a phone network whose requests the load balancer gives to it."""

    server: Running
    carrier: SimulatedCarrier

    @property
    def ws(self) -> str:
        return self.server.ws

    @property
    def name(self) -> str:
        return self.server.services.cluster.node

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.server.url, trust_env=False) as http:
            return await http.get(path, headers={**BEARER, **headers})


@asynccontextmanager
async def nodes(tmp_path: Path, count: int = 2, **settings: Any) -> AsyncIterator[list[Node]]:
    """Servers on one data directory that know each other."""
    async with AsyncExitStack() as stack:
        if "redis_url" not in settings:
            settings |= {"redis_url": SERVER, "redis_prefix": stack.enter_context(redis_prefix())}
        shared = {"public_url": PUBLIC, "twilio_auth_token": TOKEN, **settings}
        made: list[Node] = []
        for _ in range(count):
            server = await stack.enter_async_context(running(tmp_path, **shared))
            made.append(Node(server, SimulatedCarrier(server.url, auth_token=TOKEN, public_url=PUBLIC)))
        async with asyncio.timeout(TIMEOUT_S):
            while any(node.server.services.cluster.health()["nodes"] < count for node in made):
                await asyncio.sleep(0.05)
        for node in made:
            await stack.enter_async_context(node.carrier)
        yield made


@asynccontextmanager
async def agent_at(
    node: Node, *others: Node, agent_id: str = "tester", **connect: Any
) -> AsyncIterator[Agent]:
    """An agent that answers any number, known at all nodes."""
    async with connected(node.ws, **connect) as agent:
        await agent.send("agent.create", agent_id=agent_id)
        await agent.wait("agent.created")
        await agent.send("channel.add", agent_id=agent_id, type="phone", ref="*")
        await agent.wait("channel.added")
        await known(*others, agent_id=agent_id)
        yield agent


async def known(*at: Node, agent_id: str = "tester", channels: int = 1) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        for node in at:
            while True:
                agent = node.server.services.agents.get(agent_id)
                if agent is not None and len(agent.channels) == channels:
                    break
                await asyncio.sleep(0.01)


async def call(webhook: Node, media: Node) -> SimulatedCall:
    answer = await webhook.carrier.ring(FROM, TO)
    return await media.carrier.open_stream(answer.plan())


async def test_webhook_here_and_media_there(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        for webhook, media in ((a, b), (b, a), (b, b)):
            placed = await call(webhook, media)
            call_id = placed.ids.call_sid
            await agent.wait("call.started", call_id=call_id)
            assert webhook.server.services.calls.get(call_id) is not None
            other = a if webhook is b else b
            assert other.server.services.calls.get(call_id) is None
            placed.hang_up()
            ended = await agent.wait("call.ended", call_id=call_id)
            assert ended["reason"] == "hangup"
        in_order(agent.frames)


async def test_a_person_listens_and_speaks_by_way_of_the_other_node(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        placed = await call(b, b)
        call_id = (await agent.wait("call.started"))["call_id"]
        async with (
            websockets.connect(f"{a.ws}/live/{call_id}/ws?token={KEY}", compression=None) as socket,
            httpx.AsyncClient(base_url=a.server.url, headers=BEARER, trust_env=False) as http,
        ):

            async def ask(verb: str, **fields: str) -> httpx.Response:
                return await http.post(f"/v1/calls/{call_id}/supervise", json={"verb": verb, **fields})

            assert (await ask("say", text="This is Ann.", by="Ann")).status_code == 202
            assert (await agent.wait("supervisor.said"))["by"] == "Ann"
            await agent.wait("bot.finished")
            assert (await ask("release")).status_code == 409
            assert (await ask("end", by="Ann")).status_code == 202
            heard = [frame async for frame in socket]
        assert (await agent.wait("call.ended"))["detail"] == "ended by Ann"
        assert json.loads(heard[0])["sampleRate"] == 8000
        assert heard[-1] == b""
        sound = b"".join(frame for frame in heard[1:] if isinstance(frame, bytes) and len(frame) >= 4)
        assert max(sound[1::2]) > 0, "more than silence"
        await placed.ended()


async def test_commands_and_logs_find_a_call_at_the_other_node(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b) as agent:
        placed = await call(b, a)
        started = await agent.wait("call.started")
        call_id = started["call_id"]
        await agent.send("bot.reply", call_id=call_id, message_id="m1", text="One two.", ack="said")
        assert (await agent.wait("ack", ack="said"))["status"] == "processing"
        await agent.wait("bot.finished", message_id="m1")
        await agent.send("session.configure", session_id=call_id, greeting="Hello.", ack="set")
        assert (await agent.wait("ack", ack="set"))["status"] == "success"
        await agent.send("history.get", call_id=call_id, request_id="r1")
        assert (await agent.wait("history.data", request_id="r1")).get("error") is None
        # The log is read at the node that has not the call; its list has it, too.
        page = (await a.get(f"/v1/calls/{call_id}/events?format=wire")).json()["events"]
        assert [e["event"] for e in page] == [f["event"] for f in agent.frames if "seq" in f][: len(page)]
        async with asyncio.timeout(TIMEOUT_S):
            while not (listed := (await a.get("/v1/calls?state=live")).json()["calls"]):
                await asyncio.sleep(0.05)
        assert [(c["call_id"], c["node"]) for c in listed] == [(call_id, b.name)]
        assert (await a.get(f"/v1/calls/{call_id}")).json()["agent"]["online"] is True
        for command in (
            {"event": "call.hangup", "call_id": call_id},
            {"event": "call.hangup", "call_id": "CAnone"},
        ):
            await agent.send(**command, ack=command["call_id"])
        assert (await agent.wait("ack", ack="CAnone"))["code"] == "CALL_UNKNOWN"
        assert (await agent.wait("ack", ack=call_id))["status"] == "success"
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"
        await placed.ended()
        in_order(agent.frames)
        async with asyncio.timeout(TIMEOUT_S):
            while (await a.get("/v1/calls?state=live")).json()["calls"]:
                await asyncio.sleep(0.05)


async def test_a_node_that_is_full_passes_calls_on_until_all_are(tmp_path: Path) -> None:
    async with nodes(tmp_path, max_calls=1) as (a, b), agent_at(a, b) as agent:
        async with asyncio.timeout(TIMEOUT_S):
            while not b.server.services.calls.room or (await a.get("/readyz")).json()["cluster"]["room"] < 1:
                await asyncio.sleep(0.1)
        for count, node in enumerate((a, b), 1):
            answer = await a.carrier.ring(FROM, TO)
            assert node.server.services.calls.get(answer.call_sid) is not None
            await a.carrier.open_stream(answer.plan())
            await agent.wait("call.started", count=count)
        assert 'reason="busy"' in (await a.carrier.ring(FROM, TO)).body


async def test_an_agent_has_one_home(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), agent_at(a, b), connected(b.ws) as other:
        await other.send("agent.create", agent_id="Tester")
        refused = await other.wait("error", code="AGENT_CONFLICT")
        assert refused["agent_id"] == "Tester"
        await other.send("agent.create", agent_id="second")
        await other.send("channel.add", agent_id="second", type="phone", ref="*")
        await other.wait("error", code="PHONE_IN_USE")


async def test_two_that_ask_at_once_do_not_both_get_an_agent(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b), connected(a.ws) as one, connected(b.ws) as two:
        for turn in range(5):
            async with asyncio.TaskGroup() as tasks:
                for agent in (one, two):
                    tasks.create_task(agent.send("agent.create", agent_id=f"a{turn}", ack=f"{turn}"))
            told = [(await agent.wait("ack", ack=f"{turn}"))["status"] for agent in (one, two)]
            assert sorted(told) == ["error", "success"]


async def test_back_at_the_other_node_in_the_middle_of_a_call(tmp_path: Path) -> None:
    """Its call is at a third one: every event comes once, in order, whichever node the agent is connected to."""
    async with nodes(tmp_path, 3) as (a, b, c):
        frames: list[Frame] = []
        async with agent_at(a, b, c) as first:
            placed = await call(c, a)
            call_id = (await first.wait("call.started"))["call_id"]
            await first.send("bot.reply", call_id=call_id, message_id="m1", text=GREETING)
            await first.wait("bot.word", count=2)
            frames += [frame for frame in first.frames if "seq" in frame]
        await asyncio.sleep(0.3)
        cursors = {call_id: frames[-1]["seq"], "CAgone": 3}
        async with connected(b.ws, resume=cursors) as second:
            await second.send("agent.create", agent_id="tester")
            await second.wait("message.confirmed")
            resumed = second.of("agent.resumed")
            assert [gone for told in resumed for gone in told["gone"]] == ["CAgone"]
            assert [known["call_id"] for told in resumed for known in told["calls"]] == [call_id]
            await second.send("bot.reply", call_id=call_id, message_id="m2", text="And good bye.")
            await second.wait("bot.finished", message_id="m2")
            placed.hang_up()
            await second.wait("call.ended")
            frames += [frame for frame in second.frames if "seq" in frame]
            assert second.of("call.started") == []
        in_order(frames)


async def test_a_client_that_knows_no_resume_is_told_the_rest_once(tmp_path: Path) -> None:
    async with nodes(tmp_path) as (a, b):
        async with agent_at(a, b, protocol=None) as first:
            placed = await call(b, b)
            call_id = (await first.wait("call.started"))["call_id"]
            await first.send("bot.reply", call_id=call_id, message_id="m1", text=GREETING)
            await first.wait("bot.word", count=2)
        async with agent_at(b, a, protocol=None) as second:
            await second.wait("message.confirmed")
            placed.hang_up()
            await second.wait("call.ended")
            again, *rest = [frame for frame in second.frames if "seq" in frame]
            assert (again["event"], again["metadata"]["resumed"]) == ("call.started", True)
            before = [frame["seq"] for frame in first.frames if "seq" in frame]
            assert [*before, *(frame["seq"] for frame in rest)] == list(range(1, rest[-1]["seq"] + 1))


async def test_a_token_is_good_once_wherever_it_is_shown(tmp_path: Path) -> None:
    page = Browser()
    offer = await page.offer()
    await page.close()
    async with nodes(tmp_path) as (a, b), agent_at(a, b), httpx.AsyncClient(trust_env=False) as http:
        asked = await http.get(f"{a.server.url}/webrtc/token?agent_id=tester", headers=BEARER)
        token = asked.json()["token"]
        took = await http.post(f"{b.server.url}/webrtc/offer", json={**offer, "token": token})
        assert took.status_code == 200, took.text
        for node in (a, b):
            again = await http.post(f"{node.server.url}/webrtc/offer", json={**offer, "token": token})
            assert (again.status_code, "used already" in again.text) == (401, True)
        # A media stream's token is used up at the node that made it.
        answer = await a.carrier.ring(FROM, TO)
        await b.carrier.open_stream(answer.plan())
        for node in (a, b):
            with pytest.raises(StreamRefused) as refused:
                await node.carrier.open_stream(answer.plan())
            assert refused.value.status == 403
