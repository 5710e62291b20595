"""Further rows of the list over real sockets, and a second opinion: streamdouble, which is not of this project."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import structlog

from telephony.carriers.twilio.simulator import CallOptions, Clip
from tests.e2e.harness import CLIPS, KEY, connected, in_order, running
from tests.e2e.phone import FROM, TO, phone
from tests.e2e.test_recording import decoded, stretches
from tests.fakes.twilio import FakeTwilio

pytestmark = pytest.mark.e2e

STORY, HELLO = (Clip.from_wav(CLIPS / f"{name}.wav") for name in ("story", "hello"))
LONG = (
    "This is a long sentence that goes on and on, so that somebody can interrupt it somewhere, and it does."
)


async def test_row_1_behind_a_proxy_with_tls_and_a_path(tmp_path: Path) -> None:
    public = "https://voice.example.org/phone"
    async with (
        FakeTwilio() as twilio,
        running(tmp_path, public_url=public, **twilio.settings) as server,
        connected(server.ws) as agent,
    ):
        await twilio.serve(server.url, public_url=public)
        await agent.send("agent.create", agent_id="tester")
        await agent.send("channel.add", agent_id="tester", type="phone", ref=TO)
        await agent.wait("channel.added")
        call = twilio.call(FROM, TO)
        await agent.wait("call.started")
        assert 'url="wss://voice.example.org/phone/twilio/media/' in call.documents[0]
        assert 'action="https://voice.example.org/phone/twilio/resume"' in call.documents[0]
        (await call.stream()).drop()
        await call.stream(2)
        call.hang_up()
        assert (await agent.wait("call.ended"))["reason"] == "hangup"
        for signature in ("", "AAAA"):
            assert (await twilio.carrier.ring(FROM, TO, signature=signature)).status == 403


@pytest.mark.parametrize("marks_on_clear", [True, False])
async def test_row_9_an_interruption_clears_and_marks_after_it_raise_nothing(
    tmp_path: Path, marks_on_clear: bool
) -> None:
    async with phone(tmp_path, config={"greeting": LONG}) as line:
        call = line.twilio.call(FROM, TO)
        call.options = CallOptions(marks_on_clear=marks_on_clear)
        stream = await call.stream()
        began = await stream.bot_speaking()
        stream.say(STORY, at_s=began + 2.5)
        cut = await line.agent.wait("bot.interrupted")
        clears = [fact for fact in stream.facts if fact.kind == "clear"]
        assert clears
        heard_ms = stream.playback.utterances(1000)[0].duration_ms
        assert cut["played_ms"] == pytest.approx(heard_ms, abs=120)
        received = stream.playback.received
        await asyncio.sleep(0.5)
        assert stream.playback.received == received
        call.hang_up()
        await line.agent.wait("call.ended")
        assert line.agent.of("message.confirmed")[0]["text"] != LONG
        in_order(line.agent.frames)


async def test_row_15_hold_plays_music_and_hears_nobody(tmp_path: Path) -> None:
    limits = {"idle_timeout_seconds": 1.0, "idle_warning_seconds": 0, "idle_grace_seconds": 0.5}
    async with phone(tmp_path, config={"session_limits": limits}) as line:
        call = line.twilio.call(FROM, TO)
        stream = await call.stream()
        await line.agent.wait("call.started")
        await line.agent.send("call.hold", call_id=call.sid)
        await line.agent.wait("call.held")
        await stream.bot_speaking()
        await stream.say(HELLO).finished()
        await asyncio.sleep(1.0)
        # Music is paced: no more waits at the carrier than the lead.
        assert stream.playback.buffered_ms(asyncio.get_running_loop().time()) <= 400
        assert not {"user.speaking", "user.message", "turn.end", "session.timeout"} & set(line.agent.names())
        await line.agent.send("call.unhold", call_id=call.sid)
        await line.agent.wait("call.unheld")
        assert [fact for fact in stream.facts if fact.kind == "clear"]
        assert (await line.agent.wait("call.ended"))["reason"] == "idle_timeout"


async def test_row_18_what_a_restarted_server_does_not_know_is_hung_up(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        form = [("AccountSid", line.twilio.sid), ("CallSid", "CA" + "7" * 32), ("CallStatus", "in-progress")]
        answer = await line.twilio.carrier.post("/twilio/resume", form, "CA" + "7" * 32)
        assert "<Hangup" in answer.body
        unsigned = await line.twilio.carrier.post("/twilio/resume", form, "CA" + "7" * 32, signature="")
        assert unsigned.status == 403


async def test_row_18_a_drain_takes_no_further_calls_and_ends_the_live_one(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(line.server.services.calls.drain(0.5))
            await asyncio.sleep(0.1)
            assert await line.twilio.call(FROM, TO).ended() == "busy"
        assert await call.ended() == "completed"
        assert (await line.agent.wait("call.ended", call_id=call.sid))["reason"] == "failed"


async def test_row_19_cleared_audio_is_not_in_the_recording_and_both_sides_fit(tmp_path: Path) -> None:
    # All the controls in one call: test_phone_whole.py.
    async with phone(tmp_path, config={"greeting": LONG, "recording": True}) as line:
        call = line.twilio.call(FROM, TO)
        stream = await call.stream()
        speech = stream.say(STORY, at_s=await stream.bot_speaking() + 1.0)
        await line.agent.wait("bot.interrupted")
        await speech.finished()
        call.hang_up()
        kept = await line.agent.wait("call.recording")
        heard = stream.playback.utterances(1000)[0]
        clears = [fact for fact in stream.facts if fact.kind == "clear"]
        apart_s = speech.onset_s - heard.start_s
    assert clears
    assert not clears[0].detail.startswith("0 ms")
    ours = decoded(base64.b64decode(kept["audio"]), 8000)
    # Loud where it is loud there: both are measured by the same hand.
    (spoken,), said = stretches(ours[:, 1], 8000, 1.0), stretches(ours[:, 0], 8000)
    assert spoken[1] - spoken[0] == pytest.approx(heard.duration_ms / 1000, abs=0.04)
    assert said[0][0] - spoken[0] == pytest.approx(apart_s, abs=0.04)


async def test_row_19_a_call_without_audio_has_no_recording(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"recording": True}) as line:
        stream = await line.twilio.carrier.place_call(FROM, TO)
        stream.skip_chunks(1_000_000)
        await line.agent.wait("call.started")
        await asyncio.sleep(0.3)
        stream.hang_up()
        await line.agent.wait("call.ended")
        await asyncio.sleep(0.5)
        assert not line.agent.of("call.recording")
        assert not line.agent.of("server.warning")
        assert list((tmp_path / "recordings").glob("*")) == []
        in_order(line.agent.frames)


@pytest.mark.skip(reason="there is no WhatsApp yet")
async def test_row_20_whatsapp() -> None: ...


async def test_row_21_secrets_are_never_logged(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with phone(tmp_path) as line:
            call = line.twilio.call(FROM, TO)
            await line.agent.wait("call.started")
            token = urlsplit(call.documents[0].split('url="')[1].split('"')[0]).path.rsplit("/", 1)[1]
            await line.dial(**{"from": "+15559990000"})
            await line.agent.wait("call.ended")
            await line.twilio.carrier.ring(FROM, TO, signature="AAAA")
            secrets = (line.twilio.token, token, KEY)
    assert logs
    assert not [secret for secret in secrets if secret in str(logs)]


async def test_a_second_opinion_streamdouble(tmp_path: Path) -> None:
    streamdouble = pytest.importorskip("streamdouble", reason="streamdouble is not installed (extra dev)")
    from streamdouble.protocol import StreamIdentity
    from streamdouble.session import Session, SessionConfig

    assert streamdouble
    async with running(tmp_path) as server, server.carrier() as carrier, connected(server.ws) as agent:
        await agent.send("agent.create", agent_id="tester", greeting="Hello and welcome.")
        await agent.send("channel.add", agent_id="tester", type="phone", ref=TO)
        await agent.wait("channel.added")
        plan = (await carrier.ring(FROM, TO)).plan()
        ulaw = STORY.ulaw
        frames = [b"\xff" * 160] * 150 + [
            ulaw[at : at + 160].ljust(160, b"\xff") for at in range(0, len(ulaw), 160)
        ]
        config = SessionConfig(max_drain_s=5, max_call_s=30, response_timeout_s=5)
        session = Session(plan.url, frames, config=config, identity=StreamIdentity(call_sid=plan.call_sid))
        result = await session.run()
        assert result.violation_count == 0
        assert result.unknown_events == []
        assert len(result.audio_received) > 8000
        assert len(result.audio_received) % 160 == 0
        assert set(result.marks_received) >= set(result.marks_echoed) != set()
        finished = await agent.wait("bot.finished")
        assert finished["duration_ms"] > 500
        assert (await agent.wait("call.ended"))["reason"] == "hangup"
        assert agent.of("speech.started")
        in_order(agent.frames)
