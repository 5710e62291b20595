"""Recordings of whole calls over real sockets: on the phone, in the browser, and of a server that is killed."""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import websockets

from media.frames import Pcm
from telephony.carriers.twilio.simulator import Clip, SimulatedCarrier
from tests.e2e.browser import browser
from tests.e2e.harness import (
    CLIPS,
    KEY,
    ROOT,
    TIMEOUT_S,
    Agent,
    Frame,
    free_port,
    in_order,
    registered,
    running,
)
from tests.e2e.test_process import environment
from tests.e2e.test_webrtc import TIME

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

FROM, TO = "+15550001111", "+15550002222"
HELLO, STORY = (Clip.from_wav(CLIPS / f"{name}.wav") for name in ("hello", "story"))
LONG = "It is ten past eight in the evening, and the shop is open until nine, every day but on Sundays."
LOUD = 600


def decoded(data: bytes, rate: int) -> Pcm:
    """Samples, a column for each channel."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout=stream.layout.name, rate=rate)
        frames = [made for frame in container.decode(stream) for made in resampler.resample(frame)]
        frames += resampler.resample(None)
        pcm = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
        return np.asarray(pcm.reshape(-1, stream.channels), np.int16)


def stretches(side: Pcm, rate: int, gap_s: float = 0.4) -> list[tuple[float, float]]:
    """From when to when it sounds, seconds."""
    hop = rate // 100
    hops = np.abs(side[: len(side) // hop * hop].astype(int)).reshape(-1, hop).max(axis=1) > LOUD
    places = np.flatnonzero(hops)
    if not len(places):
        return []
    cuts = np.flatnonzero(np.diff(places) > gap_s * 100)
    firsts, lasts = [places[0], *places[cuts + 1]], [*places[cuts], places[-1]]
    return [(first / 100, (last + 1) / 100) for first, last in zip(firsts, lasts, strict=True)]


async def fetched(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.get(url, headers=headers)


@pytest.mark.parametrize("format", ["wav", "opus"])
async def test_a_phone_call_is_kept_as_it_was_told(tmp_path: Path, format: str) -> None:
    config: dict[str, Any] = {"recording": {"format": format, "consent": "on"}, "greeting": LONG}
    async with (
        running(tmp_path) as server,
        registered(server.ws, **config) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        told = await agent.wait("recording.announced")
        assert (told["by"], told["text"]) == ("spoken", "This call is recorded.")
        await agent.wait("bot.word", 8)
        speech = call.say(STORY)
        await agent.wait("bot.interrupted")
        await speech.finished()
        await agent.send("recording.pause", call_id=call_id, ack="p")
        await agent.wait("recording.paused")
        await call.say(HELLO).finished()
        await agent.send("recording.resume", call_id=call_id, ack="r")
        await agent.wait("recording.resumed")
        await call.say(HELLO).finished()
        await asyncio.sleep(0.4)
        call.hang_up()
        kept = await agent.wait("call.recording")
        in_order(agent.frames)
        file = base64.b64decode(kept["audio"])
        assert (await fetched(kept["url"])).content == file
        truth = call.stereo()
    ours = decoded(file, 8000)
    assert len(ours) == pytest.approx(kept["duration_ms"] * 8, abs=8)
    paused, resumed = agent.of("recording.paused")[0]["at_ms"], agent.of("recording.resumed")[0]["at_ms"]
    edge_ms = 0 if format == "wav" else 60
    for side in (0, 1):
        loudest = np.abs(ours[(paused + edge_ms) * 8 : (resumed - edge_ms) * 8, side].astype(int)).max()
        assert loudest < 100
        truth[paused * 8 : resumed * 8, side] = 0
        found, wanted = stretches(ours[:, side], 8000), stretches(truth[:, side], 8000)
        assert len(found) == len(wanted), (side, found, wanted)
        for (first, last), (begin, end) in zip(found, wanted, strict=True):
            assert first == pytest.approx(begin, abs=0.05), side
            assert last == pytest.approx(end, abs=0.05), side
    # And as it was told: the announcement, and right behind it the greeting, which is cut off.
    ((first, last),) = stretches(ours[:, 1], 8000)
    announced, greeted = (event["ts"] - kept["started_at"] for event in agent.of("bot.speaking"))
    assert announced == pytest.approx(first, abs=0.1)
    (interrupted,) = agent.of("bot.interrupted")
    assert last - greeted == pytest.approx(interrupted["played_ms"] / 1000, abs=0.15)


async def test_a_browser_call_is_kept_as_it_was_told(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, recording=True, greeting=LONG) as agent,
    ):
        async with browser(server) as page:
            await agent.wait("bot.word", 8)
            page.mic.say(*TIME)
            await agent.wait("bot.interrupted")
            await agent.wait("speech.ended")
            await asyncio.sleep(0.3)
            heard_ms = page.ear.heard_ms()
        kept = await agent.wait("call.recording")
    assert (kept["sample_rate"], kept["format"], kept["channels"]) == (16_000, "wav", "stereo")
    ours = decoded(base64.b64decode(kept["audio"]), 16_000)

    def place(ts: float) -> float:
        return ts - float(kept["started_at"])

    spoken, said = stretches(ours[:, 1], 16_000), stretches(ours[:, 0], 16_000)
    assert place(agent.of("bot.speaking")[0]["ts"]) == pytest.approx(spoken[0][0], abs=0.15)
    interrupted = agent.of("bot.interrupted")[0]
    # What was heard ends somewhere in a word or behind it.
    assert spoken[-1][1] - spoken[0][0] == pytest.approx(interrupted["played_ms"] / 1000, abs=0.15)
    assert spoken[-1][1] - spoken[0][0] == pytest.approx(heard_ms / 1000, abs=0.15)
    onset = min(place(event["timestamp"]) for event in agent.of("speech.started"))
    assert onset == pytest.approx(said[0][0], abs=0.1)
    # He speaks over it: both sounds are there at once.
    assert said[0][0] < spoken[-1][1]


class Killed:
    """A server process that is there to be killed."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        self.port = free_port()
        own = {"TALKWIRE_API_KEYS": KEY, "TALKWIRE_TWILIO_UNSIGNED": "loopback", **env}
        self._env = environment(data_dir, self.port, **own)
        self.output = ""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.cli", "serve"),
            cwd=ROOT,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60), httpx.AsyncClient() as http:
            while True:
                try:
                    await http.get(f"{self.url}/healthz")
                    return
                except httpx.TransportError:
                    assert self._process.returncode is None, await self._process.stdout.read()  # type: ignore[union-attr]
                    await asyncio.sleep(0.1)

    async def kill(self) -> str:
        """Returns what it has written."""
        assert self._process is not None
        self._process.kill()
        assert self._process.stdout is not None
        output = (await self._process.stdout.read()).decode()
        await self._process.wait()
        return output


