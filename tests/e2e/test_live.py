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

from media import wav
from media.frames import Pcm
from media.resample import resample
from telephony.carriers.twilio.simulator import Clip
from tests.e2e.browser import RATE, browser
from tests.e2e.harness import CLIPS, KEY, in_order, registered, running
from tests.e2e.test_recording import decoded, stretches

pytestmark = pytest.mark.e2e

HELLO = Clip.from_wav(CLIPS / "hello.wav")
TIME = wav.read(CLIPS / "time.wav")
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


def sound(frames: list[bytes]) -> Pcm:
    """All that was listened to, without what only says that the line lives."""
    return np.frombuffer(b"".join(frame for frame in frames if len(frame) >= 4), "<i2").astype(np.int16)


def likeness(one: Pcm, other: Pcm) -> float:
    """1: the same but for its loudness."""
    size = min(len(one), len(other))
    a, b = one[:size].astype(float), other[:size].astype(float)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def least_off(piece: Pcm, window: Pcm) -> float:
    """Energy of the difference, at the place in the window where that is least."""
    size = len(piece)
    sums = np.concatenate([[0.0], np.cumsum(window.astype(float) ** 2)])
    energies = sums[size:] - sums[:-size]
    alike = np.correlate(window.astype(float), piece.astype(float), "valid")
    return float(np.min(energies - 2 * alike) + np.sum(piece.astype(float) ** 2))


@pytest.mark.alone
async def test_who_listens_to_a_browser_hears_both_as_they_were_said_and_heard(tmp_path: Path) -> None:
    frames: list[bytes] = []
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=GREETING) as agent,
        browser(server) as page,
        asyncio.TaskGroup() as tasks,
    ):
        url = f"{server.ws}/live/{page.call_id}/ws?token={KEY}"
        listening = tasks.create_task(listened(url, frames))
        await agent.wait("bot.finished")
        await asyncio.sleep(0.6)
        page.mic.say(*TIME)
        await agent.wait("speech.ended")
        await asyncio.sleep(0.6)
        said = {"message_id": "m", "text": GREETING, "in_reply_to": ""}
        await agent.send("bot.reply", call_id=page.call_id, **said)
        await agent.wait("bot.word", 5, message_id="m")
        await agent.send("bot.cancel", call_id=page.call_id, message_id="m")
        cut = await agent.wait("bot.interrupted", message_id="m")
        await asyncio.sleep(1.2)
        await agent.send("call.hangup", call_id=page.call_id)
        await agent.wait("call.ended")
        in_order(agent.frames)
    rate = 16_000
    assert listening.result()["sampleRate"] == rate
    heard = sound(frames)
    bot, user, rest = stretches(heard, rate)
    # The page's ear has had the same; what it was sent after the cancel it has had besides, and nobody else.
    ear = resample(page.ear.sound(), RATE, rate)
    ears = stretches(ear, rate)[0]
    loud = [when for _, when, rms in page.ear.frames if rms > 500 and when < page.mic.spoken[0]]
    # Where the server stalled there is a gap, in what came to the page as well.
    assert ears[1] - ears[0] - 0.1 < bot[1] - bot[0] < loud[-1] - loud[0] + 0.3
    assert (rest[1] - rest[0]) * 1000 == pytest.approx(cut["played_ms"], abs=250)
    pieces = [heard[at : at + 6400] for at in range(round(bot[0] * rate), round(bot[1] * rate) - 6400, 6400)]
    alike = [likeness(piece, ear[max(0, place_of(piece, ear)) :]) > 0.8 for piece in pieces]
    assert np.mean(alike) >= 0.75, alike
    # And its mouth, at the same distance from one another.
    clip = resample(TIME[0], TIME[1], rate)
    at = place_of(clip, heard)
    assert at / rate == pytest.approx(user[0], abs=0.25)
    assert likeness(clip, heard[at:]) > 0.9
    assert at / rate - bot[0] == pytest.approx(page.mic.spoken[0] - loud[0], abs=0.3)


@pytest.mark.alone
async def test_who_listens_hears_the_music_on_hold_and_the_caller_over_it(tmp_path: Path) -> None:
    frames: list[bytes] = []
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=GREETING) as agent,
        server.carrier() as carrier,
        asyncio.TaskGroup() as tasks,
    ):
        call = await carrier.place_call("+15550001111", "+15550002222")
        call_id = (await agent.wait("call.started"))["call_id"]
        tasks.create_task(listened(f"{server.ws}/live/{call_id}/ws?token={KEY}", frames))
        await agent.wait("bot.word", 6)
        await agent.send("call.hold", call_id=call_id)
        await agent.wait("call.held")
        await asyncio.sleep(1.5)
        await call.say(HELLO).finished()
        await asyncio.sleep(1.0)
        await agent.send("call.unhold", call_id=call_id)
        await agent.wait("bot.finished")
        await asyncio.sleep(0.5)
        call.hang_up()
        await agent.wait("call.ended")
        in_order(agent.frames)
        (held,) = agent.of("call.held")
        (let_go,) = agent.of("call.unheld")
        truth = call.stereo().astype(int)
    heard = sound(frames).astype(int)
    user, bot = truth[:, 0], truth[:, 1]
    mixed = np.clip(user + bot, -32768, 32767)
    at = place_of(heard, user)
    assert at >= 0
    assert len(heard) == pytest.approx(len(mixed) - at, abs=800)
    # A tenth of a second at a time it is what he has said, and what his telephone has had near this place.
    near = 2000
    bots = np.pad(bot, near)
    unlike = []
    for begin in range(0, len(heard) - 1600, 800):
        piece = heard[begin : begin + 800]
        off = least_off(piece - user[at + begin :][:800], bots[at + begin :][: 800 + 2 * near])
        if off > 0.01 * np.sum(piece**2) + 800 * 20**2:
            unlike.append(begin / 8000)
    # Where the voice was cut off and where the music was, what was under way is not known to the sample.
    assert len(unlike) <= 6, unlike
    music = slice(*(round((moment["ts"] - call.epoch(call.started_s)) * 8000) for moment in (held, let_go)))
    assert np.abs(bot[music]).max() > 1000, "there was music"
    assert np.abs(user[music]).max() > 10_000, "and he spoke into it"
