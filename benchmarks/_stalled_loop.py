"""Calls on the real loop, over the real Twilio leg, while something holds that loop up again and again."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks._far_end import FarEnd, Network
from benchmarks._known_voice import KnownVoice, Studio
from benchmarks._told_calls import Call, Plan
from media.frames import AudioFrame
from media.g711 import ulaw_decode, ulaw_encode
from pipeline.config import Engines, SessionConfig
from pipeline.events import BotFinished, EndReason
from pipeline.session import Session
from pipeline.text import sentences
from telephony.carriers.twilio.leg import TwilioLeg
from telephony.carriers.twilio.wire import Start
from tests.fakes.stt import FakeStt
from tests.fakes.vad import FakeVad

STREAM = "MZ00000000000000000000000000000000"


@dataclass
class Stalls:
    """What the loop was put through."""

    instants: list[float] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


async def stalled(
    studio: Studio,
    texts: list[str],
    *,
    calls: int,
    seconds: float,
    stall_ms: float,
    network: Network,
    seed: int,
) -> Stalls:
    """So many calls in which the bot speaks without a pause; the loop stands still at random instants."""
    for text in texts:
        for sentence in sentences(text):
            studio.say(*studio.voices[0], sentence.strip())
    out = Stalls()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    async with asyncio.TaskGroup() as tasks:
        for number in range(calls):
            tasks.create_task(_call(studio, texts, until, network, seed + number, out))
        rng = random.Random(seed)
        while loop.time() < until:
            await asyncio.sleep(rng.uniform(0.3, 1.2))
            out.instants.append(loop.time())
            time.sleep(stall_ms / 1000)
    return out


async def _call(
    studio: Studio, texts: list[str], until: float, network: Network, seed: int, out: Stalls
) -> None:
    loop = asyncio.get_running_loop()
    rng = random.Random(seed)
    await asyncio.sleep(rng.uniform(0.0, 0.5))
    far = FarEnd(network, seed)
    plan = Plan(seed, studio.voices[0], True, False, 5.0, 0, tuple(texts), network)
    voice = KnownVoice(
        studio,
        plan.voice,
        np.random.default_rng(seed),
        word_times=True,
        first_audio_s=0.1,
        speed=plan.speed,
        mulaw=True,
    )
    call = Call(plan, far, voice, texts=list(texts))
    socket = _Socket(far)
    leg = TwilioLeg(socket, _start(), lead_ms=300)
    ear = FakeStt()
    await ear.start()
    numbers = itertools.count(1)
    session = Session(
        leg,
        Engines(FakeVad(), ear, voice),
        SessionConfig(),
        lambda event: call.log.append((loop.time(), event)),
        lambda: f"{next(numbers):012d}{0:020d}",
    )
    far.listener = socket
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run())
        tasks.create_task(leg.run(session))
        await asyncio.sleep(0)
        for number, text in enumerate(texts):
            if loop.time() >= until:
                break
            session.saying.reply(f"m{number}", text, "")
            while len(call.of(BotFinished)) <= number and loop.time() < until + 2.0:
                await far.silence(0.1)
        session.end(EndReason.CLIENT_HANGUP, "enough")
        await running
    out.calls.append(call)


def _start() -> Start:
    return Start(STREAM, "CA0", "AC0", ("inbound",), "audio/x-mulaw", 8000, 1, {})


class _Socket:
    """The carrier's media socket, its network and its listener behind it."""

    def __init__(self, far: FarEnd) -> None:
        self._far = far
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._chunk = 0

    # What the leg sees of it.

    async def receive(self) -> str | None:
        return await self._inbox.get()

    async def send(self, text: str) -> None:
        message = json.loads(text)
        match message["event"]:
            case "media":
                self._far.send(ulaw_decode(base64.b64decode(message["media"]["payload"])))
            case "mark":
                self._far.mark(message["mark"]["name"])
            case "clear":
                self._far.clear()

    async def close(self, code: int, reason: str) -> None:
        await self._far.hang_up(reason)
        self._inbox.put_nowait(None)

    # What the far end tells.

    def on_audio(self, frame: AudioFrame) -> None:
        self._chunk += 1
        payload = base64.b64encode(ulaw_encode(frame.pcm)).decode()
        media = {"track": "inbound", "chunk": str(self._chunk), "timestamp": str(self._chunk * 20)}
        self._put({"event": "media", "streamSid": STREAM, "media": {**media, "payload": payload}})

    def on_mark(self, name: str, at: float | None = None) -> None:
        self._put({"event": "mark", "streamSid": STREAM, "mark": {"name": name}})

    def on_dtmf(self, digit: str) -> None: ...

    def on_lost(self) -> None: ...

    def on_back(self) -> None: ...

    def on_way(self, way_s: float, clear_s: float) -> None: ...

    def on_closed(self, reason: str, detail: str) -> None: ...

    def _put(self, message: dict[str, object]) -> None:
        self._inbox.put_nowait(json.dumps(message))
