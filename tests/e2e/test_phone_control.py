"""Keys and forwards over the fake Twilio: rows 11, 12 and 14 of what a Twilio server must get right."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.e2e.harness import in_order
from tests.e2e.phone import FROM, OTHER, TO, phone
from tests.fakes.twilio import Callee, Trouble

pytestmark = pytest.mark.e2e

LONG = "This is a long sentence that goes on and on, so that something else can happen in the middle of it."


async def test_row_11_dtmf_in_during_bot_speech_hold_and_mute(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": LONG}) as line:
        call = line.twilio.call(FROM, TO)
        stream = await call.stream()
        await stream.bot_speaking()
        stream.dtmf("1")
        await line.agent.wait("call.dtmf_received")
        await line.says("call.hold", call.sid)
        stream.dtmf("#")
        await line.agent.wait("call.dtmf_received", count=2)
        await line.says("call.unhold", call.sid)
        await line.says("call.mute", call.sid)
        stream.dtmf("*")
        await line.agent.wait("call.dtmf_received", count=3)
        told = [(frame["digit"], frame["digits"]) for frame in line.agent.of("call.dtmf_received")]
        assert told == [("1", "1"), ("#", "1#"), ("*", "1#*")]
        await line.agent.wait("bot.finished")
        assert not line.agent.of("bot.interrupted")
        call.hang_up()
        await line.agent.wait("call.ended")
        in_order(line.agent.frames)


async def test_row_12_dtmf_out_pauses_what_is_said_and_goes_on_in_one_call(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": LONG}) as line:
        call = line.twilio.call(FROM, TO)
        await (await call.stream()).bot_speaking()
        assert (await line.says("call.dtmf", call.sid, digits="w12#"))["status"] == "processing"
        assert (await line.says("call.dtmf", call.sid, digits="9"))["status"] == "processing"
        await line.agent.wait("call.dtmf_sent", count=2)
        assert call.digits == ["w12#", "9"]
        assert [frame["digits"] for frame in line.agent.of("call.dtmf_sent")] == ["w12#", "9"]
        assert len(call.streams) == 3
        await line.agent.wait("bot.finished")
        assert len(line.agent.of("bot.paused")) == len(line.agent.of("bot.resumed")) >= 1
        assert [frame["text"] for frame in line.agent.of("message.confirmed")] == [LONG]
        assert not line.agent.of("call.ended")
        call.hang_up()
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"
        assert len(line.agent.of("call.started")) == len(line.agent.of("call.ended")) == 1
        in_order(line.agent.frames)


@pytest.mark.parametrize("digits", ["", "12x", "1" * 33, "+1"])
async def test_row_12_invalid_digits_are_an_error(tmp_path: Path, digits: str) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        ack = await line.says("call.dtmf", call.sid, digits=digits)
        assert (ack["status"], ack["code"]) == ("error", "BAD_MESSAGE")
        assert len(call.streams) == 1


async def test_row_12_a_carrier_that_refuses_leaves_the_call_as_it_was(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": LONG}) as line:
        call = line.twilio.call(FROM, TO)
        await (await call.stream()).bot_speaking()
        line.twilio.trouble.append(Trouble(500))
        await line.says("call.dtmf", call.sid, digits="1")
        error = await line.agent.wait("error")
        assert (error["code"], error["retryable"], error["call_id"]) == ("CARRIER_ERROR", True, call.sid)
        await line.agent.wait("bot.finished")
        assert not line.agent.of("call.dtmf_sent")
        # The next stop is the caller's own.
        call.hang_up()
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"


async def test_row_12_a_call_that_is_over_at_the_carrier_ends(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        line.twilio.trouble.append(Trouble(404, 20404, "not found"))
        await line.says("call.dtmf", call.sid, digits="1")
        assert (await line.agent.wait("error"))["code"] == "CARRIER_ERROR"
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"


async def test_row_12_a_stream_that_does_not_come_back_ends_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.control.REOPEN_S", -0.7)
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        monkeypatch.setattr(call, "_verb", _forever)
        await line.says("call.dtmf", call.sid, digits="1")
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], "again" in ended["detail"]) == ("failed", True)
        assert not line.agent.of("call.dtmf_sent")


async def _forever(_: ET.Element) -> bool:
    await asyncio.Event().wait()
    return True


async def test_row_14_a_forward_lets_the_last_word_be_heard_and_ends_with_the_talk(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(talk_s=0.4)
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.says("bot.reply", call.sid, message_id="bye", text="I put you through.", in_reply_to="")
        ack = await line.says("call.forward", call.sid, to="+1 (555) 000-3333")
        assert ack["status"] == "processing"
        again = await line.says("call.forward", call.sid, to=OTHER)
        assert (again["status"], again["code"]) == ("error", "CALL_BUSY")
        told = await line.agent.wait("call.forwarded")
        assert told["to"] == OTHER
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], ended["messages"][-1]["content"]) == ("hangup", "I put you through.")
        assert [frame["text"] for frame in line.agent.of("message.confirmed")] == ["I put you through."]
        assert call.dialled == [(OTHER, "completed")]
        assert len(line.agent.of("call.forwarded")) == len(line.agent.of("call.ended")) == 1
        verb = next(iter(ET.fromstring(call.documents[1])))
        assert (verb.tag, verb.get("answerOnBridge"), verb.get("callerId")) == ("Dial", "true", TO)
        in_order(line.agent.frames)


@pytest.mark.parametrize(
    ("does", "reason"), [("busy", "busy"), ("no-answer", "no_answer"), ("failed", "failed")]
)
async def test_row_14_a_forward_that_fails_comes_back_to_the_agent(
    tmp_path: Path, does: str, reason: str
) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(does=does)  # type: ignore[arg-type]
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.says("call.forward", call.sid, to=OTHER)
        failed = await line.agent.wait("call.forward_failed")
        assert (failed["to"], failed["reason"]) == (OTHER, reason)
        await line.agent.wait("call.unheld")
        await line.says("bot.reply", call.sid, message_id="sorry", text="Nobody is there.", in_reply_to="")
        await line.agent.wait("bot.finished", message_id="sorry")
        assert len(call.streams) == 2
        # And once more, to somebody who is there.
        line.twilio.callees[OTHER] = Callee()
        await line.says("call.forward", call.sid, to=OTHER)
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"
        assert len(line.agent.of("call.forwarded")) == len(line.agent.of("call.forward_failed")) == 1
        assert len(line.agent.of("call.started")) == 1
        in_order(line.agent.frames)


async def test_row_14_somebody_else_may_be_tried_at_once(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        second = "+15550004444"
        line.twilio.callees[OTHER] = Callee("busy")
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        line.agent.on["call.forward_failed"] = lambda frame: {
            "event": "call.forward",
            "call_id": frame["call_id"],
            "to": second,
        }
        await line.says("call.forward", call.sid, to=OTHER)
        assert (await line.agent.wait("call.forwarded"))["to"] == second
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"
        assert call.dialled == [(OTHER, "busy"), (second, "completed")]
        assert not line.agent.of("error")


async def test_row_14_who_picks_up_is_told_what_is_announced(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.says("call.forward", call.sid, to=OTHER, message="A <caller> & you", announce=True)
        await line.agent.wait("call.ended")
        assert call.whispered == ["A <caller> & you"]
        assert not line.agent.of("bot.speaking")


async def test_row_14_the_caller_is_told_before(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.says("call.forward", call.sid, to=OTHER, message="One moment.")
        await line.agent.wait("call.ended")
        heard = [frame["text"] for frame in line.agent.of("message.confirmed")]
        assert (heard, call.whispered) == (["One moment."], [])


async def test_row_14_who_hangs_up_before_anybody_picks_up_has_ended_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.calls.OVER_S", 0.1)
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=30.0)
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.says("call.forward", call.sid, to=OTHER)
        await line.agent.wait("call.held")
        await call.until(lambda: len(call.documents) == 2, "the forward")
        call.hang_up()
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"
        assert not line.agent.of("call.forwarded")


async def test_an_agent_that_hangs_up_while_it_rings_ends_the_call(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=30.0)
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.says("call.forward", call.sid, to=OTHER)
        await call.until(lambda: len(call.documents) == 2, "the forward")
        await line.says("call.hangup", call.sid)
        assert (await line.agent.wait("call.ended"))["reason"] == "client_hangup"
        assert await call.ended() == "completed"


@pytest.mark.parametrize("to", ["*", "nobody", "client:ann", "12"])
async def test_a_forward_to_no_number_is_refused(tmp_path: Path, to: str) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        ack = await line.says("call.forward", call.sid, to=to)
        assert (ack["status"], ack["code"]) == ("error", "FORWARD_REFUSED")
        assert (await line.agent.wait("error"))["key"] == "to"
