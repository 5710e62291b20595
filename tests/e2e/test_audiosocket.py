"""Calls of a PBX over real sockets, against a peer written from the protocol's documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.e2e.harness import KEY, Running, free_port, in_order, registered, running
from tests.fakes.audiosocket import PbxCall, connected

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

AUTH = {"Authorization": f"Bearer {KEY}"}


@asynccontextmanager
async def pbx(tmp_path: Path, **settings: Any) -> AsyncIterator[Running]:
    async with running(tmp_path, audiosocket=f"127.0.0.1:{free_port()}", **settings) as server:
        yield server


async def announced(server: Running, **told: Any) -> UUID:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{server.url}/v1/audiosocket/calls",
            json={"from": "+15550001111", "to": "100", **told},
            headers=AUTH,
        )
    assert answer.status_code == 200, answer.text
    return UUID(answer.json()["uuid"])


@asynccontextmanager
async def called(server: Running, rate_hz: int = 8000, **told: Any) -> AsyncIterator[PbxCall]:
    assert server.settings.audiosocket is not None
    async with connected(server.settings.audiosocket, await announced(server, **told), rate_hz) as call:
        yield call


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
async def test_a_greeting_is_heard_and_told(tmp_path: Path, rate_hz: int) -> None:
    async with pbx(tmp_path) as server, registered(server.ws, greeting="Hello and welcome.") as agent:
        async with called(server, rate_hz, metadata={"queue": "sales"}) as call:
            await call.bot_speaking()
            finished = await agent.wait("bot.finished")
            await call.bot_quiet(300)
            call.hang_up()
            ended = await agent.wait("call.ended")
        in_order(agent.frames)
        assert call.faults == []
        (spoken,) = call.playback.utterances()
        assert finished["duration_ms"] == pytest.approx(spoken.duration_ms, abs=60)
        started = agent.of("call.started")[0]
        assert (started["from"], started["to"], started["transport"]) == ("+15550001111", "100", "phone")
        assert started["metadata"] == {"queue": "sales"}
        assert ended["reason"] == "hangup"
        assert ended["transcript"] == [{"role": "assistant", "content": "Hello and welcome."}]
