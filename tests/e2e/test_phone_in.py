"""Calls that come in, over the fake Twilio: rows 1 to 5 and 13 of what a Twilio server must get right."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from telephony.carriers.twilio.simulator import CallOptions, Delay, StreamRefused
from tests.e2e.harness import Frame, connected, in_order
from tests.e2e.phone import FROM, OTHER, TO, phone

pytestmark = pytest.mark.e2e


async def test_row_2_answered_at_once_with_screening_off(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await line.twilio.carrier.ring(FROM, TO)
        assert loop.time() - began < 0.3
        assert "<Stream" in answer.body


async def test_row_2_auto_accept_with_screening_on(tmp_path: Path) -> None:
    async with phone(tmp_path, ringing=True, ringing_s=0.6) as line:
        call = line.twilio.call(FROM, TO)
        ringing = await line.agent.wait("call.ringing")
        assert (ringing["from"], ringing["to"], ringing["direction"]) == (FROM, TO, "inbound")
        assert not call.documents
        started = await line.agent.wait("call.started")
        assert started["ts"] - ringing["ts"] == pytest.approx(0.6, abs=0.35)
        assert call.status == "in-progress"
        # Too late.
        ack = await line.says("call.reject", call.sid, agent_id="tester")
        assert (ack["status"], ack["code"]) == ("error", "CALL_NOT_RINGING")
        call.hang_up()
        await line.agent.wait("call.ended")
        in_order(line.agent.frames)


async def test_row_2_a_duplicate_webhook_gets_the_same_twiml_and_one_session(tmp_path: Path) -> None:
    async with phone(tmp_path, ringing=True, ringing_s=5.0) as line:
        sid = "CA" + "1" * 32
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(line.twilio.carrier.ring(FROM, TO, call_sid=sid)) for _ in range(3)]
            await line.agent.wait("call.ringing")
            await asyncio.sleep(0.2)
            assert (await line.says("call.accept", sid, agent_id="tester"))["status"] == "success"
        plans = [task.result().plan() for task in asked]
        assert len(line.agent.of("call.ringing")) == 1
        streams = [_shape(task.result().body) for task in asked]
        assert streams == streams[:1] * 3
        stream = await line.twilio.carrier.open_stream(plans[2])
        await line.agent.wait("call.started")
        for other in plans:
            with pytest.raises(StreamRefused):
                await line.twilio.carrier.open_stream(other)
        stream.hang_up()
        await line.agent.wait("call.ended")
        assert len(line.agent.of("call.started")) == 1


def _shape(document: str) -> list[str]:
    """But for the token, which is new each time."""
    return [element.tag for element in ET.fromstring(document).iter()]


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_row_3_reject_is_the_first_verb_with_both_reasons(
    tmp_path: Path, reason: str, status: str
) -> None:
    async with phone(tmp_path, ringing=True) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.ringing")
        ack = await line.says("call.reject", call.sid, agent_id="tester", reason=reason)
        assert ack["status"] == "success"
        assert await call.ended() == status
        assert call.rejected == reason
        assert next(iter(ET.fromstring(call.documents[0]))).tag == "Reject"
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], reason in ended["detail"]) == ("client_hangup", True)
        named = [frame["event"] for frame in line.agent.frames if "seq" in frame]
        assert named == ["call.ringing", "call.rejected", "call.ended"]
        assert not call.streams
        assert len(line.server.services.calls) == 0


async def test_row_3_a_caller_who_gives_up_while_it_rings(tmp_path: Path) -> None:
    async with phone(tmp_path, ringing=True) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.ringing")
        call.hang_up()
        ended = await line.agent.wait("call.ended")
        assert ended["reason"] == "hangup"
        assert not line.agent.of("call.started")
        in_order(line.agent.frames)


async def test_row_3_only_the_agents_own_connection_decides(tmp_path: Path) -> None:
    async with phone(tmp_path, ringing=True, ringing_s=1.0) as line, connected(line.server.ws) as other:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.ringing")
        await other.send("call.reject", agent_id="tester", call_id=call.sid, ack="a")
        assert (await other.wait("ack"))["code"] == "CALL_UNKNOWN"
        await line.agent.wait("call.started")


@pytest.mark.parametrize(
    "caller", ["anonymous", "RESTRICTED", "+266696687", "sip:bob@example.org;transport=udp", "client:ann", ""]
)
async def test_row_4_anonymous_sip_and_client_callers(tmp_path: Path, caller: str) -> None:
    async with phone(tmp_path) as line:
        extra = [("SipHeader_X-Order", "7"), ("ForwardedFrom", OTHER)] if caller.startswith("sip") else []
        call = line.twilio.call(caller, TO, extra=extra)
        started = await line.agent.wait("call.started")
        assert started["from"] == caller
        if extra:
            assert started["metadata"] == {"forwarded_from": OTHER, "sip_X-Order": "7"}
        call.hang_up()
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"


async def test_row_5_wrong_token_and_second_socket(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        stream = await call.stream()
        await line.agent.wait("call.started")
        url = ET.fromstring(call.documents[0]).find(".//Stream").get("url")  # type: ignore[union-attr]
        plan = (await line.twilio.carrier.ring(OTHER, TO)).plan()
        for forged in (url, plan.url + "x", url.rsplit("/", 1)[0] + "/nonsense"):  # type: ignore[union-attr]
            with pytest.raises(StreamRefused) as refused:
                await line.twilio.carrier.open_stream(type(plan)(plan.call_sid, str(forged)))
            assert refused.value.twilio_code == 31920
        assert stream.end is None


async def test_row_5_a_token_of_another_call_is_told_from_its_start(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        plan = (await line.twilio.carrier.ring(OTHER, TO)).plan()
        forged = await line.twilio.carrier.open_stream(type(plan)("CA" + "9" * 32, plan.url))
        end = await forged.ended()
        assert end.code == 1008
        error = await line.agent.wait("error")
        assert error["code"] == "MEDIA_REFUSED"
        assert not line.agent.of("call.started")


async def test_row_13_the_agent_hangs_up_and_rest_404_is_success(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": "Hello."}) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("bot.finished")
        await line.agent.send("call.hangup", call_id=call.sid)
        ended = await line.agent.wait("call.ended")
        assert ended["reason"] == "client_hangup"
        assert await call.ended() == "completed"
        await asyncio.sleep(0.2)
        assert len(line.agent.of("call.ended")) == 1
        await line.server.services.carriers["twilio"].hang_up(call.sid)
        await line.server.services.carriers["twilio"].hang_up("CA" + "0" * 32)


async def test_an_unknown_number_hears_a_message_or_is_refused(tmp_path: Path) -> None:
    async with phone(tmp_path / "one") as line:
        call = line.twilio.call(FROM, OTHER)
        assert await call.ended() == "no-answer"
        assert call.rejected == "rejected"
    async with phone(tmp_path / "two", nobody_text="Nobody is here & we are closed.", language="de") as line:
        call = line.twilio.call(FROM, OTHER)
        assert await call.ended() == "completed"
        assert call.said == ["Nobody is here & we are closed."]
        assert 'language="de-DE"' in call.documents[0]
        assert not line.agent.of("call.started")


async def test_no_agent_online(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        await line.agent.socket.close()
        await line.agent.wait_closed()
        await asyncio.sleep(0.2)
        assert await line.twilio.call(FROM, TO).ended() == "no-answer"


async def test_capacity_is_refused_at_ring_time(tmp_path: Path) -> None:
    async with phone(tmp_path, max_calls=1, ringing=True) as line:
        first = line.twilio.call(FROM, TO)
        await line.agent.wait("call.ringing")
        second = line.twilio.call(OTHER, TO)
        assert await second.ended() == "busy"
        assert len(line.agent.of("call.ringing")) == 1
        assert not first.over


async def test_each_number_has_its_own_configuration(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": "Hello.", "language": "en"}) as line:
        more = {"language": "de", "greeting": "Guten Tag.", "ringing": True}
        await line.agent.send("channel.add", agent_id="tester", type="phone", ref=OTHER, **more)
        await line.agent.wait("channel.added", count=2)

        def accept(frame: Frame) -> Frame:
            return {"event": "call.accept", "agent_id": "tester", "call_id": frame["call_id"]}

        line.agent.on["call.ringing"] = accept
        english, german = line.twilio.call(FROM, TO), line.twilio.call(FROM, OTHER)
        for call, language, text in ((english, "en", "Hello."), (german, "de", "Guten Tag.")):
            assert (await line.agent.wait("call.started", call_id=call.sid))["language"] == language
            assert (await line.agent.wait("message.confirmed", call_id=call.sid))["text"] == text
        assert [frame["call_id"] for frame in line.agent.of("call.ringing")] == [german.sid]


async def test_row_13_the_trailing_action_gets_a_hangup(tmp_path: Path) -> None:
    """Without an account of the API our close of the socket ends the call: Twilio asks what comes next."""
    async with phone(tmp_path, twilio_account_sid=None) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.agent.send("call.hangup", call_id=call.sid)
        assert await call.ended() == "completed"
        assert "<Hangup" in call.documents[-1]
        assert len(call.streams) == 1
        assert not [r for r in line.twilio.requests if r[0] == "POST"]


async def test_row_13_the_action_after_the_caller_has_hung_up_gets_a_hangup(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        call.action_after_hangup = True
        await line.agent.wait("call.started")
        call.hang_up()
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"
        await call.until(lambda: len(call.documents) == 2, "the answer to its action")
        assert "<Hangup" in call.documents[-1]


async def test_a_stream_that_breaks_off_is_opened_again_under_the_same_call(tmp_path: Path) -> None:
    text = "This is a sentence of some length, which is heard to its end although the line breaks off in it."
    recording = {"analysis": {"recording": True}}
    async with phone(tmp_path, config={"greeting": text, "config": recording}) as line:
        call = line.twilio.call(FROM, TO)
        first = await call.stream()
        await line.agent.wait("bot.word", count=3)
        first.drop()
        second = await call.stream(2)
        assert second.ids.stream_sid != first.ids.stream_sid
        held = await line.agent.wait("call.held")
        assert held["by"] == "network"
        await line.agent.wait("call.unheld")
        await line.agent.wait("bot.finished")
        words = [frame["word"] for frame in line.agent.of("bot.word")]
        assert words == text.split()
        assert second.playback.heard_ms() > 500
        call.hang_up()
        ended = await line.agent.wait("call.ended")
        assert ended["reason"] == "hangup"
        assert len(line.agent.of("call.started")) == len(line.agent.of("call.ended")) == 1
        recorded = await line.agent.wait("call.recording")
        assert recorded["duration_ms"] == pytest.approx(ended["duration_seconds"] * 1000, abs=150)
        in_order(line.agent.frames)


async def test_row_18_a_stream_that_breaks_too_often_ends_the_call(tmp_path: Path) -> None:
    async with phone(tmp_path, twilio_resume_s=1.0) as line:
        call = line.twilio.call(FROM, TO)
        for count in range(1, 5):
            stream = await call.stream(count)
            await asyncio.sleep(0.1)
            stream.drop()
        assert await call.ended() == "completed"
        assert (await line.agent.wait("call.ended"))["reason"] == "failed"
        assert len(call.streams) == 4


async def test_a_stream_that_does_not_come_back_ends_the_call(tmp_path: Path) -> None:
    async with phone(tmp_path, twilio_resume_s=0.5) as line:
        stream = await line.twilio.carrier.place_call(FROM, TO)
        await line.agent.wait("call.started")
        stream.drop()
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], "broke off" in ended["detail"]) == ("failed", True)
        in_order(line.agent.frames)


async def test_jitter_on_both_ways(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": "Hello and welcome to all of you."}) as line:
        call = line.twilio.call(FROM, TO)
        call.options = CallOptions(uplink=Delay(50, 40), downlink=Delay(50, 40))
        stream = await call.stream()
        await line.agent.wait("bot.finished")
        assert not [hole for hole in stream.playback.underruns() if hole.in_speech]
        call.hang_up()
        await line.agent.wait("call.ended")
        in_order(line.agent.frames)


async def test_a_call_whose_stop_was_lost_ends_when_the_carrier_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.calls.OVER_S", 0.3)
    async with phone(tmp_path, twilio_resume_s=30.0) as line:
        stream = await line.twilio.carrier.place_call(FROM, TO)
        await line.agent.wait("call.started")
        stream.drop()
        await line.agent.wait("call.held")
        form = [("AccountSid", line.twilio.sid), ("CallSid", stream.call_sid), ("CallStatus", "completed")]
        assert (await line.twilio.carrier.post("/twilio/status", form, stream.call_sid)).status == 204
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"
