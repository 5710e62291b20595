"""Calls of a PBX over real sockets, against a peer written from the protocol's documentation: no Asterisk runs here."""

from __future__ import annotations

import asyncio
import base64
import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop

from telephony.carriers.audiosocket import wire
from tests.e2e.harness import CLIPS, in_order, registered, reply
from tests.e2e.pbx import called, pbx
from tests.fakes.audiosocket import Recorded

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

HELLO_CLIP, STORY_CLIP, TIME_CLIP = (Recorded(CLIPS / f"{name}.wav") for name in ("hello", "story", "time"))
STORY = (
    "This is a long sentence that goes on and on, so that somebody can interrupt it somewhere, and it does."
)


# --- what is heard and told -------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8000, 16_000])
async def test_a_greeting_is_heard_and_told(tmp_path: Path, rate_hz: int) -> None:
    async with pbx(tmp_path) as server, registered(server.ws, greeting="Hello and welcome.") as agent:
        async with called(server, rate_hz, metadata={"queue": "sales"}) as call:
            heard_at = await call.bot_speaking()
            finished = await agent.wait("bot.finished")
            await call.bot_quiet(300)
            call.hang_up()
            ended = await agent.wait("call.ended")
        in_order(agent.frames)
        (spoken,) = call.playback.utterances()
        assert finished["duration_ms"] == pytest.approx(spoken.duration_ms, abs=40)
        speaking = agent.of("bot.speaking")[0]
        assert speaking["ts"] == pytest.approx(call.epoch(heard_at), abs=0.08)
        started = agent.of("call.started")[0]
        assert (started["from"], started["to"], started["transport"]) == ("+15550001111", "100", "phone")
        assert started["metadata"] == {"queue": "sales"}
        assert ended["reason"] == "hangup"
        assert ended["transcript"] == [{"role": "assistant", "content": "Hello and welcome."}]


async def test_a_question_is_understood_and_answered(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "greeting": "Hello.",
        "stt": {"phrases": ["hello", "can you tell me the time", "goodbye"]},
    }
    async with (
        pbx(tmp_path, stt=("pocketsphinx",), stt_patience_s=10.0) as server,
        registered(server.ws, **config) as agent,
        called(server) as call,
    ):
        agent.on["turn.end"] = reply("It is ten past eight.")
        await agent.wait("bot.finished")
        asked = call.say(TIME_CLIP)
        end = await agent.wait("turn.end")
        assert end["text"] == "can you tell me the time"
        await call.bot_speaking(after_s=asked.onset_s + 1.0)
        await agent.wait("bot.finished", count=2)
        started = agent.of("speech.started")[0]
        assert started["timestamp"] == pytest.approx(call.epoch(asked.onset_s), abs=0.15)


async def test_the_callers_voice_cuts_the_bot_off(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path) as server,
        registered(server.ws, greeting=STORY) as agent,
        called(server) as call,
    ):
        began = await call.bot_speaking()
        call.say(STORY_CLIP, at_s=began + 2.5)
        cut = await agent.wait("bot.interrupted")
        assert cut["reason"] == "user_spoke"
        await asyncio.sleep(0.5)
        heard_ms = call.playback.utterances(1000)[0].duration_ms
        assert cut["played_ms"] == pytest.approx(heard_ms, abs=80)
        confirmed = agent.of("message.confirmed")[0]["text"]
        assert STORY.startswith(confirmed)
        assert confirmed.split()[-1] == cut["last_word"]


async def test_a_recording_holds_what_was_said_and_heard_where_it_was(tmp_path: Path) -> None:
    config: dict[str, Any] = {"greeting": "Hello and welcome.", "config": {"analysis": {"recording": True}}}
    async with pbx(tmp_path) as server, registered(server.ws, **config) as agent:
        async with called(server) as call:
            heard_at = await call.bot_speaking()
            await agent.wait("bot.finished")
            said = call.say(HELLO_CLIP)
            await said.done.wait()
            await asyncio.sleep(0.3)
            call.hang_up()
            recording = await agent.wait("call.recording")
        with wave.open(io.BytesIO(base64.b64decode(recording["audio"]))) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
        onsets = [np.flatnonzero(np.abs(samples[:, side].astype(int)) > 500)[0] / 8000 for side in (0, 1)]
        assert onsets[0] - onsets[1] == pytest.approx(said.onset_s - heard_at, abs=0.08)
        assert recording["sample_rate"] == 8000