async def agent_of(url: str, **config: Any) -> tuple[Agent, asyncio.Task[None]]:
    socket = await websockets.connect(f"ws{url.removeprefix('http')}/client", compression=None)
    agent = Agent(socket)
    reading = asyncio.create_task(agent.read())
    await agent.send("connect", api_key=KEY, protocol="talkwire/1")
    await agent.send("agent.create", agent_id="tester", **config)
    await agent.send("channel.add", agent_id="tester", type="phone", ref="*")
    await agent.wait("channel.added")
    return agent, reading


@pytest.mark.parametrize("format", ["wav", "opus"])
async def test_a_killed_server_leaves_all_but_the_last_second(tmp_path: Path, format: str) -> None:
    loop = asyncio.get_running_loop()
    server = Killed(tmp_path)
    await server.start()
    agent, reading = await agent_of(server.url, recording={"format": format}, greeting=LONG)
    folder = tmp_path / "recordings"
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call(FROM, TO)
        started: Frame = await agent.wait("call.started")
        await agent.wait("bot.finished")
        speech = call.say(STORY)
        await asyncio.sleep(1.5)
        lasted_s = loop.time() - call.started_s
        await server.kill()
        truth = call.stereo()
        assert speech is not None
        call.hang_up()
    await asyncio.wait([reading], timeout=TIMEOUT_S)

    # As it lies there.
    (part,) = folder.iterdir()
    assert part.name.endswith(f".part.{format}")
    ours = decoded(part.read_bytes(), 8000)
    missing_s = lasted_s - len(ours) / 8000
    assert missing_s <= 1.0
    for side in (0, 1):
        found, wanted = stretches(ours[:, side], 8000), stretches(truth[: len(ours), side], 8000)
        assert [at for at, _ in found] == pytest.approx([at for at, _ in wanted], abs=0.1), side

    # And after the next start.
    await server.start()
    try:
        reply = await fetched(
            f"{server.url}/v1/calls/{started['call_id']}/recording", Authorization=f"Bearer {KEY}"
        )
        assert reply.status_code == 200
        assert len(decoded(reply.content, 8000)) >= len(ours)
        assert [path.name for path in folder.iterdir()] == [part.name.replace(".part", "")]
    finally:
        output = await server.kill()
    assert "recording.recovered" in output
    assert started["call_id"] in output
