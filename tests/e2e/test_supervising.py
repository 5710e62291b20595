"""A person in a live call, over a real server: every verb, and what its agent is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from server.protocol import EVENTS
from tests.e2e.harness import KEY, Frame, in_order, registered, running
from tests.e2e.phone import FROM, OTHER, TO, Phone, phone
from tests.fakes.twilio import Callee, FakeCall, loudness, tone
from tests.protocol.schema import DEFINITIONS, faults

pytestmark = pytest.mark.e2e

KIND_OF = {str(event.model_fields["event"].default): event.__name__ for event in EVENTS}


async def test_a_person_takes_a_call_over_gives_it_back_and_ends_it(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello there.") as agent,
        server.carrier() as carrier,
        httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        call = await carrier.place_call("+15550001111", "+15550002222")
        call_id = (await agent.wait("call.started"))["call_id"]

        async def ask(verb: str, **fields: Any) -> dict[str, Any]:
            reply = await http.post(f"/v1/calls/{call_id}/supervise", json={"verb": verb, **fields})
            assert reply.is_success, reply.text
            return dict(reply.json())

        await agent.wait("bot.finished")
        await ask("whisper", text="He is an old friend.", by="Ann")
        await ask("takeover", by="Ann")
        await agent.wait("handoff.active")
        await agent.send("bot.reply", call_id=call_id, message_id="m1", text="Not heard.", in_reply_to="")
        assert (await agent.wait("bot.interrupted", message_id="m1"))["reason"] == "cancelled"
        said = await ask("say", text="This is Ann, hello.", by="Ann")
        assert (await agent.wait("bot.finished", message_id=said["message_id"]))["duration_ms"] > 500
        await ask("release", by="Ann")
        await agent.wait("handoff.released")
        await ask("say", text="Good bye.")
        await ask("end", by="Ann")
        ended = await agent.wait("call.ended")
        assert (ended["reason"], ended["detail"]) == ("client_hangup", "ended by Ann")
        assert [line["content"] for line in ended["transcript"]] == [
            "Hello there.",
            "This is Ann, hello.",
            "Good bye.",
        ]
        (whispered,) = agent.of("supervisor.whispered")
        assert (whispered["text"], whispered["by"]) == ("He is an old friend.", "Ann")
        assert [event["by"] for event in agent.of("supervisor.said")] == ["Ann", "supervisor"]
        assert len(agent.of("handoff.requested")) == len(agent.of("handoff.active")) == 1
        for frame in agent.frames:
            assert list(faults(frame, DEFINITIONS[KIND_OF[frame["event"]]])) == [], frame
        in_order(agent.frames)
        call.hang_up()


# --- the caller is handed on ------------------------------------------------------------------------------

CALLER_HZ, HUMAN_HZ = 600.0, 1100.0


async def asked(line: Phone, call: FakeCall, verb: str, **fields: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=line.server.url, headers=headers, trust_env=False) as http:
        return await http.post(f"/v1/calls/{call.sid}/supervise", json={"verb": verb, **fields})


def last_heard(call: FakeCall) -> np.ndarray[Any, Any]:
    return np.concatenate([*call.ear[-25:], np.zeros(0, dtype=np.int16)])


async def begun(line: Phone) -> FakeCall:
    call = line.twilio.call(FROM, TO)
    call.mouth = tone(CALLER_HZ)
    await line.agent.wait("call.started")
    return call


async def over(line: Phone, *calls: FakeCall) -> Frame:
    ended = await line.agent.wait("call.ended")
    for call in calls:
        assert await call.ended() == "completed"
    for frame in line.agent.frames:
        if frame["event"] in KIND_OF:
            assert list(faults(frame, DEFINITIONS[KIND_OF[frame["event"]]])) == [], frame
    in_order(line.agent.frames)
    return ended


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_person_hands_the_caller_on_to_somebody(tmp_path: Path, taken_over: bool) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee(answer_after_s=1.0)
        call = await begun(line)
        if taken_over:
            assert (await asked(line, call, "takeover", by="Ann")).status_code == 200
        said = {"message": "I get somebody for you.", "announcement": "A caller for you."}
        reply = await asked(line, call, "transfer", to=OTHER, by="Ann", **said)
        assert (reply.status_code, reply.json()) == (202, {"verb": "transfer", "status": "processing"})
        again = await asked(line, call, "transfer", to=OTHER)
        assert (again.status_code, again.json()["code"]) == (409, "CALL_BUSY")
        assert (await line.agent.wait("call.transferring"))["to"] == OTHER
        assert [frame["text"] for frame in line.agent.of("message.confirmed")] == [said["message"]]
        other = await line.twilio.placed()
        other.mouth = tone(HUMAN_HZ)
        assert (await line.agent.wait("call.transferred"))["to"] == OTHER
        assert other.said == [said["announcement"]]
        await asyncio.sleep(0.6)
        assert loudness(last_heard(call), HUMAN_HZ) > 0.2
        assert loudness(last_heard(other), CALLER_HZ) > 0.2
        other.hang_up()
        ended = await over(line, call, other)
        assert (ended["reason"], OTHER in ended["detail"]) == ("hangup", True)


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_caller_whom_nobody_takes_comes_back_to_who_had_him(tmp_path: Path, taken_over: bool) -> None:
    async with phone(tmp_path) as line:
        line.twilio.callees[OTHER] = Callee("busy")
        call = await begun(line)
        if taken_over:
            await asked(line, call, "takeover", by="Ann")
        assert (await asked(line, call, "transfer", to=OTHER, by="Ann")).status_code == 202
        failed = await line.agent.wait("call.transfer_failed")
        assert (failed["to"], failed["reason"]) == (OTHER, "busy")
        await line.agent.wait("call.unheld")
        refused = await line.says("bot.reply", call.sid, message_id="m", text="Sorry.", in_reply_to="")
        assert refused["status"] == ("error" if taken_over else "processing"), "it is still hers"
        said = (await asked(line, call, "say", text="Nobody is there.", by="Ann")).json()
        await line.agent.wait("bot.finished", message_id=said["message_id"])
        stream = await call.stream(2)
        assert stream.playback.loud, "he hears it where he is now"
        call.hang_up()
        await over(line, call)


async def test_what_cannot_be_handed_on_is_refused_and_the_call_goes_on(tmp_path: Path) -> None:
    async with phone(tmp_path) as line:
        call = await begun(line)
        for to in ("*", "nobody", "12"):
            reply = await asked(line, call, "transfer", to=to)
            assert (reply.status_code, reply.json()["code"]) == (422, "TRANSFER_REFUSED")
            assert reply.json()["key"] == "to"
        assert not line.agent.of("error"), "the agent did not ask"
        said = (await asked(line, call, "say", text="Still here.")).json()
        await line.agent.wait("bot.finished", message_id=said["message_id"])
        call.hang_up()
        await over(line, call)
