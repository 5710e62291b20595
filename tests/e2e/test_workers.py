"""``talkwire serve --workers 2``: several processes on one port that are one server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from telephony.carriers.twilio.simulator import SimulatedCarrier
from tests.e2e.harness import KEY, ROOT, TIMEOUT_S, free_port, in_order, registered
from tests.e2e.test_process import environment
from tests.redis import SERVER, redis_prefix

pytestmark = pytest.mark.e2e


async def joined(port: int, process: asyncio.subprocess.Process, count: int = 2) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as http:
        while True:
            assert process.returncode is None
            try:
                told = (await http.get(f"http://127.0.0.1:{port}/readyz")).json()
                if told["cluster"]["nodes"] == count:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_two_workers_take_calls_lose_one_of_them_and_stop(tmp_path: Path) -> None:
    port = free_port()
    with redis_prefix() as prefix:
        env = environment(
            tmp_path,
            port,
            TALKWIRE_REDIS_URL=SERVER,
            TALKWIRE_REDIS_PREFIX=prefix,
            TALKWIRE_API_KEYS=KEY,
            TALKWIRE_TWILIO_UNSIGNED="loopback",
        )
        command = (sys.executable, "-m", "server.cli", "serve", "--workers", "2")
        process = await asyncio.create_subprocess_exec(
            *command, env=env, stdout=asyncio.subprocess.DEVNULL, cwd=ROOT
        )
        try:
            await joined(port, process)
            url = f"http://127.0.0.1:{port}"
            async with SimulatedCarrier(url) as carrier, registered(f"ws://127.0.0.1:{port}") as agent:
                calls = []
                for index in range(8):
                    # A new connection each time, for the kernel to deal out.
                    async with SimulatedCarrier(url) as other, asyncio.timeout(TIMEOUT_S):
                        while (
                            "Reject"
                            in (answer := await other.ring(f"+1555000{index:04}", "+15550002222")).body
                        ):
                            await asyncio.sleep(0.05)
                    calls.append(await carrier.open_stream(answer.plan()))
                    await agent.wait("call.started", count=index + 1)
                async with httpx.AsyncClient(
                    trust_env=False, headers={"Authorization": f"Bearer {KEY}"}
                ) as http:
                    async with asyncio.timeout(TIMEOUT_S):
                        while len(live := (await http.get(f"{url}/v1/calls?state=live")).json()["calls"]) < 8:
                            await asyncio.sleep(0.1)
                assert len({call["call_id"] for call in live}) == 8
                for call in calls:
                    call.hang_up()
                await agent.wait("call.ended", count=8)
                in_order(agent.frames)
            assert process.pid is not None
            first, second = children(process.pid)
            os.kill(second, signal.SIGKILL)
            async with asyncio.timeout(60):
                while children(process.pid)[-1:] == [second] or len(children(process.pid)) < 2:
                    await asyncio.sleep(0.1)
            assert first in children(process.pid)
            process.terminate()
            async with asyncio.timeout(TIMEOUT_S):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
