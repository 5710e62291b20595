"""Two nodes, joined by the real Redis, that act as one server: whatever reaches the wrong one gets to the right one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from telephony.carriers.twilio.simulator import SimulatedCall, SimulatedCarrier
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
