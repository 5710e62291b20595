"""A real call, looked at over HTTP: while it goes on and after it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from telephony.carriers.twilio.simulator import Clip
from tests.e2e.harness import CLIPS, KEY, TIMEOUT_S, Running, registered, running

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

FROM, TO = "+15550001111", "+15550002222"
BEARER = {"Authorization": f"Bearer {KEY}"}
HELLO = Clip.from_wav(CLIPS / "hello.wav")


@dataclass
class Feed:
    """Server-sent events, read line by line."""

    reply: httpx.Response
    events: list[tuple[str, Any, int | None]] = field(default_factory=list)
    ended: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        name, data, seq = "", "", None
        try:
            async for line in self.reply.aiter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    data = value
                elif key == "id":
                    seq = int(value)
                elif not line and name:
                    self.events.append((name, json.loads(data), seq))
                    name, data, seq = "", "", None
                    self.news.set()
        finally:
            self.ended = True
            self.news.set()

    async def wait(self, name: str, **fields: Any) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for known, data, _ in self.events:
                    if known == name and fields.items() <= data.items():
                        return dict(data)
                assert not self.ended, f"it ended while waiting for {name}: {self.names()}"
                self.news.clear()
                await self.news.wait()

    def names(self) -> list[str]:
        return [name for name, _, _ in self.events]


@asynccontextmanager
async def feed(server: Running, path: str, **headers: str) -> AsyncIterator[Feed]:
    asked = {**BEARER, "Accept": "text/event-stream", **headers}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(5, read=TIMEOUT_S)) as http,
        http.stream("GET", server.url + path, headers=asked) as reply,
        asyncio.TaskGroup() as tasks,
    ):
        assert reply.status_code == 200, await reply.aread()
        assert reply.headers["content-type"].startswith("text/event-stream")
        made = Feed(reply)
        reading = tasks.create_task(made.read())
        yield made
        reading.cancel()


async def get(server: Running, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.get(server.url + path, headers={**BEARER, **headers})


async def test_the_log_over_http_is_what_its_agent_is_told(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello and welcome.") as agent,
        server.carrier() as carrier,
        feed(server, "/v1/calls") as calls,
    ):
        assert (await calls.wait("calls")) == {"calls": []}
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        shown = await calls.wait("call", state="live")
        assert (shown["call_id"], shown["from"], shown["to"]) == (call_id, FROM, TO)
        async with feed(server, f"/v1/calls/{call_id}/events") as log:
            await agent.wait("bot.finished")
            half = (await log.wait("bot.finished"))["seq"]
            await call.say(HELLO).finished()
            await agent.wait("speech.ended")
            call.hang_up()
            ended = await agent.wait("call.ended")
            end = await log.wait("end")
        told = [frame for frame in agent.frames if "seq" in frame]
        assert [data for name, data, _ in log.events if name != "end"] == told
        assert [(name, seq) for name, _, seq in log.events[:-1]] == [(f["event"], f["seq"]) for f in told]
        assert end == {"last_seq": told[-1]["seq"]}

        page = (await get(server, f"/v1/calls/{call_id}/events?limit=1000")).json()
        assert page == {"events": told, "last_seq": told[-1]["seq"], "ended": True, "lost": 0}
        async with feed(server, f"/v1/calls/{call_id}/events", **{"Last-Event-ID": str(half)}) as rest:
            await rest.wait("end")
        assert [data for name, data, _ in rest.events if name != "end"] == told[half:]

        over = await calls.wait("call", state="ended")
        assert (over["reason"], over["ended_at"]) == ("hangup", ended["ended_at"])
        assert over["last_bot_text"] == "Hello and welcome."
        assert over["duration_ms"] == round(ended["duration_seconds"] * 1000)
        (listed,) = (await get(server, "/v1/calls")).json()["calls"]
        assert listed == over
        one = (await get(server, f"/v1/calls/{call_id}")).json()
        assert one["agent"] == {"agent_id": "tester", "online": True}
        assert (await get(server, "/v1/agents")).json()["agents"][0]["channels"] == [
            {"type": "phone", "ref": "*"}
        ]
