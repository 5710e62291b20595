"""Many calls in one second on a server that takes fewer."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from benchmarks._callers import GATES_MS, Agent
from benchmarks._children import KEY, Server
from telephony.carriers.twilio.simulator import CallOptions, CallRejected, SimulatedCarrier, SimulatorError

BURST_CALLS = 100
BURST_CAPACITY = 40


@dataclass(slots=True)
class Burst:
    """Many calls in one second on a server that takes fewer."""

    answered: int
    busy: int
    failed: int
    webhook_ms: list[float]
    """From the webhook to its answer."""
    first_word_ms: list[float]
    """From the webhook to the first audible sample, of those that were answered."""


async def burst(server: Server) -> Burst:
    loop = asyncio.get_running_loop()
    found = Burst(0, 0, 0, [], [])

    async def caller(carrier: SimulatedCarrier, index: int, at_s: float) -> None:
        await asyncio.sleep(at_s - loop.time())
        begun_s = loop.time()
        try:
            answer = await carrier.ring(f"+1777{index:07d}", next(iter(GATES_MS)))
            found.webhook_ms.append((loop.time() - begun_s) * 1000)
            wanted = answer.plan()
            call = await carrier.open_stream(wanted, options=CallOptions(keep_audio=False))
            found.first_word_ms.append((await call.bot_speaking(timeout_s=10) - begun_s) * 1000)
            found.answered += 1
        except CallRejected:
            found.busy += 1
        except (SimulatorError, TimeoutError) as error:
            found.failed += 1
            print(f"burst: {error!r}", file=sys.stderr)

    url = server.url.replace("http", "ws", 1)
    async with (
        SimulatedCarrier(server.url) as carrier,
        Agent(url, KEY, greeting="hello and welcome to the line") as agent,
        asyncio.TaskGroup() as background,
    ):
        answering = background.create_task(agent.run())
        now = loop.time() + 0.1
        async with asyncio.TaskGroup() as tasks:
            for index in range(BURST_CALLS):
                tasks.create_task(caller(carrier, index, now + index / BURST_CALLS))
        await asyncio.sleep(1.0)
        answering.cancel()
    return found
