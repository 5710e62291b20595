"""Calls of a PBX over real sockets, against a peer written from the protocol's documentation: no Asterisk runs here."""

from __future__ import annotations

import asyncio
import base64
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
import uvloop

from telephony.carriers.audiosocket import wire
from telephony.errors import Unsupported
from tests.e2e.harness import CLIPS, KEY, Running, free_port, in_order, registered, reply, running
from tests.fakes.audiosocket import PbxCall, Recorded, connected

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

HELLO_CLIP, STORY_CLIP, TIME_CLIP = (Recorded(CLIPS / f"{name}.wav") for name in ("hello", "story", "time"))
AUTH = {"Authorization": f"Bearer {KEY}"}
STORY = (
    "This is a long sentence that goes on and on, so that somebody can interrupt it somewhere, and it does."
)


@asynccontextmanager
async def pbx(tmp_path: Path, **settings: Any) -> AsyncIterator[Running]:
    # This process is both ends: where it is held up, a small lead would be used up.
    values = {"audiosocket": f"127.0.0.1:{free_port()}", "audiosocket_lead_ms": 200, **settings}
    async with running(tmp_path, **values) as server:
        yield server


async def post(server: Running, headers: dict[str, str] = AUTH, **content: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(f"{server.url}/v1/audiosocket/calls", headers=headers, **content)


async def announced(server: Running, **told: Any) -> UUID:
    answer = await post(server, json={"from": "+15550001111", "to": "100", **told})
    assert answer.status_code == 200, answer.text
    return UUID(answer.json()["uuid"])


@asynccontextmanager
async def linked(server: Running, uuid: UUID | None, rate_hz: int = 8000) -> AsyncIterator[PbxCall]:
    assert server.settings.audiosocket is not None
    async with connected(server.settings.audiosocket, uuid, rate_hz) as call:
        yield call


@asynccontextmanager
async def called(server: Running, rate_hz: int = 8000, **told: Any) -> AsyncIterator[PbxCall]:
    async with linked(server, await announced(server, **told), rate_hz) as call:
        yield call
    assert call.faults == []


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
            begun = call.now()
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
        assert onset == pytest.approx(said.onset_s - begun, abs=0.1)


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


# --- who may call -----------------------------------------------------------------------------------------


async def test_a_call_that_was_not_announced_is_refused(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server, registered(server.ws) as agent:
        async with linked(server, uuid4()) as call:
            assert await call.ended == "hangup"
        assert "call.started" not in agent.names()


async def test_unless_the_operator_says_whom_it_is_for(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path, audiosocket_to="700") as server,
        registered(server.ws, ref="700", greeting="Hello.") as agent,
        linked(server, uuid4()) as call,
    ):
        await call.bot_speaking()
        started = await agent.wait("call.started")
        assert (started["from"], started["to"]) == ("", "700")


async def test_a_uuid_is_good_for_one_connection(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server, registered(server.ws, greeting="Hello.") as agent:
        uuid = await announced(server)
        async with linked(server, uuid) as call:
            await agent.wait("bot.finished")
            async with linked(server, uuid) as second:
                assert await second.ended == "hangup"
            assert not call.ended.done()
            again = await post(server, json={"to": "100", "uuid": str(uuid)})
            assert (again.status_code, again.json()["code"]) == (409, "CALL_EXISTS")
        await agent.wait("call.ended")
        async with linked(server, uuid) as third:
            assert await third.ended == "hangup"
        assert len(agent.of("call.started")) == 1


async def test_whoever_says_nothing_or_nonsense_first_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.carriers.audiosocket.connection.IDENTIFY_S", 0.3)
    async with pbx(tmp_path) as server:
        async with linked(server, None) as silent:
            assert await silent.ended == "hangup"
        for data in (b"GET / HTTP/1.1\r\n\r\n" * 400, wire.dtmf("1"), wire.hangup()):
            async with linked(server, None) as call:
                call.raw(data)
                assert await call.ended in ("hangup", "closed", "reset")


async def test_only_named_addresses_may_connect(tmp_path: Path) -> None:
    async with pbx(tmp_path, audiosocket_allow=("10.0.0.0/8",)) as server, registered(server.ws):
        uuid = await announced(server)
        async with linked(server, uuid) as call:
            assert await call.ended in ("closed", "reset")


async def test_a_dialplan_announces_with_a_form_and_reads_text(tmp_path: Path) -> None:
    form = {"from": "+15550001111", "to": "100", "metadata": '{"did": "5550002222"}'}
    async with pbx(tmp_path, max_calls=1) as server:
        nobody = await post(server, data=form)
        assert (nobody.status_code, nobody.text[:15]) == (404, "error NO_AGENT:")
        async with registered(server.ws, greeting="Hello.") as agent:
            answer = await post(server, data=form)
            async with linked(server, UUID(answer.text)):
                started = await agent.wait("call.started")
                assert started["metadata"] == {"did": "5550002222"}
                full = await post(server, data=form)
                assert (full.status_code, full.text[:26]) == (503, "error SERVER_AT_CAPACITY: ")


async def test_an_announcement_rings_until_the_agent_has_decided(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path) as server,
        registered(server.ws, greeting="Hello.") as agent,
    ):
        await agent.send("channel.configure", agent_id="tester", ref="*", ringing=True)
        await agent.wait("channel.configured")
        agent.on["call.ringing"] = lambda told: {
            "event": "call.accept" if told["to"] == "100" else "call.reject",
            "agent_id": told["agent_id"],
            "call_id": told["call_id"],
            **({} if told["to"] == "100" else {"reason": "busy"}),
        }
        async with called(server) as call:
            await call.bot_speaking()
            ringing, started = agent.of("call.ringing")[0], agent.of("call.started")[0]
            assert (ringing["from"], ringing["to"]) == ("+15550001111", "100")
            assert started["call_id"] == ringing["call_id"]
        refused = await post(server, data={"to": "200"})
        assert (refused.status_code, refused.text) == (403, "error BUSY: the call was refused: busy")


async def test_what_a_pbx_cannot_be_asked_is_said(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server:
        carrier = server.services.carriers["audiosocket"]
        assert not carrier.capabilities.confirms_playout
        assert not carrier.capabilities.takes_back
        with pytest.raises(Unsupported, match=r"audiosocket cannot send digits: .* dialplan"):
            await carrier.send_digits("call", "1")


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        ({"json": {"to": "100"}}, {}, 401, "UNAUTHORIZED"),
        ({"json": {"to": "100"}}, {"Authorization": "Bearer tw_wrong"}, 401, "UNAUTHORIZED"),
        ({"json": {"from": "100"}}, AUTH, 400, "BAD_REQUEST"),
        ({"json": {"to": "100", "uuid": "no"}}, AUTH, 400, "BAD_REQUEST"),
        ({"json": {"to": "100", "metadata": [1]}}, AUTH, 400, "BAD_REQUEST"),
        ({"json": {"to": 100}}, AUTH, 400, "BAD_REQUEST"),
        ({"json": {"to": "1" * 201}}, AUTH, 400, "BAD_REQUEST"),
        ({"json": {"to": "a\x00b"}}, AUTH, 400, "BAD_REQUEST"),
        ({"json": {"to": "100", "metadata": []}}, AUTH, 400, "BAD_REQUEST"),
        ({"content": b"\xff{"}, AUTH, 400, "BAD_REQUEST"),
        ({"content": b" " * 70_000}, AUTH, 413, "BAD_REQUEST"),
    ],
)
async def test_what_is_wrong_with_an_announcement_is_said(
    tmp_path: Path, content: dict[str, Any], headers: dict[str, str], status: int, code: str
) -> None:
    async with pbx(tmp_path) as server:
        answer = await post(server, headers, **content)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_form_of_too_many_fields_is_refused_in_words(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server:
        form = {"Content-Type": "application/x-www-form-urlencoded", **AUTH}
        answer = await post(server, form, content=b"a=b&" * 1000)
        assert (answer.status_code, answer.text) == (400, "error BAD_REQUEST: at most 100 fields are read")


async def test_where_it_is_switched_off_that_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        answer = await post(server, json={"to": "100"})
        assert (answer.status_code, answer.json()["code"]) == (404, "SWITCHED_OFF")


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
