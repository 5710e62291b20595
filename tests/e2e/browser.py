"""A browser in Python: an aiortc peer that speaks WAV files, hears the bot and reads the data channel."""

from __future__ import annotations

import asyncio
import fractions
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from media.frames import Pcm
from media.resample import resample
from tests.e2e.harness import KEY, TIMEOUT_S, Frame, Running

RATE = 48_000
STEP = RATE // 50
LOUD = 500


class Microphone(MediaStreamTrack):
    """Sends silence, and what it is given to say, in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._said: deque[Pcm] = deque()
        self._count = 0
        self._began: float | None = None
        self.spoken: list[float] = []
        """When each thing that it said began, on the loop's clock."""
        self._speaks = False

    def say(self, pcm: Pcm, rate_hz: int) -> None:
        sound = resample(pcm, rate_hz, RATE)
        sound = np.pad(sound, (0, -len(sound) % STEP))
        self._said.extend(sound.reshape(-1, STEP))

    @property
    def speaking(self) -> bool:
        return bool(self._said)

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        self._began = loop.time() if self._began is None else self._began
        await asyncio.sleep(max(0.0, self._began + self._count * 0.02 - loop.time()))
        if self._said and not self._speaks:
            self.spoken.append(self._began + self._count * 0.02)
        self._speaks = bool(self._said)
        pcm = self._said.popleft() if self._said else np.zeros(STEP, dtype=np.int16)
        frame = AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = RATE, fractions.Fraction(1, RATE)
        frame.pts = self._count * STEP
        self._count += 1
        return frame


@dataclass
class Ear:
    """What was heard of the bot: loudness of each 20 ms, by place on the sender's clock, and when it came."""

    frames: list[tuple[int, float, float]] = field(default_factory=list)
    heard: list[Pcm] = field(default_factory=list)
    """The audio of each of them."""
    task: asyncio.Task[None] | None = None

    async def listen(self, track: MediaStreamTrack) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            pcm = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0].astype(np.int16)
            self.heard.append(pcm)
            rms = float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)))
            self.frames.append((frame.pts or 0, loop.time(), rms))

    def heard_ms(self) -> float:
        """From the first loud frame to the last one."""
        loud = [place for place, _, rms in self.frames if rms > LOUD]
        return (loud[-1] - loud[0] + STEP) * 1000 / RATE if loud else 0.0

    def sound(self) -> Pcm:
        """All of it, each frame at its place on the sender's clock."""
        first = self.frames[0][0]
        out = np.zeros(self.frames[-1][0] - first + len(self.heard[-1]), dtype=np.int16)
        for (place, _, _), pcm in zip(self.frames, self.heard, strict=True):
            out[place - first : place - first + len(pcm)] = pcm
        return out

    def loud_since(self, at: float) -> bool:
        return any(rms > LOUD for _, when, rms in self.frames if when >= at)

    @property
    def last_loud_at(self) -> float:
        return max((when for _, when, rms in self.frames if rms > LOUD), default=0.0)


class Browser:
    """One page, on a call."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection()
        self.mic = Microphone()
        self.ear = Ear()
        self.frames: list[Frame] = []
        self.call_id = ""
        self._news = asyncio.Event()
        self.pc.addTrack(self.mic)
        self.channel: RTCDataChannel = self.pc.createDataChannel("events", ordered=True)
        self.channel.on("message", self._on_message)
        self.channel.on("open", self._news.set)
        self.pc.on("track", self._on_track)
        self.pc.on("connectionstatechange", self._news.set)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self.ear.task = asyncio.create_task(self.ear.listen(track))

    def _on_message(self, text: str) -> None:
        self.frames.append(json.loads(text))
        self._news.set()

    async def offer(self, **fields: Any) -> dict[str, Any]:
        """The body of a request to ``/webrtc/offer``."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return {"sdp": self.pc.localDescription.sdp, "type": "offer", **fields}

    async def accept(self, answer: dict[str, Any]) -> None:
        self.call_id = answer["call_id"]
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        await self.until(lambda: self.channel.readyState == "open")

    def send(self, **action: Any) -> None:
        self.channel.send(json.dumps(action))

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not true():
                self._news.clear()
                await self._news.wait()

    async def wait(self, event: str, count: int = 1, **fields: Any) -> Frame:
        """The ``count``-th message of this name whose fields are these."""

        def found() -> list[Frame]:
            return [f for f in self.frames if f["event"] == event and fields.items() <= f.items()]

        await self.until(lambda: len(found()) >= count)
        return found()[count - 1]

    def of(self, event: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["event"] == event]

    async def close(self) -> None:
        await self.pc.close()
        if self.ear.task is not None:
            await self.ear.task


async def token(server: Running, agent_id: str = "tester", kind: str = "webrtc", **query: str) -> str:
    """From the agent's own server, with its key."""
    async with httpx.AsyncClient() as http:
        asked = {"agent_id": agent_id, **query}
        reply = await http.get(
            f"{server.url}/{kind}/token", params=asked, headers={"Authorization": f"Bearer {KEY}"}
        )
    assert reply.status_code == 200, reply.text
    given: str = reply.json()["token"]
    return given


async def post_offer(server: Running, body: dict[str, Any], **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(f"{server.url}/webrtc/offer", json=body, headers=headers)


@asynccontextmanager
async def browser(server: Running, **fields: Any) -> AsyncIterator[Browser]:
    """A page that is connected to the agent ``tester``."""
    page = Browser()
    try:
        fields.setdefault("token", await token(server))
        reply = await post_offer(server, await page.offer(**fields))
        assert reply.status_code == 200, reply.text
        await page.accept(reply.json())
        yield page
    finally:
        await page.close()
