"""The simulated carrier on real sockets, against a server of a few lines."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import itertools
import json
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from media.g711 import ulaw_decode, ulaw_encode
from telephony.carriers.twilio import signature, twiml, wire
from telephony.carriers.twilio.simulator import (
    CallOptions,
    CallOver,
    CallRejected,
    Clip,
    Delay,
    Fact,
    MediaFormat,
    ServerUnreachable,
    SimulatedCarrier,
    StreamRefused,
    WebhookFailed,
)
from tests.fakes.voice_server import StubServer

pytestmark = pytest.mark.e2e

TOKEN = "a-token"
TONE = (8000 * np.sin(np.arange(8000) * 0.7)).astype(np.int16)
BEEP = ulaw_encode(TONE[:1600])  # 200 ms
BEEP_CLIP = Clip.from_pcm(TONE[:2400], 8000, "beep")


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    stub = StubServer()
    async with await stub.start():
        yield stub


# --- the webhook ------------------------------------------------------------------------------------------


async def test_a_call_from_the_webhook_to_the_hang_up(server: StubServer) -> None:
    async with SimulatedCarrier(server.url, auth_token=TOKEN) as carrier:
        call = await carrier.place_call("+15550001111", "+15550002222")
        await server.until(lambda: len(server.media()) >= 3)
        call.hang_up()
        end = await call.ended(timeout_s=5)
        assert (end.reason, end.code) == ("caller", 1000)
        code, stopped = await server.closed
    assert (code, stopped) == (1000, True)

    form, headers = server.forms[0], server.headers[0]
    values = dict(form)
    assert (values["From"], values["To"]) == ("+15550001111", "+15550002222")
    assert (values["CallStatus"], values["Direction"]) == ("ringing", "inbound")
    assert values["CallSid"] == call.call_sid
    assert call.call_sid.startswith("CA")
    assert ("CallerCity", "") in form, "blank fields are sent and signed"
    sent = headers["x-twilio-signature"]
    assert signature.verify(TOKEN, server.url, "/twilio/voice", form, sent)

    path, upgrade_signature, _ = server.upgrades[0]
    public = server.media_url.removesuffix(path).replace("ws:", "http:")
    assert signature.verify(TOKEN, public, path, [], upgrade_signature, websocket=True)

    first, second, *rest = server.parsed()
    assert isinstance(first, wire.Connected)
    assert isinstance(second, wire.Start)
    assert (second.call_sid, second.account_sid) == (call.call_sid, values["AccountSid"])
    assert second.custom_parameters == {"agent": "demo", "call_id": call.call_sid}
    media = [m for m in rest if isinstance(m, wire.Media)]
    assert [m.chunk for m in media] == list(range(1, len(media) + 1))
    assert [m.timestamp_ms for m in media] == [20 * n for n in range(len(media))]
    assert {m.payload for m in media} == {b"\xff" * 160}
    sequence = [int(json.loads(m)["sequenceNumber"]) for m in server.messages[1:]]
    assert sequence == list(range(1, len(sequence) + 1))


async def test_without_a_token_nothing_is_signed(server: StubServer) -> None:
    async with SimulatedCarrier(server.url) as carrier:
        await carrier.place_call("+1", "+2")
    assert "x-twilio-signature" not in server.headers[0]
    assert server.upgrades[0][1] is None


async def test_the_same_webhook_twice_has_the_same_token(server: StubServer) -> None:
    async with SimulatedCarrier(server.url, auth_token=TOKEN) as carrier:
        first = await carrier.ring("+1", "+2", call_sid="CA5")
        again = await carrier.ring("+1", "+2", call_sid="CA5")
        other = await carrier.ring("+1", "+2")
    assert first.plan() == again.plan() != other.plan()
    tokens = [headers["i-twilio-idempotency-token"] for headers in server.headers]
    assert tokens[0] == tokens[1] != tokens[2]


async def test_a_wrong_signature_can_be_sent(server: StubServer) -> None:
    async with SimulatedCarrier(server.url, auth_token=TOKEN) as carrier:
        plan = (await carrier.ring("+1", "+2", signature="wrong")).plan()
        await carrier.ring("+1", "+2", signature="")
        await carrier.open_stream(plan, signature="wrong too")
    assert server.headers[0]["x-twilio-signature"] == "wrong"
    assert "x-twilio-signature" not in server.headers[1]
    assert server.upgrades[0][1] == "wrong too"


async def test_the_public_address_is_signed_and_the_server_itself_is_called(server: StubServer) -> None:
    """As behind a proxy with a path of its own, which it strips."""
    public = "https://voice.example/calls"
    server.body = twiml.connect_stream("wss://voice.example/calls/media/token", "CA5")
    async with SimulatedCarrier(server.url, auth_token=TOKEN, public_url=public) as carrier:
        answer = await carrier.ring("+1", "+2")
        carrier.server_url = server.media_url.replace("ws:", "http:").removesuffix("/media/token")
        await carrier.open_stream(answer.plan())
    sent = server.headers[0]["x-twilio-signature"]
    assert signature.verify(TOKEN, public, "/twilio/voice", server.forms[0], sent)
    path, upgrade_signature, host = server.upgrades[0]
    assert (path, host) == ("/media/token", "voice.example")
    assert signature.verify(TOKEN, public, path, [], upgrade_signature, websocket=True)


async def test_a_rejected_call(server: StubServer) -> None:
    server.body = twiml.reject("busy")
    async with SimulatedCarrier(server.url) as carrier:
        with pytest.raises(CallRejected) as caught:
            await carrier.place_call("+1", "+2")
    assert caught.value.reason == "busy"
    assert server.upgrades == []


@pytest.mark.parametrize(
    ("status", "content_type", "code"),
    [(403, "text/xml", 11217), (500, "text/xml", 11217), (200, "application/json", 12300)],
)
async def test_a_failed_webhook(server: StubServer, status: int, content_type: str, code: int) -> None:
    server.status, server.content_type = status, content_type
    async with SimulatedCarrier(server.url) as carrier:
        with pytest.raises(WebhookFailed) as caught:
            await carrier.place_call("+1", "+2")
    assert (caught.value.status, caught.value.twilio_code) == (status, code)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense", "ftp://127.0.0.1"])
async def test_no_server(url: str) -> None:
    async with SimulatedCarrier(url) as carrier:
        with pytest.raises(ServerUnreachable, match=url):
            await carrier.place_call("+1", "+2")


async def test_a_refused_upgrade(server: StubServer) -> None:
    server.upgrade_status = 403
    async with SimulatedCarrier(server.url) as carrier:
        with pytest.raises(StreamRefused) as caught:
            await carrier.place_call("+1", "+2")
        assert (caught.value.status, caught.value.twilio_code) == (403, 31920)
        server.body = twiml.connect_stream("ws://127.0.0.1:9/m", "CA1")
        with pytest.raises(StreamRefused) as caught:
            await carrier.place_call("+1", "+2")
        assert caught.value.twilio_code == 31902


# --- what the caller says ---------------------------------------------------------------------------------


async def test_speech_is_sent_whole_where_it_belongs_and_between_silence(server: StubServer) -> None:
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        await server.until(lambda: server.media())
        asked_s = asyncio.get_running_loop().time()
        speech = call.say(BEEP_CLIP)
        again = call.say(BEEP_CLIP)
        await again.finished()
        await server.until(lambda: server.media()[-1].payload == b"\xff" * 160)
        call.hang_up()
        await call.ended()
    said = b"".join(m.payload for m in server.media())
    assert speech.start_sample is not None
    assert again.start_sample == speech.start_sample + 2400
    assert said[speech.start_sample :][:4800] == BEEP_CLIP.ulaw * 2
    assert set(said[: speech.start_sample]) == {0xFF}
    assert speech.start_s == pytest.approx(call.started_s + speech.start_sample / 8000)
    assert 0 <= speech.start_s - asked_s < 0.05
    assert speech.voice_end_s - speech.onset_s == pytest.approx(0.3, abs=0.001)
    left = call.stereo()[:, 0]
    assert np.array_equal(left[speech.start_sample :][:2400], ulaw_decode(BEEP_CLIP.ulaw))


async def test_frames_leave_when_they_are_over_and_never_drift(server: StubServer) -> None:
    arrivals: list[float] = []
    loop = asyncio.get_running_loop()

    async def answer(connection: ServerConnection) -> None:
        seen = 0
        while len(arrivals) < 25:
            await asyncio.sleep(0.001)
            count = len(server.media())
            arrivals.extend([loop.time()] * (count - seen))
            seen = count

    server.answer = answer
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        await server.until(lambda: len(arrivals) >= 25)
        late = [at - (call.started_s + (n + 1) * 0.02) for n, at in enumerate(arrivals)]
    assert min(late) > -0.002, "a frame cannot leave before it has been spoken"
    assert sorted(late)[len(late) // 2] < 0.010


async def test_lost_chunks_are_counted_and_not_sent(server: StubServer) -> None:
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        await server.until(lambda: len(server.media()) >= 2)
        call.skip_chunks(3)
        sent = len(server.media())
        await server.until(lambda: len(server.media()) >= sent + 4)
    chunks = [m.chunk for m in server.media()]
    steps = [b - a for a, b in itertools.pairwise(chunks)]
    assert sorted(set(steps)) == [1, 4]
    assert steps.count(4) == 1
    assert all(m.timestamp_ms == (m.chunk - 1) * 20 for m in server.media())


async def test_keys(server: StubServer) -> None:
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        call.dtmf("5")
        call.dtmf("#")
        with pytest.raises(ValueError, match="no key"):
            call.dtmf("x")
        await server.until(lambda: wire.Dtmf("#") in server.parsed())
    assert [m for m in server.parsed() if isinstance(m, wire.Dtmf)] == [wire.Dtmf("5"), wire.Dtmf("#")]


async def test_a_cut_line_says_nothing(server: StubServer) -> None:
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        await server.until(lambda: server.media())
        call.drop()
        end = await call.ended()
        assert (end.reason, end.code) == ("dropped", 1006)
        assert not any(isinstance(m, wire.Stop) for m in server.parsed())
        assert call.say(BEEP_CLIP).start_sample is None, "a dead line takes nothing"


async def test_oddities(server: StubServer) -> None:
    odd = CallOptions(media_format=MediaFormat("audio/x-l16", 16000, 2))
    silent = CallOptions(send_start=False)
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2", options=odd)
        call.send_raw("garbage")
        call.send_raw(b"\x00\x01")
        await server.until(lambda: b"\x00\x01" in server.messages)
        assert "garbage" in server.messages
        start = wire.parse(server.messages[1])
        assert isinstance(start, wire.Start)
        assert (start.encoding, start.sample_rate_hz, start.channels) == ("audio/x-l16", 16000, 2)
        call.drop()

        plan = (await carrier.ring("+1", "+2")).plan()
        forged = dataclasses.replace(plan, url=plan.url + "-forged")
        await carrier.open_stream(forged)
        first = await carrier.open_stream(plan)
        second = await carrier.open_stream(plan)
        assert first.call_sid == second.call_sid
        assert first.ids.stream_sid != second.ids.stream_sid
        assert server.upgrades[1][0] == "/media/token-forged"

        server.messages.clear()
        for other in (first, second):
            other.drop()
        mute = await carrier.open_stream(plan, options=silent)
        await server.until(lambda: server.messages)
        await asyncio.sleep(0.06)
        assert [type(m) for m in server.parsed() if not isinstance(m, wire.Media)][-1] is wire.Connected
        assert mute.spoken_s == 0


# --- what the caller hears --------------------------------------------------------------------------------


async def test_the_bot_is_heard_where_it_was_played(server: StubServer, tmp_path: Path) -> None:
    facts: list[Fact] = []

    async def answer(connection: ServerConnection) -> None:
        sid = await server.stream_sid()
        await connection.send(wire.media(sid, b"\xff" * 160 + BEEP + b"\xff" * 160))
        await connection.send(wire.mark(sid, "m1"))

    server.answer = answer
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2", options=CallOptions(on_fact=facts.append))
        since_s = await call.bot_speaking(timeout_s=5)
        assert call.bot_is_speaking
        quiet_s = await call.bot_quiet(100, timeout_s=5)
        await server.until(lambda: wire.Mark("m1") in server.parsed())
        speech = await call.say_after_bot(BEEP_CLIP, min_silence_ms=100)
        await speech.finished()
        call.hang_up()
        end = await call.ended()
    (heard,) = call.playback.utterances()
    assert heard.start_s == since_s == pytest.approx(call.playback.stretches[0].start_s + 0.02, abs=2e-3)
    assert heard.end_s == quiet_s
    age_s = asyncio.get_running_loop().time() - since_s
    assert time.time() - call.epoch(since_s) == pytest.approx(age_s, abs=0.05)
    assert heard.duration_ms == pytest.approx(200, abs=2)
    marked = next(fact for fact in facts if fact.kind == "mark")
    assert 0 <= marked.at_s - call.playback.end_s < 0.05
    assert not call.faults
    kinds = [fact.kind for fact in facts]
    assert kinds[:2] == ["call.started", "bot.audible"]
    assert kinds[-1] == "call.ended"
    for kind, at_s in [("bot.quiet", quiet_s), ("caller.speaking", speech.onset_s)]:
        assert next(fact.at_s for fact in facts if fact.kind == kind) == pytest.approx(at_s)

    await asyncio.to_thread(call.write_wav, tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert len(both) == pytest.approx((end.at_s - call.started_s) * 8000, abs=1)
    at = round((since_s - call.started_s) * 8000)
    right = np.flatnonzero(np.abs(both[:, 1]) > 400)
    assert right[0] == pytest.approx(at, abs=2)
    assert right[-1] == pytest.approx(at + 1600, abs=8)


async def test_what_is_buffered_is_not_yet_heard_and_never_after_the_end(server: StubServer) -> None:
    loop = asyncio.get_running_loop()

    async def answer(connection: ServerConnection) -> None:
        sid = await server.stream_sid()
        await connection.send(wire.media(sid, BEEP + b"\xff" * 4800 + ulaw_encode(np.tile(TONE, 5))))

    server.answer = answer
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        first_s = await call.bot_speaking(timeout_s=5)
        second_s = await call.bot_speaking(after_s=first_s + 0.1, timeout_s=5)
        assert loop.time() >= second_s == pytest.approx(first_s + 0.8, abs=2e-3)
        assert [fact.kind for fact in call.facts].count("bot.audible") == 2, "600 ms of quiet lay between"
        call.hang_up()
        end = await call.ended()
    assert call.playback.utterances()[-1].end_s == pytest.approx(end.at_s, abs=1e-3)
    assert call.playback.heard_ms() == pytest.approx((end.at_s - first_s) * 1000, abs=2)
    assert call.playback.cleared > 4 * 8000
    assert call.facts[-2].kind == "bot.quiet"
    assert call.facts[-2].at_s == pytest.approx(end.at_s, abs=1e-3)


async def test_the_bot_is_quiet_again_after_half_a_second(server: StubServer) -> None:
    async def answer(connection: ServerConnection) -> None:
        await connection.send(wire.media(await server.stream_sid(), BEEP))

    server.answer = answer
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        await call.bot_speaking(timeout_s=5)
        quiet_s = await call.bot_quiet(550, timeout_s=5)
        assert not call.bot_is_speaking
        assert call.facts[-1].kind == "bot.quiet"
        assert call.facts[-1].at_s == quiet_s


@pytest.mark.parametrize("returned", [True, False])
async def test_a_clear_silences_the_bot_at_once(server: StubServer, returned: bool) -> None:
    async def answer(connection: ServerConnection) -> None:
        sid = await server.stream_sid()
        for index in range(10):
            await connection.send(wire.media(sid, BEEP))
            await connection.send(wire.mark(sid, str(index)))
        await server.until(lambda: wire.Mark("0") in server.parsed())
        await connection.send(wire.clear(sid))
        await asyncio.sleep(0.1)
        await connection.send(wire.media(sid, BEEP))
        await connection.send(wire.mark(sid, "next"))
        await server.until(lambda: wire.Mark("next") in server.parsed())

    server.answer = answer
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2", options=CallOptions(marks_on_clear=returned))
        await call.bot_speaking(timeout_s=5)
        await server.until(lambda: any(fact.kind == "clear" for fact in call.facts))
        cleared_s = next(fact.at_s for fact in call.facts if fact.kind == "clear")
        next_s = await call.bot_speaking(after_s=cleared_s, timeout_s=5)
        await server.until(lambda: wire.Mark("next") in server.parsed())
    first, second = call.playback.utterances(min_silence_ms=50)
    assert first.duration_ms == pytest.approx(200, abs=60)
    assert first.end_s == pytest.approx(cleared_s, abs=1e-3)
    assert second.start_s == next_s >= cleared_s + 0.09
    marks = [m.name for m in server.parsed() if isinstance(m, wire.Mark)]
    assert marks == [*(map(str, range(10)) if returned else ["0"]), "next"]
    assert call.playback.cleared + sum(s.heard for s in call.playback.stretches) == 11 * 1600


async def test_what_twilio_would_drop_is_a_fault(server: StubServer) -> None:
    async def answer(connection: ServerConnection) -> None:
        await server.stream_sid()
        await connection.send(wire.media("MZ-other", BEEP))
        await connection.send(b"\x00")
        await connection.send('{"event":"hangup"}')

    server.answer = answer
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        await server.until(lambda: len(call.faults) >= 3)
    assert ["streamSid" in call.faults[0], "binary" in call.faults[1], "unknown" in call.faults[2]] == [
        True
    ] * 3
    assert call.playback.received == 0


async def test_the_server_ends_the_call(server: StubServer) -> None:
    async def answer(connection: ServerConnection) -> None:
        await server.stream_sid()
        await connection.close(1000)

    server.answer = answer
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        with pytest.raises(CallOver):
            await call.bot_speaking(timeout_s=5)
        end = await call.ended()
        assert (end.reason, end.code) == ("server", 1000)
        with pytest.raises(CallOver):
            await call.bot_quiet()
        call.hang_up()
        call.drop()


async def test_waiting_has_an_end(server: StubServer) -> None:
    async with SimulatedCarrier(server.url) as carrier:
        call = await carrier.place_call("+1", "+2")
        with pytest.raises(TimeoutError):
            await call.bot_speaking(timeout_s=0.05)
        with pytest.raises(TimeoutError):
            await call.ended(timeout_s=0.05)
        assert await call.bot_quiet(50) == call.started_s


async def test_delay_is_added_and_nothing_overtakes(server: StubServer) -> None:
    async def answer(connection: ServerConnection) -> None:
        sid = await server.stream_sid()
        for index in range(20):
            await connection.send(wire.mark(sid, str(index)))

    server.answer = answer
    slow = CallOptions(uplink=Delay(60, 30), downlink=Delay(40, 30), seed=7)
    async with SimulatedCarrier(server.url) as carrier:
        began_s = asyncio.get_running_loop().time()
        call = await carrier.place_call("+1", "+2", options=slow)
        assert await server.stream_sid()
        assert asyncio.get_running_loop().time() - began_s >= 0.059
        await server.until(lambda: wire.Mark("19") in server.parsed())
        call.hang_up()
        await call.ended()
        assert (await server.closed)[1], "the stop is delayed with the rest, and arrives"
    marks = [m.name for m in server.parsed() if isinstance(m, wire.Mark)]
    assert marks == [str(index) for index in range(20)]
    chunks = [m.chunk for m in server.media()]
    assert chunks == sorted(chunks)


async def test_leaving_the_carrier_hangs_up_every_call(server: StubServer) -> None:
    async with SimulatedCarrier(server.url) as carrier:
        calls = [await carrier.place_call("+1", "+2") for _ in range(12)]
        phases = {round((call.started_s - calls[0].started_s) * 1000) % 20 for call in calls}
        assert len(phases) >= 8, "calls are spread over the 20 ms"
    ends = [call.end for call in calls]
    assert {(end.reason, end.code) for end in ends if end is not None} == {("caller", 1000)}
    assert None not in ends


# --- clips ------------------------------------------------------------------------------------------------


def test_a_clip_is_whole_frames_and_knows_where_its_voice_is() -> None:
    pcm = np.concatenate((np.zeros(1000, np.int16), TONE[:4001], np.zeros(500, np.int16)))
    clip = Clip.from_pcm(pcm, 8000, "x")
    assert len(clip.ulaw) == 5600 == len(clip.frames) * 160
    assert b"".join(base64.b64decode(frame) for frame in clip.frames) == clip.ulaw
    assert clip.onset == pytest.approx(1000, abs=2)
    assert clip.voice_end == pytest.approx(5001, abs=2)
    assert clip.duration_s == 0.7
    silent = Clip.from_ulaw(b"\xff" * 200)
    assert silent.onset == silent.voice_end == 320


def test_a_clip_of_another_rate_is_resampled() -> None:
    assert Clip.from_pcm(np.repeat(TONE, 2), 16000).duration_s == 1.0
