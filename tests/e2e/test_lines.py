"""Numbers that code answers, over the fake Twilio with signed webhooks: the extension that a caller dials, and the calls
that are handed over to agents."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from telephony.carriers.twilio.simulator import Clip
from tests.e2e.harness import CLIPS, connected
from tests.e2e.lines import LINE, desk, says
from tests.e2e.phone import FROM, TO
from tests.fakes.parts import well_formed

pytestmark = pytest.mark.e2e

STORY = Clip.from_wav(CLIPS / "story.wav")
MENU = "Welcome. Press one for sales, or two for everything else that there is to be asked for."


async def test_a_line_speaks_hears_keys_and_hangs_up(tmp_path: Path) -> None:
    async with desk(tmp_path) as there:
        call = there.call()
        started = await there.line.wait("call.started")
        assert (started["agent_id"], started["owner"], started["call_id"]) == (LINE, "line", call.sid)
        assert (started["from"], started["to"], "extension" in started) == (FROM, TO, False)
        await says(there.line, "bot.reply", call.sid, message_id="m1", text="Press a key.")
        stream = await call.stream()
        await there.line.wait("bot.finished", message_id="m1")
        stream.dtmf("7")
        assert (await there.line.wait("call.dtmf_received"))["digits"] == "7"
        await says(there.line, "call.hangup", call.sid, reason="done")
        ended = await there.line.wait("call.ended")
        assert (ended["reason"], ended["detail"]) == ("client_hangup", "done")
        assert {frame["agent_id"] for frame in there.line.frames if "seq" in frame} == {LINE}
        there.well_formed()


# --- the extension ----------------------------------------------------------------------------------------


async def test_an_extension_is_what_is_dialled_within_the_window(tmp_path: Path) -> None:
    async with desk(tmp_path, config={"extension_window_ms": 900}) as there:
        call = there.call()
        stream = await call.stream()
        for digit in "20*4":
            stream.dtmf(digit)
        await asyncio.sleep(0.4)
        assert there.line.of("call.started") == []
        started = await there.line.wait("call.started")
        assert started["extension"] == "20*4"
        stream.dtmf("5")
        told = await there.line.wait("call.dtmf_received")
        assert (told["digit"], told["digits"]) == ("5", "5")
        call.hang_up()
        await there.line.wait("call.ended")
        assert len(there.line.of("call.dtmf_received")) == 1
        there.well_formed()


async def test_the_hash_key_closes_the_window_at_once(tmp_path: Path) -> None:
    async with desk(tmp_path, config={"extension_window_ms": 10_000}) as there:
        call = there.call()
        stream = await call.stream()
        for digit in "31#9":
            stream.dtmf(digit)
        assert (await there.line.wait("call.started"))["extension"] == "31"
        assert (await there.line.wait("call.dtmf_received"))["digits"] == "9"
        call.hang_up()


async def test_who_dials_nothing_has_no_extension_and_hears_nothing_till_then(tmp_path: Path) -> None:
    async with desk(tmp_path, config={"extension_window_ms": 700}) as there:
        call = there.call()
        stream = await call.stream()
        assert "extension" not in await there.line.wait("call.started")
        assert stream.playback.utterances(min_silence_ms=300) == []
        call.hang_up()


async def test_a_caller_who_hangs_up_within_the_window_was_never_there(tmp_path: Path) -> None:
    async with desk(tmp_path, config={"extension_window_ms": 5000}) as there:
        call = there.call()
        stream = await call.stream()
        stream.dtmf("2")
        call.hang_up()
        assert await call.ended() == "completed"
        async with asyncio.timeout(10):
            while len(there.server.services.calls):
                await asyncio.sleep(0.02)
        assert [frame for frame in there.line.frames if "seq" in frame] == []
        # The next one is a call as any other.
        there.call()
        assert (await there.line.wait("call.started"))["from"] == FROM


async def test_a_stream_that_is_lost_within_the_window_takes_no_time_from_it(tmp_path: Path) -> None:
    async with desk(tmp_path, config={"extension_window_ms": 1500}) as there:
        call = there.call()
        stream = await call.stream()
        stream.dtmf("2")
        await asyncio.sleep(0.3)
        stream.drop()
        second = await call.stream(2)
        second.dtmf("4")
        second.dtmf("#")
        started = await there.line.wait("call.started")
        assert started["extension"] == "24"
        await says(there.line, "bot.reply", call.sid, message_id="m1", text="Hello.")
        await there.line.wait("bot.finished", message_id="m1")
        call.hang_up()
        await there.line.wait("call.ended")
        there.well_formed()


async def test_what_is_said_within_the_window_is_heard(tmp_path: Path) -> None:
    async with desk(tmp_path, config={"extension_window_ms": 1500}) as there:
        call = there.call()
        stream = await call.stream()
        said = stream.say(Clip.from_ulaw(STORY.ulaw[STORY.onset : STORY.onset + 6000], "short"))
        started = await there.line.wait("call.started")
        heard = await there.line.wait("speech.ended")
        assert heard["duration_ms"] == pytest.approx(750, abs=250)
        assert heard["timestamp"] < started["ts"]
        assert said.voice_end_s is not None
        call.hang_up()
        await there.line.wait("call.ended")
        there.well_formed()


async def test_a_sip_address_has_its_extension_in_it(tmp_path: Path) -> None:
    config = {"extension_window_ms": 5000}
    async with desk(tmp_path, number="sip:pbx.example.org", config=config) as there:
        call = there.call("sip:204@PBX.example.org:5060")
        async with asyncio.timeout(4):
            started = await there.line.wait("call.started")
        assert (started["extension"], started["agent_id"]) == ("204", "line:sip:pbx.example.org")
        call.hang_up()


# --- registration -----------------------------------------------------------------------------------------


async def test_a_number_is_answered_by_a_line_or_by_an_agent(tmp_path: Path) -> None:
    async with desk(tmp_path, agents={"sales": {}}) as there:
        sales = there.agents["sales"]
        await sales.send("channel.add", agent_id="sales", type="phone", ref="+1 (555) 000-2222")
        error = await sales.wait("error")
        assert (error["code"], error["phone"]) == ("PHONE_IN_USE", "+1 (555) 000-2222")
        assert "a line answers" in error["error"]
        await there.line.send("line.destroy", number=TO)
        await there.line.wait("line.destroyed", number=TO)
        await sales.send("channel.add", agent_id="sales", type="phone", ref=TO)
        await sales.wait("channel.added")
        await there.line.send("line.create", number=TO)
        refused = await there.line.wait("line.error")
        assert (refused["number"], refused["code"]) == (TO, "LINE_CONFLICT")
        assert "agent" in refused["error"]
        call = there.call()
        assert (await sales.wait("call.started"))["agent_id"] == "sales"
        call.hang_up()


async def test_a_line_belongs_to_one_live_connection(tmp_path: Path) -> None:
    async with desk(tmp_path) as there, connected(there.server.ws) as other:
        await other.send("line.create", number="+1 555 000 2222", ack="a")
        assert (await other.wait("line.error"))["code"] == "LINE_CONFLICT"
        assert (await other.wait("ack", ack="a"))["code"] == "LINE_CONFLICT"
        for number, config in (("*", {}), ("nowhere", {}), ("+15550009999", {"extension_window_ms": -1})):
            await other.send("line.create", number=number, config=config)
            told = await other.wait("line.error", number=number)
            assert told["code"] == "LINE_CONFIG_ERROR"
        await other.send("line.destroy", number=TO)
        assert (await other.wait("error"))["code"] == "LINE_UNKNOWN"


async def test_a_line_comes_back_to_its_calls(tmp_path: Path) -> None:
    async with desk(tmp_path) as there:
        call = there.call()
        started = await there.line.wait("call.started")
        await there.line.socket.close()
        await there.line.wait_closed()
        stream = await call.stream()
        stream.dtmf("5")
        async with connected(there.server.ws, resume={call.sid: started["seq"]}) as back:
            await back.send("line.create", number=TO, config={"extension_window_ms": 0})
            resumed = await back.wait("agent.resumed")
            assert resumed["agent_id"] == LINE
            assert [one["call_id"] for one in resumed["calls"]] == [call.sid]
            await back.wait("call.dtmf_received", digit="5")
            await says(back, "call.hangup", call.sid)
            await back.wait("call.ended")
            assert back.of("call.started") == []
            well_formed([started, *(f for f in back.frames if f.get("seq", 0) > started["seq"])])


async def test_no_model_answers_on_a_line(tmp_path: Path) -> None:
    async with desk(tmp_path) as there:
        call = there.call()
        await there.line.wait("call.started")
        await there.line.send("session.configure", session_id=call.sid, llm="openai/gpt-4o", language="es")
        warned = await there.line.wait("server.warning", code="NOT_ON_A_LINE")
        assert warned["keys"] == ["llm"]
        assert (await there.line.wait("call.updated"))["language"] == "es"
        call.hang_up()
