"""What two agents that speak with one another cost, against two phone calls: processor time of the server.

``python -m benchmarks.bridge`` has a server in a process of its own, with a real detector and providers that take no
time. First so many bridges, then twice as many phone calls: in each call the bot says a sentence every few seconds, and
hears one in between. The same number of conversations, of frames heard and of sentences said; what differs is how audio
travels.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import websockets

from benchmarks._children import KEY, Server, serving
from benchmarks._process import cpu_times
from benchmarks._server import Options
from telephony.carriers.twilio.simulator import Clip, SimulatedCarrier

CLIPS = Path(__file__).parents[1] / "examples" / "clips"
SENTENCE = "This is what I wanted to say to you today."
EVERY_S = 5.0
SETTLE_S = 3.0


class Agents:
    """Both agents, on one connection."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self.calls: dict[str, str] = {}
        """Live calls, and whose each is."""
        self._ids = itertools.count()

    async def read(self) -> None:
        async for text in self._socket:
            frame = json.loads(text)
            if frame["event"] == "call.started":
                self.calls[frame["call_id"]] = frame["agent_id"]
            elif frame["event"] == "call.ended":
                self.calls.pop(frame["call_id"], None)

    async def send(self, event: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"event": event, **fields}))

    async def until(self, calls: int) -> None:
        async with asyncio.timeout(20):
            while len(self.calls) != calls:
                await asyncio.sleep(0.05)

    async def talk(self) -> None:
        """In each call a sentence; in those of the second agent half a round later."""
        while True:
            for name in ("first", "second"):
                for call_id in [call_id for call_id, agent in self.calls.items() if agent == name]:
                    message_id = f"m{next(self._ids)}"
                    await self.send("bot.reply", call_id=call_id, message_id=message_id, text=SENTENCE)
                await asyncio.sleep(EVERY_S / 2)


@asynccontextmanager
async def agents(server: Server) -> AsyncIterator[Agents]:
    url = f"ws://127.0.0.1:{server.port}/client"
    async with websockets.connect(url, compression=None, max_size=None) as socket:
        made = Agents(socket)
        reading = asyncio.create_task(made.read())
        await made.send("connect", api_key=KEY, protocol="talkwire/1")
        limits = {"idle_timeout_seconds": 0}
        for name in ("first", "second"):
            await made.send("agent.create", agent_id=name, session_limits=limits, interruption=False)
        await made.send("channel.add", agent_id="first", type="phone", ref="*")
        talking = asyncio.create_task(made.talk())
        try:
            yield made
        finally:
            talking.cancel()
            reading.cancel()


async def used(server: Server, core: int, seconds: float) -> float:
    """Share of a core that the server takes."""
    await asyncio.sleep(SETTLE_S)
    before = cpu_times(server.pid, core)
    await asyncio.sleep(seconds)
    after = cpu_times(server.pid, core)
    return (after.process - before.process) / (after.at - before.at)


async def bridged(server: Server, made: Agents, pairs: int, core: int, seconds: float) -> float:
    for _ in range(pairs):
        await made.send("call.bridge", agent_id="first", target="second")
    await made.until(2 * pairs)
    share = await used(server, core, seconds)
    for call_id in list(made.calls):
        await made.send("call.hangup", call_id=call_id)
    await made.until(0)
    return share


async def phoned(server: Server, made: Agents, calls: int, core: int, seconds: float) -> float:
    clip = Clip.from_wav(CLIPS / "story.wav")
    async with SimulatedCarrier(server.url) as carrier:
        placed = [await carrier.place_call(f"+1555000{n:04}", "+15550002222") for n in range(calls)]
        await made.until(calls)

        async def speak() -> None:
            while True:
                await asyncio.sleep(EVERY_S / 2)
                for call in placed:
                    call.say(clip)
                await asyncio.sleep(EVERY_S / 2)

        speaking = asyncio.create_task(speak())
        share = await used(server, core, seconds)
        speaking.cancel()
        for call in placed:
            call.hang_up()
        await made.until(0)
    return share


async def main(pairs: int, seconds: float, vad: str) -> None:
    cores = sorted(os.sched_getaffinity(0))
    core, load_core = cores[-1], cores[0]
    options = Options(
        port=0,
        data_dir="",
        key=KEY,
        max_calls=4 * pairs,
        vad=vad,
        recording=False,
        stt_ms=0.0,
        tts_ms=0.0,
        base_url=None,
    )
    with serving(options, core=core, load_core=load_core) as server:
        async with agents(server) as made:
            nobody = await used(server, core, seconds / 2)
            joined = await bridged(server, made, pairs, core, seconds) - nobody
            phones = await phoned(server, made, 2 * pairs, core, seconds) - nobody
    print(f"{pairs} bridges: {joined:.3f} of a core, {1000 * joined / pairs:.1f} ms a second each")
    print(f"{2 * pairs} phone calls: {phones:.3f} of a core, {1000 * phones / pairs:.1f} ms a second for two")
    print(f"two bridged calls cost {100 * joined / phones:.0f} % of two phone calls")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=8, help="bridges at the same time")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--vad", default="silero")
    given = parser.parse_args()
    asyncio.run(main(given.pairs, given.seconds, given.vad))
