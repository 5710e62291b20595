"""Several processes share the port for a PBX: its connection may come to another one than its call was announced to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from server.doors import audiosocket
from telephony.carriers.audiosocket.onward import Onward
from tests.e2e.harness import KEY, ROOT, TIMEOUT_S, free_port, in_order, registered
from tests.e2e.pbx import AUTH, announced, linked
from tests.e2e.test_nodes import agent_at, nodes
from tests.e2e.test_process import environment
from tests.e2e.test_workers import joined
from tests.fakes.audiosocket import connected
from tests.redis import SERVER, redis_prefix

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

CALLS = 8
"""That all come to the process which has them is less likely than one in a hundred."""


async def test_a_connection_finds_its_call_in_the_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []

    class Counted(Onward):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            passed.append(1)

    monkeypatch.setattr(audiosocket, "Onward", Counted)
    shared: dict[str, Any] = {
        "audiosocket": f"127.0.0.1:{free_port()}",
        "audiosocket_lead_ms": 200,
        "workers": 2,
    }
    async with nodes(tmp_path, **shared) as (a, b), agent_at(a, b) as agent:
        for index in range(CALLS):
            node, other = (a, b) if index % 2 else (b, a)
            uuid = await announced(node.server)
            async with linked(other.server, uuid) as call:
                call_id = (await agent.wait("call.started", count=index + 1))["call_id"]
                assert call_id == str(uuid)
                assert node.server.services.calls.get(call_id) is not None, "where it was announced"
                said = {"call_id": call_id, "message_id": f"m{index}", "text": "One two three."}
                await agent.send("bot.reply", **said)
                await agent.wait("bot.finished", count=index + 1)
                await call.bot_quiet(300)
                assert call.playback.utterances(), "it was heard"
                call.hang_up()
                await agent.wait("call.ended", count=index + 1)
                assert call.faults == []
        assert passed, "some of them came to the other process"
        in_order(agent.frames)
        # A call that nobody announced is refused, whoever is asked.
        for _ in range(CALLS):
            async with linked(a.server, uuid4()) as call, asyncio.timeout(TIMEOUT_S):
                await call.ended


async def test_workers_take_the_calls_of_a_pbx(tmp_path: Path) -> None:
    port, where = free_port(), f"127.0.0.1:{free_port()}"
    with redis_prefix() as prefix:
        env = environment(
            tmp_path,
            port,
            TALKWIRE_REDIS_URL=SERVER,
            TALKWIRE_REDIS_PREFIX=prefix,
            TALKWIRE_API_KEYS=KEY,
            TALKWIRE_AUDIOSOCKET=where,
        )
        command = (sys.executable, "-m", "server.cli", "serve", "--workers", "2")
        process = await asyncio.create_subprocess_exec(
            *command, env=env, stdout=asyncio.subprocess.DEVNULL, cwd=ROOT
        )
        try:
            await joined(port, process)
            async with registered(f"ws://127.0.0.1:{port}", greeting="Hello.") as agent:
                await asyncio.sleep(0.5)
                for count in range(1, CALLS + 1):
                    async with httpx.AsyncClient(trust_env=False, headers=AUTH) as http:
                        told = {"from": "+15550001111", "to": "100"}
                        answer = await http.post(f"http://127.0.0.1:{port}/v1/audiosocket/calls", json=told)
                        assert answer.status_code == 200, answer.text
                    async with connected(where, UUID(answer.json()["uuid"]), 8000) as call:
                        await agent.wait("bot.finished", count=count)
                        assert call.playback.utterances(), "the greeting was heard"
                        call.hang_up()
                        await agent.wait("call.ended", count=count)
                in_order(agent.frames)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(TIMEOUT_S):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
