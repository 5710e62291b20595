"""Listening to a live call over real sockets: the same audio that its recording has, at the same place."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import websockets

from media.frames import Pcm
from telephony.carriers.twilio.simulator import Clip
from tests.e2e.harness import CLIPS, KEY, registered, running
from tests.e2e.test_recording import decoded

pytestmark = pytest.mark.e2e

HELLO = Clip.from_wav(CLIPS / "hello.wav")
GREETING = "It is ten past eight in the evening, and the shop is open until nine."


async def listened(url: str, out: list[bytes]) -> dict[str, object]:
    """Until the server ends it: what it says of itself."""
    async with websockets.connect(url, compression=None) as socket:
        about = json.loads(await socket.recv())
        async for frame in socket:
            assert isinstance(frame, bytes)
            out.append(frame)
        assert (socket.close_code, socket.close_reason) == (1000, "call_ended")
    return dict(about)


def place_of(heard: Pcm, kept: Pcm) -> int:
    """Where in the recording what was listened to begins."""
    size = 1 << (len(heard) + len(kept)).bit_length()
    a, b = np.fft.rfft(kept.astype(float), size), np.fft.rfft(heard.astype(float), size)
    found = int(np.argmax(np.fft.irfft(a * np.conj(b), size)))
    return found if found < size // 2 else found - size


async def test_what_is_listened_to_is_what_is_recorded(tmp_path: Path) -> None:
    config: dict[str, Any] = {"recording": {"channels": "stereo"}, "greeting": GREETING}
    async with (
        running(tmp_path) as server,
        registered(server.ws, **config) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call("+15550001111", "+15550002222")
        call_id = (await agent.wait("call.started"))["call_id"]
        first, late = [], []  # type: ignore[var-annotated]
        url = f"{server.ws}/live/{call_id}/ws?token={KEY}"
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listened(url, first))
            await agent.wait("bot.word", 4)
            tasks.create_task(listened(url, late))
            await agent.wait("bot.finished")
            await call.say(HELLO).finished()
            await agent.send("bot.reply", call_id=call_id, message_id="m", text="Good bye.", in_reply_to="")
            await agent.wait("bot.finished", 2)
            await asyncio.sleep(0.3)
            call.hang_up()
        assert listening.result()["sampleRate"] == 8000
        kept = decoded(base64.b64decode((await agent.wait("call.recording"))["audio"]), 8000)
    user, bot = (kept[:, side].astype(int) for side in (0, 1))
    mixed = np.clip(user + bot, -32768, 32767)
    for frames in (first, late):
        assert frames[-1] == b""
        heard = np.frombuffer(b"".join(f for f in frames if len(f) >= 4), "<i2").astype(int)
        at = place_of(heard, mixed)
        assert at >= 0
        # To its last moment: it ends where the recording does.
        assert at + len(heard) == pytest.approx(len(mixed), abs=400)
        for side in (user, bot):
            # Each side by itself stands where it does in the recording, within two frames.
            assert place_of(heard, side) == pytest.approx(at, abs=320)
        both = mixed[at : at + len(heard)]
        off = np.abs(heard[: len(both)] - both)
        # Sample by sample the same, but for what was learnt later of a few marks.
        assert np.mean(off > 500) < 0.02
    assert place_of(np.frombuffer(b"".join(first), "<i2").astype(int), mixed) <= 8000 * 3
