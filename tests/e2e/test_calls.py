"""Calls over real sockets. No recogniser is needed here: the speech is the bot's, the caller only makes
himself heard."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from pathlib import Path
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
import websockets

from telephony.carriers.twilio.simulator import CallOptions, CallRejected, Clip, MediaFormat, StreamRefused
from tests.e2e.harness import CLIPS, KEY, Frame, connected, in_order, registered, running

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

COUNT, HELLO, STORY = (Clip.from_wav(CLIPS / f"{name}.wav") for name in ("count", "hello", "story"))
FROM, TO = "+15550001111", "+15550002222"


async def test_a_greeting_is_heard_and_told(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello and welcome.") as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
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
        words = agent.of("bot.word")
        assert [word["word"] for word in words] == ["Hello", "and", "welcome."]
        for word in words:
            assert word["ts"] - speaking["ts"] == pytest.approx(word["start_time"], abs=0.06)
        started = agent.of("call.started")[0]
        assert (started["from"], started["to"]) == (FROM, TO)
        assert (started["direction"], started["transport"]) == ("inbound", "phone")
        assert ended["reason"] == "hangup"
        assert ended["transcript"] == [{"role": "assistant", "content": "Hello and welcome."}]
        assert ended["messages"] == ended["transcript"]
        assert ended["duration_seconds"] == pytest.approx(ended["ended_at"] - ended["started_at"], abs=0.01)


async def test_the_callers_voice_cuts_the_bot_off(tmp_path: Path) -> None:
    text = "This is a long sentence that goes on and on, so that somebody can interrupt it somewhere, and it does."
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=text) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        began = await call.bot_speaking()
        speech = call.say(STORY, at_s=began + 2.5)
        cut = await agent.wait("bot.interrupted")
        await speech.finished()
        await asyncio.sleep(0.5)
        call.hang_up()
        await agent.wait("call.ended")
        in_order(agent.frames)
        assert cut["reason"] == "user_spoke"
        heard_ms = call.playback.utterances(1000)[0].duration_ms
        assert cut["played_ms"] == pytest.approx(heard_ms, abs=60)
        assert call.playback.cleared > 0
        confirmed = agent.of("message.confirmed")[0]["text"]
        assert text.startswith(confirmed)
        assert confirmed.split()[-1] == cut["last_word"]
        assert cut["words_spoken"] == len(confirmed.split())


async def test_an_agent_speaks_streams_and_hangs_up(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        await agent.send("bot.reply", call_id=call_id, message_id="m1", text="First.", in_reply_to="")
        for action in ({"action": "start", "in_reply_to": ""}, {"action": "chunk", "token": "And sec"}):
            await agent.send("bot.reply.stream", call_id=call_id, message_id="m2", **action)
        await agent.send(
            "bot.reply.stream", call_id=call_id, message_id="m2", action="chunk", token="ond. And more"
        )
        await agent.send("bot.reply.stream", call_id=call_id, message_id="m2", action="end")
        await agent.wait("bot.finished", message_id="m1")
        await agent.wait("bot.finished", message_id="m2")
        assert agent.of("message.confirmed")[1]["text"] == "And second. And more"
        await agent.send("call.hangup", call_id=call_id)
        ended = await agent.wait("call.ended")
        end = await call.ended()
        in_order(agent.frames)
        assert ended["reason"] == "client_hangup"
        assert end.reason == "server"


async def test_a_recording_follows_the_end_and_holds_what_was_heard(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(
            server.ws, greeting="Hello and welcome.", config={"analysis": {"recording": True}}
        ) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        await agent.wait("bot.finished")
        speech = call.say(HELLO)
        await speech.finished()
        await asyncio.sleep(0.3)
        call.hang_up()
        recording = await agent.wait("call.recording")
        assert agent.names()[-2:] == ["call.ended", "call.recording"]
        assert recording["format"] == "wav"
        assert recording["sample_rate"] == 8000
        with wave.open(io.BytesIO(base64.b64decode(recording["audio"]))) as file:
            assert file.getnchannels() == 2
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
        assert recording["duration_ms"] == pytest.approx(len(samples) / 8, abs=1)
        # The caller's own recording is the truth: both channels must lie where they were said and heard.
        truth = call.stereo()
        for channel in (0, 1):
            ours, theirs = _onset(samples[:, channel]), _onset(truth[:, channel])
            assert ours == pytest.approx(theirs, abs=0.05), channel


async def test_an_older_client_gets_the_recording_before_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws, protocol=None) as agent:
        await agent.send("agent.create", agent_id="old", media={"recording": True})
        await agent.send("channel.add", agent_id="old", type="phone", ref="*")
        await agent.wait("channel.added")
        async with server.carrier() as carrier:
            call = await carrier.place_call(FROM, TO)
            await asyncio.sleep(0.5)
            call.hang_up()
            await agent.wait("call.ended")
        assert agent.names()[-2:] == ["call.recording", "call.ended"]


def _onset(samples: np.ndarray) -> float:
    return float(np.flatnonzero(np.abs(samples.astype(int)) > 500)[0]) / 8000


async def test_metrics_come_when_they_are_asked_for(tmp_path: Path) -> None:
    analysis = {"send_audio_metrics": True, "audio_metrics_interval_ms": 200}
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello.", analysis=analysis) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        await asyncio.sleep(1.5)
        call.hang_up()
        await agent.wait("call.ended")
        metrics = agent.of("audio.metrics")
        assert {frame["source"] for frame in metrics} == {"user", "bot"}
        assert 10 <= len(metrics) <= 16
        assert max(frame["rms"] for frame in metrics if frame["source"] == "bot") > 0.01
        in_order(agent.frames)


async def test_lost_frames_become_silence_and_the_clock_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO)
        await agent.wait("call.started")
        call.skip_chunks(25)
        speech = call.say(COUNT, at_s=asyncio.get_running_loop().time() + 1.0)
        started = await agent.wait("speech.started")
        await speech.finished()
        assert started["timestamp"] == pytest.approx(call.epoch(speech.onset_s), abs=0.25)
        call.hang_up()
        await agent.wait("call.ended")


async def test_a_dropped_line_ends_the_call_as_failed_once(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello, is anybody there?") as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        await call.bot_speaking()
        call.drop()
        ended = await agent.wait("call.ended")
        assert ended["reason"] == "failed"
        await asyncio.sleep(0.2)
        assert len(agent.of("call.ended")) == 1
        in_order(agent.frames)
        assert len(server.services.calls) == 0


async def test_an_agent_that_comes_back_gets_all_that_it_missed(tmp_path: Path) -> None:
    async with running(tmp_path) as server, server.carrier() as carrier:
        async with registered(server.ws, greeting="One two three four five six seven eight.") as first:
            call = await carrier.place_call(FROM, TO)
            await first.wait("bot.word", count=2)
            call_id = first.of("call.started")[0]["call_id"]
            await first.send(
                "bot.reply.stream", call_id=call_id, message_id="m1", action="start", in_reply_to=""
            )
            await first.send(
                "bot.reply.stream", call_id=call_id, message_id="m1", action="chunk", token="Half a thought"
            )
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        async with registered(server.ws) as second:
            await second.wait("bot.finished", message_id="m1")
            assert second.names().count("call.started") == 1
            confirmed = [f["text"] for f in second.of("message.confirmed")]
            assert confirmed[-1] == "Half a thought"
            call.hang_up()
            await second.wait("call.ended")
            told = [f for f in second.frames if "seq" in f]
            assert [f["seq"] for f in told[1:]] == list(range(told[1]["seq"], told[-1]["seq"] + 1))
            # What the first had not been told is told to the second, and nothing is told to both.
            last = max(f["seq"] for f in first.frames if "seq" in f)
            assert told[1]["seq"] >= last


async def test_an_agent_that_stays_away_ends_its_calls(tmp_path: Path) -> None:
    async with running(tmp_path, agent_grace_s=0.5) as server, server.carrier() as carrier:
        async with registered(server.ws):
            call = await carrier.place_call(FROM, TO)
            await asyncio.sleep(0.3)
        end = await call.ended(timeout_s=5)
        assert end.reason == "server"
        assert len(server.services.calls) == 0


async def test_a_number_that_nobody_answers_is_rejected(tmp_path: Path) -> None:
    async with running(tmp_path) as server, server.carrier() as carrier:
        with pytest.raises(CallRejected, match="rejected"):
            await carrier.place_call(FROM, TO)
        async with registered(server.ws, ref="+1 (555) 000-9999") as agent:
            with pytest.raises(CallRejected):
                await carrier.place_call(FROM, TO)
            call = await carrier.place_call("anonymous", "+15550009999")
            started = await agent.wait("call.started")
            assert (started["from"], started["to"]) == ("anonymous", "+15550009999")
            call.hang_up()


async def test_beyond_the_capacity_callers_hear_busy(tmp_path: Path) -> None:
    async with (
        running(tmp_path, max_calls=1) as server,
        registered(server.ws) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        with pytest.raises(CallRejected, match="busy"):
            await carrier.place_call(FROM, TO)
        call.hang_up()
        await agent.wait("call.ended")
        again = await carrier.place_call(FROM, TO)
        again.hang_up()


async def test_the_webhook_may_be_repeated(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        first = await carrier.ring(FROM, TO, call_sid="CA" + "1" * 32)
        second = await carrier.ring(FROM, TO, call_sid="CA" + "1" * 32)
        call = await carrier.open_stream(second.plan())
        await agent.wait("call.started")
        assert len(server.services.calls) == 1
        # One use only: the other answer's stream is not let in any more.
        with pytest.raises(StreamRefused):
            await carrier.open_stream(first.plan())
        call.hang_up()
        await agent.wait("call.ended")
        late = await carrier.ring(FROM, TO, call_sid="CA" + "1" * 32)
        assert "<Hangup" in late.body
        assert len(agent.of("call.started")) == 1


@pytest.mark.parametrize("path", ["nonsense", "a.b.c"])
async def test_a_forged_token_opens_nothing(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"{server.ws}/twilio/media/{path}")
        assert refused.value.response.status_code == 403
        assert not agent.of("call.started")


async def test_a_stream_of_another_format_is_refused_and_told(tmp_path: Path) -> None:
    options = CallOptions(media_format=MediaFormat("audio/x-l16", 16000, 1))
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO, options=options)
        end = await call.ended()
        assert end.code == 1003
        error = await agent.wait("error")
        assert error["code"] == "MEDIA_REFUSED"
        assert "audio/x-l16" in error["error"]
        assert error["call_id"] == call.call_sid
        assert not agent.of("call.started")
        assert len(server.services.calls) == 0


async def test_a_stream_that_never_starts_is_closed(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO, options=CallOptions(send_start=False))
        end = await call.ended(timeout_s=8)
        assert end.code == 1008
        assert len(server.services.calls) == 0
        assert not agent.of("call.started")


async def test_garbage_in_the_stream_is_counted_and_then_ends_the_call(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO)
        await agent.wait("call.started")
        for raw in ("{", "[]", '{"event":"media"}', '{"event":"nobody knows"}'):
            call.send_raw(raw)
        await asyncio.sleep(0.2)
        assert call.end is None
        for _ in range(100):
            call.send_raw("garbage")
        ended = await agent.wait("call.ended")
        assert ended["reason"] == "failed"
        assert "malformed" in ended["detail"]


async def test_a_binary_frame_ends_the_stream_and_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO)
        await agent.wait("call.started")
        call.send_raw(b"\x00")
        assert (await agent.wait("call.ended"))["reason"] == "failed"
        assert (await call.ended()).code == 1003


@pytest.mark.parametrize("call_id", ["", "x" * 5000, "<a>", "CA\udcff", "CA 1"])
async def test_a_webhook_without_a_sensible_call_id_is_refused(tmp_path: Path, call_id: str) -> None:
    body = urlencode({"CallSid": call_id, "From": FROM, "To": TO}, errors="surrogateescape")
    async with running(tmp_path) as server, registered(server.ws), httpx.AsyncClient() as http:
        answer = await http.post(f"{server.url}/twilio/voice", content=body)
        assert (answer.status_code, answer.text[:7]) == (400, "CallSid")
        assert len(server.services.calls) == 0


async def test_unsigned_requests_are_refused_but_by_the_open_door(tmp_path: Path) -> None:
    form = {"CallSid": "CA" + "2" * 32, "From": FROM, "To": TO}
    async with httpx.AsyncClient() as http:
        async with running(tmp_path / "never", twilio_unsigned="never") as server:
            response = await http.post(f"{server.url}/twilio/voice", data=form)
            assert response.status_code == 403
            assert "TWILIO_AUTH_TOKEN" in response.text
        async with running(tmp_path / "open") as server:
            url = f"{server.url}/twilio/voice"
            assert (await http.post(url, data=form)).status_code == 200
            for header in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"):
                response = await http.post(url, data=form, headers={header: "for=192.0.2.1"})
                assert response.status_code == 403, header
        async with running(tmp_path / "public", public_url="https://voice.example.org") as server:
            assert (await http.post(f"{server.url}/twilio/voice", data=form)).status_code == 403
        async with running(tmp_path / "signed", twilio_auth_token="secret") as server:
            url = f"{server.url}/twilio/voice"
            unsigned = await http.post(url, data=form)
            assert unsigned.status_code == 403
            assert "there is no X-Twilio-Signature" in unsigned.text
            wrong = await http.post(url, data=form, headers={"X-Twilio-Signature": "AAAA"})
            assert wrong.status_code == 403
            assert "the signature does not fit" in wrong.text
            assert "secret" not in wrong.text


async def test_signed_calls_come_through_and_wrong_tokens_do_not(tmp_path: Path) -> None:
    async with running(tmp_path, twilio_auth_token="s3cret") as server, registered(server.ws) as agent:
        async with server.carrier("s3cret") as carrier:
            call = await carrier.place_call(FROM, TO)
            await agent.wait("call.started")
            call.hang_up()
            await agent.wait("call.ended")
        async with server.carrier("wrong") as carrier:
            answer = await carrier.ring(FROM, TO)
            assert answer.status == 403


async def test_the_tap_tells_what_the_agent_is_told(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello.") as agent,
        websockets.connect(f"{server.ws}/v1/tap") as tap,
        server.carrier() as carrier,
    ):
        await tap.send(json.dumps({"event": "connect", "api_key": KEY}))
        assert json.loads(await tap.recv())["event"] == "connected"
        call = await carrier.place_call(FROM, TO)
        await agent.wait("bot.finished")
        call.hang_up()
        await agent.wait("call.ended")
        seen: list[Frame] = []
        async with asyncio.timeout(5):
            while not seen or seen[-1]["event"] != "call.ended":
                seen.append(json.loads(await tap.recv()))
        assert seen == [frame for frame in agent.frames if "seq" in frame]


async def test_an_agent_learns_of_a_call_that_ended_without_it(tmp_path: Path) -> None:
    async with running(tmp_path) as server, server.carrier() as carrier:
        async with registered(server.ws, greeting="Hello.") as agent:
            call = await carrier.place_call(FROM, TO)
            await agent.wait("bot.finished")
        await asyncio.sleep(0.2)
        call.hang_up()
        await call.ended()
        async with registered(server.ws, greeting="Hello.") as again:
            ended = await again.wait("call.ended")
            assert ended["reason"] == "hangup"
            assert again.of("call.started")


async def test_a_body_that_no_webhook_has_is_not_read_to_its_end(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.settings.port)
        head = "POST /twilio/voice HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 300000000\r\n\r\n"
        writer.write(head.encode() + b"a" * 200_000)
        assert b"413" in await asyncio.wait_for(reader.readline(), 5)
        writer.close()