async def test_lost_packets_and_pauses_of_the_telephone_do_not_shift_the_recording(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path) as server,
        registered(server.ws, config={"analysis": {"recording": True}}) as agent,
    ):
        async with called(server) as call:
            await agent.wait("call.started")
            await asyncio.sleep(0.5)
            call.talks = False
            await asyncio.sleep(1.5)
            call.talks = True
            said = call.say(HELLO_CLIP, at_s=call.now() + 0.5)
            call.lose = 2
            await said.done.wait()
            call.hang_up()
            recording = await agent.wait("call.recording")
        with wave.open(io.BytesIO(base64.b64decode(recording["audio"]))) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
        onset = np.flatnonzero(np.abs(samples[:, 0].astype(int)) > 500)[0] / 8000
        assert onset == pytest.approx(said.onset_s - call.begun_s, abs=0.1)


# --- how calls end ----------------------------------------------------------------------------------------


async def test_the_agent_hangs_up_and_the_last_word_is_heard(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path) as server,
        registered(server.ws, greeting="Goodbye.") as agent,
        called(server) as call,
    ):
        finished = await agent.wait("bot.finished")
        await agent.send("call.hangup", call_id=finished["call_id"])
        ended = await agent.wait("call.ended")
        assert ended["reason"] == "client_hangup"
        async with asyncio.timeout(5):
            assert await call.ended == "hangup"
        in_order(agent.frames)
        (spoken,) = call.playback.utterances()
        assert spoken.duration_ms == pytest.approx(finished["duration_ms"], abs=40)


@pytest.mark.parametrize("how", ["message", "close", "reset"])
async def test_a_caller_who_hangs_up_is_no_failure(tmp_path: Path, how: str) -> None:
    async with (
        pbx(tmp_path) as server,
        registered(server.ws, greeting=STORY) as agent,
        called(server) as call,
    ):
        await call.bot_speaking()
        if how == "message":
            call.raw(wire.hangup())
        elif how == "close":
            call.hang_up()
        else:
            call.reset()
        ended = await agent.wait("call.ended")
        assert (ended["reason"], ended["detail"]) == ("hangup", "the caller hung up")


async def test_a_pbx_that_does_not_read_loses_its_call(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path) as server,
        registered(server.ws, greeting=" ".join([STORY] * 20)) as agent,
        called(server, 16_000) as call,
    ):
        await call.bot_speaking()
        call.shut_ears()
        ended = await agent.wait("call.ended")
        assert (ended["reason"], ended["detail"]) == ("failed", "the PBX did not take the audio")


async def test_garbage_in_a_call_ends_that_call_alone(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server, registered(server.ws, greeting="Hello.") as agent:
        async with called(server) as other, called(server) as call:
            await agent.wait("bot.finished", count=2)
            for _ in range(200):
                call.raw(wire.message(wire.DTMF, b"nonsense") + wire.message(0x77, bytes(100)))
            ended = await agent.wait("call.ended")
            assert ended["reason"] == "failed"
            assert "made no sense" in ended["detail"]
            other.say(HELLO_CLIP)
            await agent.wait("speech.ended")
            other.hang_up()
            await agent.wait("call.ended", count=2)
        assert len(server.services.calls) == 0


def test_it_is_the_same_on_the_loop_of_the_server(tmp_path: Path) -> None:
    """These tests run on asyncio's own loop; `talkwire serve` does not."""

    async def main() -> None:
        async with (
            pbx(tmp_path) as server,
            registered(server.ws, greeting="Goodbye.") as agent,
            called(server) as call,
        ):
            finished = await agent.wait("bot.finished")
            await agent.send("call.hangup", call_id=finished["call_id"])
            await agent.wait("call.ended")
            async with asyncio.timeout(5):
                assert await call.ended == "hangup"
            assert call.playback.utterances()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
