"""Calls that agents place, over the fake Twilio: row 16 and 17 of what a Twilio server must get right."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import KEY, in_order
from tests.e2e.phone import FROM, OTHER, TO, phone
from tests.fakes.twilio import Callee, Trouble

pytestmark = pytest.mark.e2e


async def test_row_16_placed_is_not_started(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": "Wrong."}) as line:
        line.twilio.callee = Callee(answer_after_s=0.4)
        ack = await line.dial(greeting="Hello from the shop.", metadata={"order": 7})
        assert ack["status"] == "processing"
        dialing = await line.agent.wait("call.dialing")
        assert (dialing["seq"], dialing["to"], dialing["from"]) == (1, FROM, TO)
        assert (dialing["metadata"], dialing["dial_id"]) == ({"order": 7}, ack["extras"]["dial_id"])
        assert not line.agent.of("call.started")
        call = await line.twilio.placed()
        assert dialing["call_id"] == call.sid
        started = await line.agent.wait("call.started")
        assert (started["direction"], started["to"], started["from"]) == ("outbound", FROM, TO)
        assert started["metadata"] == {"order": 7}
        assert "in-progress" in call.statuses
        finished = await line.agent.wait("bot.finished")
        assert finished["duration_ms"] > 500
        assert line.agent.of("message.confirmed")[0]["text"] == "Hello from the shop."
        call.hang_up()
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], ended["direction"]) == ("hangup", "outbound")
        assert await call.ended() == "completed"
        in_order(line.agent.frames)
        assert len(line.agent.of("call.ended")) == 1


@pytest.mark.parametrize(
    ("does", "reason", "sip", "detail"),
    [
        ("busy", "busy", 486, "SIP 486"),
        ("busy", "busy", 603, "declined"),
        ("no-answer", "no_answer", None, "nobody"),
        ("failed", "failed", 404, "no such number"),
    ],
)
async def test_row_16_busy_no_answer_failed(
    tmp_path: Path, does: str, reason: str, sip: int | None, detail: str
) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callee = Callee(does=does, sip_code=sip)  # type: ignore[arg-type]
        await line.dial()
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], ended["direction"], ended["to"]) == (reason, "outbound", FROM)
        assert detail in ended["detail"]
        assert ended["duration_seconds"] == 0
        assert [f["event"] for f in line.agent.frames if "seq" in f] == ["call.dialing", "call.ended"]
        assert len(line.server.services.calls) == 0


async def test_row_16_canceled(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callee = Callee(answer_after_s=5)
        await line.dial()
        dialing = await line.agent.wait("call.dialing")
        assert (await line.says("call.hangup", dialing["call_id"]))["status"] == "success"
        ended = await line.agent.wait("call.ended")
        assert ended["reason"] == "client_hangup"
        assert await (await line.twilio.placed()).ended() == "canceled"


async def test_row_16_callbacks_out_of_order_and_duplicated(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[FROM] = Callee(
            late_s={"initiated": 0.4, "ringing": 0.3, "answered": 0.35}, callbacks_twice=True
        )
        line.twilio.callees[OTHER] = Callee(
            "busy", late_s={"initiated": 0.3, "ringing": 0.2}, callbacks_twice=True
        )
        await line.dial(FROM)
        await line.dial(OTHER)
        busy = await line.agent.wait("call.ended", to=OTHER)
        assert busy["reason"] == "busy"
        await line.agent.wait("call.started", to=FROM)
        await asyncio.sleep(0.5)
        call = await line.twilio.placed()
        assert not line.agent.of("call.ended")[1:]
        call.hang_up()
        await line.agent.wait("call.ended", to=FROM)
        await asyncio.sleep(0.1)
        assert len(line.agent.of("call.ended")) == 2
        assert len(line.agent.of("call.dialing")) == 2
        in_order(line.agent.frames)


async def test_row_16_a_callback_may_come_before_the_answer_of_the_api(tmp_path: Path) -> None:
    """The carrier calls, and its own answer is lost: nobody is left talking to a call that nobody knows."""
    async with phone(tmp_path) as line:
        line.twilio.callee = Callee(answer_after_s=1.0)
        await line.server.services.carriers["twilio"].numbers()
        line.twilio.trouble.append(Trouble(500, placed=True))
        await line.dial()
        call = await line.twilio.placed()
        ended = await line.agent.wait("call.ended")
        # Which of the two comes first is chance: the callback makes the call known, the answer that it failed.
        assert ended["reason"] in ("failed", "hangup")
        assert await call.ended() in ("canceled", "completed")
        await asyncio.sleep(0.1)
        assert len(line.agent.of("call.ended")) == 1
        assert len(line.server.services.calls) == 0
        assert line.server.services.calls.expected == 0


@pytest.mark.parametrize(
    ("trouble", "code", "words", "retryable"),
    [
        (Trouble(400, 21215, "no permission for this country"), "CARRIER_ERROR", "21215", False),
        (Trouble(429, 20429, "Too many requests"), "CARRIER_ERROR", "20429", True),
        (Trouble(0), "CARRIER_ERROR", "no answer", True),
    ],
)
async def test_row_16_rest_400_429_timeout(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Trouble,
    code: str,
    words: str,
    retryable: bool,
) -> None:
    monkeypatch.setattr("telephony.carriers.twilio.rest.TIMEOUT_S", 0.3)
    async with phone(tmp_path) as line:
        await line.server.services.carriers["twilio"].numbers()
        line.twilio.trouble.append(trouble)
        ack = await line.dial()
        error = await line.agent.wait("error")
        assert (error["code"], error["retryable"]) == (code, retryable)
        assert words in error["error"]
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], ended["call_id"]) == ("failed", ack["extras"]["dial_id"])
        in_order(line.agent.frames)
        assert not line.agent.of("call.dialing")
        assert line.server.services.calls.expected == 0
        assert line.twilio.token not in str(line.agent.frames)


async def test_the_callers_number_must_be_one_of_ours(tmp_path: Path) -> None:
    async with phone(tmp_path, numbers=(TO, OTHER)) as line:
        line.twilio.caller_ids = ("+15550004444",)
        await line.dial(**{"from": "+15559990000"})
        error = await line.agent.wait("error")
        assert error["code"] == "CALLER_ID_REFUSED"
        assert "+15559990000" in error["error"]
        assert (await line.agent.wait("call.ended"))["reason"] == "failed"
        for count, own in enumerate(("+1 (555) 000-3333", "+15550004444"), 1):
            await line.dial(**{"from": own})
            dialing = await line.agent.wait("call.dialing", count=count)
            assert dialing["from"] == own
        assert not [r for r in line.twilio.requests if r[2].get("From") == ["+15559990000"]]


async def test_what_cannot_be_dialled_is_refused_at_once_and_ends(tmp_path: Path) -> None:
    async with phone(tmp_path, ref="*") as line:
        for fields, code, key in (
            ({"to": "nonsense"}, "DIAL_REFUSED", "to"),
            ({"to": "12"}, "DIAL_REFUSED", "to"),
            ({"to": FROM}, "CALLER_ID_REFUSED", "from"),
        ):
            ack = await line.dial(**fields)
            assert (ack["status"], ack["code"]) == ("error", code)
            assert (ack["extras"]["key"]) == key
        await line.agent.wait("call.ended", count=3)
        assert {frame["reason"] for frame in line.agent.of("call.ended")} == {"failed"}
        assert line.server.services.calls.expected == 0
        assert not line.twilio.requests


async def test_without_an_account_nobody_can_dial(tmp_path: Path) -> None:
    async with phone(tmp_path, twilio_account_sid=None) as line:
        ack = await line.dial()
        assert (ack["status"], ack["code"]) == ("error", "CARRIER_UNSUPPORTED")
        assert "TWILIO_ACCOUNT_SID" in ack["message"]


async def test_dials_are_paced_to_the_accounts_limit(tmp_path: Path) -> None:
    async with phone(tmp_path, dials_per_s=1.0, dial_queue=3) as line:
        line.twilio.callee = Callee("busy")
        await line.server.services.carriers["twilio"].numbers()
        for n in range(6):
            await line.agent.send("call.dial", agent_id="tester", to=f"+1555100000{n}", ack=str(n))
        acks = [await line.agent.wait("ack", ack=str(n)) for n in range(6)]
        refused = [ack for ack in acks if ack["status"] == "error"]
        assert "pending" in [ack["status"] for ack in acks]
        assert {ack["code"] for ack in refused} == {"DIAL_QUEUE_FULL"}
        assert refused[0]["extras"]["retry_after_s"] > 0
        await line.agent.wait("call.ended", count=6)
        taken = line.twilio.created_at
        assert len(taken) == 6 - len(refused)
        assert all(later - earlier > 0.6 for earlier, later in pairwise(taken))


async def test_a_dial_that_waits_can_be_given_up(tmp_path: Path) -> None:
    async with phone(tmp_path, dials_per_s=0.5) as line:
        line.twilio.callee = Callee(answer_after_s=5)
        await line.dial()
        second = await line.dial(OTHER)
        dial_id = second["extras"]["dial_id"]
        assert (await line.says("call.hangup", dial_id))["status"] == "success"
        ended = await line.agent.wait("call.ended", call_id=dial_id)
        assert ended["reason"] == "client_hangup"
        assert line.server.services.calls.expected <= 1


async def test_capacity_counts_calls_that_are_being_dialled(tmp_path: Path) -> None:
    async with phone(tmp_path, max_calls=1) as line:
        line.twilio.callee = Callee(answer_after_s=3)
        await line.dial()
        ack = await line.dial(OTHER)
        assert (ack["status"], ack["code"]) == ("error", "SERVER_AT_CAPACITY")
        inbound = line.twilio.call(OTHER, TO)
        assert await inbound.ended() == "busy"


async def test_the_config_of_a_call_goes_before_that_of_its_agent(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": "Hello."}, channel={"language": "es"}) as line:
        await line.dial(config={"greeting": {"de": "Guten Tag."}, "language": "de"})
        started = await line.agent.wait("call.started")
        assert started["language"] == "de"
        confirmed = await line.agent.wait("message.confirmed")
        assert confirmed["text"] == "Guten Tag."


@pytest.mark.parametrize(
    ("verdict", "answered_by"), [("human", "human"), ("machine_start", "machine"), ("unknown", "unknown")]
)
async def test_row_17_amd_async_human_machine_unknown(tmp_path: Path, verdict: str, answered_by: str) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callee = Callee(answered_by=verdict)
        await line.dial(machine_detection="start")
        told = await line.agent.wait("call.answered_by")
        assert (told["answered_by"], told["known_from"]) == (answered_by, "carrier")
        assert told["detail"] == verdict
        call = await line.twilio.placed()
        # The bot speaks meanwhile: the callee hears no dead air.
        assert (call.fields["AsyncAmd"], call.fields["MachineDetection"]) == (["true"], ["Enable"])
        assert not call.over


async def test_row_17_amd_callback_after_hangup(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callee = Callee(answered_by="machine_end_beep", machine_after_s=0.8)
        await line.dial(machine_detection="end", on_machine="hangup")
        await line.agent.wait("call.started")
        call = await line.twilio.placed()
        call.hang_up()
        await line.agent.wait("call.ended")
        await call.until(lambda: any("machine" in path for path, _ in call.answers), "the verdict")
        await asyncio.sleep(0.1)
        assert not line.agent.of("call.answered_by")
        assert len(line.agent.of("call.ended")) == 1
        assert [status for path, status in call.answers if "machine" in path] == [204]


async def test_a_machine_is_hung_up_on_where_that_is_wanted(tmp_path: Path) -> None:
    async with phone(tmp_path, config={"greeting": "A long greeting that is not heard to its end."}) as line:
        line.twilio.callee = Callee(answered_by="machine_start", machine_after_s=0.3)
        await line.dial(machine_detection="start", on_machine="hangup")
        ended = await line.agent.wait("call.ended")
        assert (ended["reason"], "machine" in ended["detail"]) == ("client_hangup", True)
        in_order(line.agent.frames)
        assert await (await line.twilio.placed()).ended() == "completed"


async def test_an_agent_that_goes_while_it_rings_takes_its_call_along(tmp_path: Path) -> None:
    async with phone(tmp_path, agent_grace_s=0.2) as line:
        line.twilio.callee = Callee(answer_after_s=8)
        await line.dial()
        await line.agent.wait("call.dialing")
        await line.agent.socket.close()
        assert await (await line.twilio.placed()).ended() == "canceled"
        assert len(line.server.services.calls) == 0


async def test_a_call_can_be_placed_over_http(tmp_path: Path) -> None:
    async with phone(tmp_path) as line, httpx.AsyncClient(base_url=line.server.url) as http:
        headers = {"Authorization": f"Bearer {KEY}"}
        body = {"agent_id": "tester", "to": FROM, "greeting": "Hello.", "metadata": {"order": 7}}
        answer = await http.post("/v1/calls", json=body, headers=headers)
        assert answer.status_code == 201
        told = answer.json()
        assert told["call_id"] == (await line.twilio.placed()).sid
        started = await line.agent.wait("call.started")
        assert (started["call_id"], started["metadata"]) == (told["call_id"], {"order": 7})
        for wrong, status, code in (
            ({**body, "agent_id": "nobody"}, 404, "AGENT_UNKNOWN"),
            ({**body, "to": "nonsense"}, 422, "DIAL_REFUSED"),
            ({**body, "to": 7}, 400, "REGISTRATION_ERROR"),
            ({**body, "from": "+15559990000"}, 502, "CARRIER_ERROR"),
        ):
            answer = await http.post("/v1/calls", json=wrong, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        bad = await http.post("/v1/calls", json=body, headers={"Authorization": "Bearer wrong"})
        assert bad.status_code == 401
        assert len(line.twilio.created_at) == 1
