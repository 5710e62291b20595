"""What a way in cannot do is refused before anything happens to the call; and the keys of a PBX, which it can."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media import wav
from media.frames import Pcm
from media.resample import resample
from tests.e2e.browser import browser
from tests.e2e.harness import CLIPS, Agent, in_order, registered, running
from tests.e2e.pbx import called, pbx
from tests.e2e.phone import FROM, OTHER, TO
from tests.e2e.test_openai import ENGINES
from tests.fakes.audiosocket import Recorded
from tests.fakes.openai_endpoint import endpoint

pytestmark = pytest.mark.e2e

RATE = 8000
LOW_HZ, HIGH_HZ = 770, 1336
"""Of the key 5 (ITU-T Q.23)."""
TONE_S = 0.1


async def refused(agent: Agent, call_id: str, *told: str) -> None:
    """Keys out, a forward and a transfer are refused, and the call goes on as it was."""
    asked: dict[str, dict[str, Any]] = {
        "call.dtmf": {"digits": "12#"},
        "call.forward": {"to": OTHER, "message": "One moment."},
        "call.transfer": {"to": OTHER, "message": "One moment."},
    }
    for number, (event, fields) in enumerate(asked.items()):
        await agent.send(event, call_id=call_id, ack=event, **fields)
        ack = await agent.wait("ack", ack=event)
        assert (ack["status"], ack["code"]) == ("error", "CARRIER_UNSUPPORTED")
        error = await agent.wait("error", number + 1)
        assert (error["code"], error["call_id"]) == ("CARRIER_UNSUPPORTED", call_id)
        assert all(word in error["error"] for word in told), error["error"]
    await agent.send("bot.reply", call_id=call_id, message_id="on", text="We go on.", in_reply_to="")
    await agent.wait("bot.finished", message_id="on")
    done = {"call.held", "call.dtmf_sent", "call.forwarded", "call.forward_failed", "call.transferring"}
    assert not (done | {"call.transfer_failed"}) & set(agent.names())
    assert [frame["text"] for frame in agent.of("bot.speaking")] == ["We go on."]


async def test_a_call_in_a_browser_has_no_keys_and_no_forward(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent:
        async with browser(server) as page:
            await agent.wait("call.started")
            await refused(agent, page.call_id, "in a browser", "phone network")
        assert (await agent.wait("call.ended"))["reason"] != "failed"
        in_order(agent.frames)


async def test_a_call_of_a_pbx_has_no_keys_out_and_no_forward(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server, registered(server.ws) as agent:
        async with called(server) as call:
            started = await agent.wait("call.started")
            await refused(agent, started["call_id"], "audiosocket cannot", "docs/telephony.md")
            call.hang_up()
            assert (await agent.wait("call.ended"))["reason"] == "hangup"
        in_order(agent.frames)


async def test_without_an_account_twilio_can_neither(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO)
        await agent.wait("call.started")
        await refused(agent, call.call_sid, "twilio cannot", "docs/telephony.md")
        call.hang_up()
        await agent.wait("call.ended")
        in_order(agent.frames)


# --- keys in ----------------------------------------------------------------------------------------------


def key_tone() -> Pcm:
    at = np.arange(round(TONE_S * RATE)) / RATE
    both = np.sin(2 * np.pi * LOW_HZ * at) + np.sin(2 * np.pi * HIGH_HZ * at)
    return np.asarray(both * 8000, np.int16)


def of_tone(pcm: Pcm, rate_hz: int) -> float:
    """The largest share of a key's two tones in any 25 ms."""
    hop = rate_hz // 40
    at = np.arange(hop) / rate_hz
    waves = np.exp(-2j * np.pi * np.outer((LOW_HZ, HIGH_HZ), at))
    blocks = pcm[: len(pcm) // hop * hop].astype(float).reshape(-1, hop)
    amplitudes = np.abs(blocks @ waves.T) * 2 / hop
    return float(amplitudes.min(axis=1).max(initial=0.0))


async def test_a_key_of_a_pbx_is_told_and_its_tone_reaches_no_recogniser(tmp_path: Path) -> None:
    folder = await asyncio.to_thread(_clips, tmp_path)
    alone, spoken = await asyncio.to_thread(
        lambda: [Recorded(folder / f"{name}.wav") for name in ("alone", "spoken")]
    )
    async with (
        endpoint() as service,
        pbx(
            tmp_path, **{**ENGINES, "tts": ("espeak",), "llm": ("none",)}, openai_base_url=service.base_url
        ) as server,
        registered(server.ws) as agent,
        called(server) as call,
    ):
        await agent.wait("call.started")
        # Nobody says anything: the tone alone is no speech.
        for digit, count in (("5", 1), ("#", 2), ("*", 3)):
            said = call.say(alone)
            call.dtmf(digit)
            await said.done.wait()
            await agent.wait("call.dtmf_received", count)
        told = [(frame["digit"], frame["digits"]) for frame in agent.of("call.dtmf_received")]
        assert told == [("5", "5"), ("#", "5#"), ("*", "5#*")]
        await asyncio.sleep(0.6)
        assert not agent.of("speech.started")
        assert not [request for request in service.stt.requests if request.audio]
        # He speaks and presses a key meanwhile.
        said = call.say(spoken)
        tone_at = await asyncio.to_thread(lambda: len(wav.read(folder / "before.wav")[0]))
        while said.sent < tone_at - RATE // 50:
            await asyncio.sleep(0.001)
        call.dtmf("5")
        await agent.wait("call.dtmf_received", 4)
        await agent.wait("turn.end")
        heard = [request.heard() for request in service.stt.requests if request.audio]
        call.hang_up()
        await agent.wait("call.ended")
    assert heard
    whole = await asyncio.to_thread(wav.read, folder / "spoken.wav")
    # A voice has something at these frequencies, too, and so has the edge of what was taken out.
    assert of_tone(*whole) > 7000
    assert max(of_tone(*one) for one in heard) < 2000
    in_order(agent.frames)


def _clips(folder: Path) -> Path:
    """The tone alone; what is said; and the same with the tone in it."""
    pcm, rate_hz = wav.read(CLIPS / "time.wav")
    said = np.ascontiguousarray(resample(pcm, rate_hz, RATE))
    half = len(said) // 2 // 160 * 160
    tone = key_tone()
    wav.write_mono(folder / "alone.wav", tone, RATE)
    wav.write_mono(folder / "before.wav", said[:half], RATE)
    wav.write_mono(folder / "spoken.wav", np.concatenate([said[:half], tone, said[half:]]), RATE)
    return folder
