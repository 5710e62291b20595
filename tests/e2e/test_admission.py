"""A server that is busier than its calls can bear: here its loop is blocked on purpose, again and again."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from telephony.carriers.twilio.simulator import CallRejected, SimulatedCall, SimulatedCarrier
from tests.e2e.harness import TIMEOUT_S, registered, running
from tests.e2e.test_webrtc_doors import a_body

pytestmark = [pytest.mark.e2e]

FROM, TO = "+15550001111", "+15550002222"


async def taken(carrier: SimulatedCarrier) -> tuple[SimulatedCall, int]:
    """A call, and how many were refused before: this machine may be busy, too."""
    refused = 0
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                return await carrier.place_call(FROM, TO), refused
            except CallRejected:
                refused += 1
                await asyncio.sleep(0.5)


async def test_a_loop_that_is_late_takes_no_further_call_and_keeps_those_it_has(tmp_path: Path) -> None:
    async with (
        running(tmp_path, max_lag_ms=40.0) as server,
        registered(server.ws) as agent,
        server.carrier() as carrier,
        httpx.AsyncClient(base_url=server.url) as web,
    ):
        call, refused_before = await taken(carrier)
        call_id = (await agent.wait("call.started"))["call_id"]
        body = await a_body()
        token = (await web.get("/webrtc/token", params={"agent_id": "tester"})).json()["token"]
        for _ in range(8):
            time.sleep(0.1)
            await asyncio.sleep(0.01)
        with pytest.raises(CallRejected, match="busy"):
            await carrier.place_call(FROM, TO)

        refused = await web.post("/webrtc/offer", json={**body, "token": token})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        ready = await web.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "lagging")
        figures = (await web.get("/metrics")).text
        assert "talkwire_lagging 1.0" in figures
        assert f'talkwire_calls_refused_total{{reason="lag"}} {refused_before + 1:.1f}' in figures
        await agent.send("bot.reply", call_id=call_id, message_id="m1", text="Still here.")
        await agent.wait("bot.finished", message_id="m1")
        call.hang_up()
        await agent.wait("call.ended")
