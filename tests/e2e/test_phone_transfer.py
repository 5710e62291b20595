"""Warm transfers over the fake Twilio: a caller waits in a conference, with music, and a human is joined to him."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e.harness import Frame, in_order
from tests.e2e.phone import FROM, OTHER, TO, Phone, phone
from tests.fakes.twilio import Callee, FakeCall, Trouble, loudness, tone

pytestmark = pytest.mark.e2e

CALLER_HZ, HUMAN_HZ = 600.0, 1100.0


async def begun(line: Phone, **fields: Any) -> tuple[FakeCall, Frame]:
    """A caller speaks with the agent, which transfers him."""
    call = line.twilio.call(FROM, TO)
    call.mouth = tone(CALLER_HZ)
    await line.agent.wait("call.started")
    return call, await line.says("call.transfer", call.sid, to=OTHER, **fields)


async def human(line: Phone) -> FakeCall:
    """Who is called."""
    found = await line.twilio.placed()
    found.mouth = tone(HUMAN_HZ)
    return found


def hears(call: FakeCall, frames: int = 25) -> np.ndarray[Any, Any]:
    """What came to his ear last."""
    return np.concatenate([*call.ear[-frames:], np.zeros(0, dtype=np.int16)])


async def over(line: Phone, *calls: FakeCall) -> Frame:
    """The one end of the call; nobody is left with a telephone at his ear."""
    ended = await line.agent.wait("call.ended")
    for call in calls:
        assert await call.ended() == "completed"
    await asyncio.sleep(0.1)  # What else might come is there by then.
    assert len(line.agent.of("call.ended")) == len(line.agent.of("call.started"))
    in_order(line.agent.frames)
    return ended


async def test_the_caller_hears_music_and_then_the_human_who_hears_him(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=1.5)
        call, ack = await begun(line, message="I get somebody for you.", announcement="A <caller> & you")
        assert ack["status"] == "processing"
        again = await line.says("call.transfer", call.sid, to=OTHER)
        assert (again["status"], again["code"]) == ("error", "CALL_BUSY")
        forward = await line.says("call.forward", call.sid, to=OTHER)
        assert (forward["status"], forward["code"]) == ("error", "CALL_BUSY")
        assert (await line.agent.wait("call.transferring"))["to"] == OTHER
        heard = [frame["text"] for frame in line.agent.of("message.confirmed")]
        assert heard == ["I get somebody for you."]
        other = await human(line)
        async with asyncio.timeout(10):
            while not call.ear or np.abs(hears(call)).max() < 500:
                await asyncio.sleep(0.02)
        assert loudness(hears(call), HUMAN_HZ) < 0.01
        assert (other.from_, other.to) == (TO, OTHER)

        told = await line.agent.wait("call.transferred")
        assert told["to"] == OTHER
        assert other.said == ["A <caller> & you"]
        await asyncio.sleep(0.6)
        assert loudness(hears(call), HUMAN_HZ) > 0.2
        assert loudness(hears(other), CALLER_HZ) > 0.2
        assert loudness(hears(call), CALLER_HZ) < 0.01
        assert not line.agent.of("call.ended")

        other.hang_up()
        ended = await over(line, call, other)
        assert (ended["reason"], OTHER in ended["detail"]) == ("hangup", True)
        names = [
            name
            for name in line.agent.names()
            if name in ("call.held", "call.transferring", "call.transferred")
        ]
        assert names == ["call.held", "call.transferring", "call.transferred"]
        assert all(status == 200 for _, status in line.twilio.fetched)
        verb = next(iter(ET.fromstring(call.documents[1])))
        room = verb.find("Conference")
        assert room is not None
        assert (room.get("startConferenceOnEnter"), room.get("endConferenceOnExit")) == ("false", "true")


@pytest.mark.parametrize("told", [True, False])
async def test_a_caller_who_hangs_up_while_they_speak_ends_it_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    monkeypatch.setattr("server.transfer.GONE_S", 0.2)
    async with phone(tmp_path) as line:
        call, _ = await begun(line)
        call.action_after_hangup = told
        other = await human(line)
        await line.agent.wait("call.transferred")
        call.hang_up()
        ended = await over(line, call, other)
        assert ended["reason"] == "hangup"
        assert ended["detail"] in ("the caller hung up", f"the conversation with {OTHER} is over")


async def test_both_may_hang_up_at_once(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call, _ = await begun(line)
        other = await human(line)
        await line.agent.wait("call.transferred")
        call.hang_up()
        other.hang_up()
        assert (await over(line, call, other))["reason"] == "hangup"


@pytest.mark.parametrize(
    ("does", "reason"), [("busy", "busy"), ("no-answer", "no_answer"), ("failed", "failed")]
)
async def test_a_caller_whom_nobody_takes_comes_back_to_the_agent(
    tmp_path: Path, does: Any, reason: str
) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(does=does, sip_code=486 if does == "busy" else None)
        call, _ = await begun(line)
        failed = await line.agent.wait("call.transfer_failed")
        assert (failed["to"], failed["reason"]) == (OTHER, reason)
        await line.agent.wait("call.unheld")
        await line.says("bot.reply", call.sid, message_id="sorry", text="Nobody is there.", in_reply_to="")
        await line.agent.wait("bot.finished", message_id="sorry")
        assert len(call.streams) == 2
        # And once more, to somebody who is there.
        line.twilio.callees[OTHER] = Callee()
        assert (await line.says("call.transfer", call.sid, to=OTHER))["status"] == "processing"
        other = await line.twilio.placed(2)
        await line.agent.wait("call.transferred")
        other.hang_up()
        assert (await over(line, call, other))["reason"] == "hangup"
        assert len(line.agent.of("call.transferred")) == len(line.agent.of("call.transfer_failed")) == 1


async def test_who_hangs_up_during_the_announcement_has_declined(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call, _ = await begun(line, announcement="A caller.")
        other = await line.twilio.placed()
        await other.until(lambda: bool(other.said), "the announcement")
        other.hang_up()
        assert (await line.agent.wait("call.transfer_failed"))["reason"] == "declined"
        await line.agent.wait("call.unheld")
        call.hang_up()
        await over(line, call, other)


async def test_a_voicemail_is_nobody(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answered_by="machine_start", machine_after_s=0.3)
        call, _ = await begun(line, machine_detection="start")
        other = await human(line)
        failed = await line.agent.wait("call.transfer_failed")
        assert (failed["reason"], failed["detail"]) == ("machine", "machine_start")
        assert await other.ended() == "completed"
        assert not other.ear
        await line.agent.wait("call.unheld")
        call.hang_up()
        await over(line, call)


async def test_a_human_is_joined_when_that_is_known(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answered_by="human", machine_after_s=0.3)
        call, _ = await begun(line, machine_detection="start")
        other = await human(line)
        await line.agent.wait("call.transferred")
        other.hang_up()
        await over(line, call, other)


async def test_a_caller_who_hangs_up_while_it_rings_takes_the_human_with_him(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=30.0)
        call, _ = await begun(line)
        call.action_after_hangup = True
        other = await line.twilio.placed()
        await call.until(lambda: call.in_conference, "the conference")
        call.hang_up()
        assert (await line.agent.wait("call.ended"))["reason"] == "hangup"
        assert await other.ended() == "canceled"
        assert not line.agent.of("call.transferred")
        assert not line.agent.of("call.transfer_failed")


async def test_an_agent_that_hangs_up_while_it_rings_ends_all(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=30.0)
        call, _ = await begun(line)
        other = await line.twilio.placed()
        await line.says("call.hangup", call.sid)
        assert (await line.agent.wait("call.ended"))["reason"] == "client_hangup"
        assert (await call.ended(), await other.ended()) == ("completed", "canceled")


async def test_the_agent_may_give_it_up(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=30.0)
        call, _ = await begun(line)
        other = await line.twilio.placed()
        assert (await line.says("call.transfer_cancel", call.sid))["status"] == "processing"
        assert (await line.agent.wait("call.transfer_failed"))["reason"] == "canceled"
        await line.agent.wait("call.unheld")
        assert await other.ended() == "canceled"
        refused = await line.says("call.transfer_cancel", call.sid)
        assert (refused["status"], refused["code"]) == ("error", "TRANSFER_REFUSED")
        call.hang_up()
        await over(line, call)


async def test_callbacks_that_come_twice_and_late_change_nothing(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        late = {"participant-join": 0.5, "answered": 0.8, "ringing": 1.0}
        line.twilio.callees[OTHER] = line.twilio.callees[TO] = Callee(late_s=late, callbacks_twice=True)
        call, _ = await begun(line)
        other = await human(line)
        await line.agent.wait("call.transferred")
        other.hang_up()
        await over(line, call, other)
        assert len(line.agent.of("call.transferred")) == 1
        assert not line.agent.of("call.transfer_failed")


async def test_who_has_gone_when_his_coming_is_told_is_gone(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = line.twilio.callees[TO] = Callee(late_s={"participant-join": 0.6})
        call, _ = await begun(line)
        other = await human(line)
        await other.until(lambda: other.in_conference, "the conference")
        other.hang_up()
        assert (await line.agent.wait("call.transfer_failed"))["reason"] in ("declined", "failed")
        await line.agent.wait("call.unheld")
        await asyncio.sleep(0.8)
        assert not line.agent.of("call.transferred")
        call.hang_up()
        await over(line, call, other)


async def test_a_carrier_that_does_not_take_the_caller_leaves_the_call_as_it_was(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        line.twilio.trouble.append(Trouble(500))
        await line.says("call.transfer", call.sid, to=OTHER)
        error = await line.agent.wait("error")
        assert (error["code"], error["retryable"]) == ("CARRIER_ERROR", True)
        await line.agent.wait("call.unheld")
        assert not line.agent.of("call.transferring")
        call.hang_up()
        await over(line, call)


async def test_a_carrier_that_does_not_call_brings_the_caller_back(tmp_path: Path) -> None:
    async with phone(tmp_path, numbers=(TO,)) as line:
        call, _ = await begun(line, **{"from": "+15559999999"})
        failed = await line.agent.wait("call.transfer_failed")
        assert (failed["reason"], "verified" in failed["detail"]) == ("failed", True)
        assert (await line.agent.wait("error"))["code"] == "CARRIER_ERROR"
        await line.agent.wait("call.unheld")
        call.hang_up()
        await over(line, call)


async def test_a_carrier_that_fails_to_bring_back_is_asked_again(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee("busy", answer_after_s=0.5)
        call, _ = await begun(line)
        await line.twilio.placed()
        line.twilio.trouble += [Trouble(503), Trouble(503)]
        await line.agent.wait("call.unheld")
        assert not line.agent.of("error")
        call.hang_up()
        await over(line, call)


@pytest.mark.parametrize("to", ["*", "nobody", "client:ann", "12"])
async def test_a_transfer_to_no_number_is_refused(tmp_path: Path, to: str) -> None:
    async with phone(tmp_path) as line:
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        ack = await line.says("call.transfer", call.sid, to=to)
        assert (ack["status"], ack["code"]) == ("error", "TRANSFER_REFUSED")
        assert (await line.agent.wait("error"))["key"] == "to"


# --- the agent speaks with the human first ----------------------------------------------------------------


async def test_the_agent_speaks_with_the_human_and_then_joins_them(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call, _ = await begun(line, consult=True, greeting="A caller has a question for you.")
        other = await human(line)
        started = await line.agent.wait("call.started", call_id=other.sid)
        assert (started["direction"], started["transfer_of"], started["to"]) == ("outbound", call.sid, OTHER)
        await line.agent.wait("bot.finished", call_id=other.sid)
        assert loudness(hears(call), HUMAN_HZ) < 0.01
        await line.says("bot.reply", other.sid, message_id="now", text="Here he is.", in_reply_to="")
        assert (await line.says("call.transfer_complete", call.sid))["status"] == "processing"
        ended = await line.agent.wait("call.ended", call_id=other.sid)
        assert (ended["reason"], call.sid in ended["detail"]) == ("hangup", True)
        assert [m["content"] for m in ended["messages"]] == [
            "A caller has a question for you.",
            "Here he is.",
        ]
        assert (await line.agent.wait("call.transferred"))["call_id"] == call.sid
        await asyncio.sleep(0.6)
        assert loudness(hears(call), HUMAN_HZ) > 0.2
        assert loudness(hears(other), CALLER_HZ) > 0.2
        other.hang_up()
        await call.ended()
        assert (await line.agent.wait("call.ended", call_id=call.sid))["reason"] == "hangup"
        assert await other.ended() == "completed"
        in_order(line.agent.frames)


async def test_a_human_who_hangs_up_while_he_is_asked_has_declined(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call, _ = await begun(line, consult=True)
        other = await human(line)
        await line.agent.wait("call.started", call_id=other.sid)
        other.hang_up()
        assert (await line.agent.wait("call.transfer_failed"))["reason"] == "declined"
        await line.agent.wait("call.unheld", call_id=call.sid)
        call.hang_up()
        await over(line, call, other)


async def test_a_human_who_does_not_answer_is_told_of_with_consult_as_well(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee("busy")
        call, _ = await begun(line, consult=True)
        assert (await line.agent.wait("call.transfer_failed"))["reason"] == "busy"
        await line.agent.wait("call.unheld", call_id=call.sid)


async def test_a_caller_who_does_not_wait_ends_the_talk_with_the_human(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call, _ = await begun(line, consult=True)
        call.action_after_hangup = True
        other = await human(line)
        await line.agent.wait("call.started", call_id=other.sid)
        call.hang_up()
        assert (await line.agent.wait("call.ended", call_id=call.sid))["reason"] == "hangup"
        assert (await line.agent.wait("call.ended", call_id=other.sid))["reason"] == "hangup"
        assert await other.ended() == "completed"
        refused = await line.says("call.transfer_complete", call.sid)
        assert refused["status"] == "error"


async def test_nothing_is_joined_before_the_human_is_there(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=30.0)
        call, _ = await begun(line, consult=True)
        await line.twilio.placed()
        refused = await line.says("call.transfer_complete", call.sid)
        assert (refused["status"], refused["code"]) == ("error", "TRANSFER_REFUSED")


async def test_who_was_on_hold_hears_music_again_when_he_is_back(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee("busy")
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started")
        await line.says("call.hold", call.sid)
        await (await call.stream()).bot_speaking()
        await line.says("call.transfer", call.sid, to=OTHER)
        await line.agent.wait("call.transfer_failed")
        await (await call.stream(2)).bot_speaking()
        await line.says("call.unhold", call.sid)
        await line.agent.wait("call.unheld")
        call.hang_up()
        await over(line, call)


@pytest.mark.parametrize("path", ["wait", "room", "left", "invited", "join", "status", "machine"])
async def test_webhooks_that_are_not_signed_are_refused(tmp_path: Path, path: str) -> None:
    async with phone(tmp_path) as line, httpx.AsyncClient(trust_env=False) as http:
        form = {"CallSid": "CA1", "AccountSid": line.twilio.sid}
        answer = await http.post(f"{line.server.url}/twilio/transfer/{path}/transfer-1", data=form)
        assert answer.status_code == 403
        # And of a transfer that nobody knows nothing comes.
        line.twilio.carrier.account_sid = line.twilio.sid
        signed = await line.twilio.carrier.post(
            f"/twilio/transfer/{path}/transfer-1", list(form.items()), "CA1"
        )
        assert signed.status in (200, 204)
        assert "<Hangup" in signed.body or path in ("wait", "room", "status", "machine")


async def test_music_is_for_who_has_its_address(tmp_path: Path) -> None:
    async with phone(tmp_path, hold_music="off") as line, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{line.server.url}/twilio/music/nonsense.wav")).status_code == 403
        # Where the operator wants no music who waits hears silence.
        line.twilio.callees[OTHER] = Callee(answer_after_s=1.0)
        call, _ = await begun(line)
        await line.agent.wait("call.transferred")
        assert not line.twilio.fetched
        assert "<Pause" in call.documents[2]
