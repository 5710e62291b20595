"""Calls that ring until the agent says a word, and calls that it places."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from talkwire_agent import Agent, Call, DialFailed, Refused, RingingCall, Talkwire
from talkwire_agent.errors import ConnectionLost
from talkwire_agent.events import CallAnsweredBy, CallDialing, CallRejected
from talkwire_agent.testing import ScriptedServer, virtual_time

FROM, TO = "+15550001111", "+15550002222"
RINGING = {
    "agent_id": "shop",
    "call_id": "CA1",
    "session_id": "CA1",
    "seq": 1,
    "ts": 1.0,
    "from": FROM,
    "to": TO,
}
ENDED = {"duration_seconds": 0.0, "started_at": 1.0, "ended_at": 1.0, "messages": [], "transcript": []}


def made() -> tuple[Talkwire, Agent]:
    tw = Talkwire("key")
    agent = tw.agent("shop")
    agent.phone(TO, ringing=True)
    return tw, agent


def event(call_id: str, seq: int, **fields: Any) -> dict[str, Any]:
    return {"agent_id": "shop", "call_id": call_id, "session_id": call_id, "seq": seq, "ts": 1.0, **fields}


async def placed(server: ScriptedServer, count: int = 1) -> str:
    """Acknowledge the next dial; returns its id."""
    frame = await server.command("call.dial", count)
    dial_id = f"dial-{count}"
    server.send(
        "ack",
        ack=frame["ack"],
        command="call.dial",
        status="processing",
        agent_id="shop",
        extras={"dial_id": dial_id, "queue_length": 1},
    )
    return dial_id


@virtual_time
async def test_a_call_that_rings_is_accepted_or_rejected() -> None:
    tw, agent = made()
    seen: list[RingingCall] = []

    @agent.on("call.ringing")
    def screen(call: RingingCall) -> None:
        seen.append(call)
        if call.from_ == FROM:
            call.accept()
        else:
            call.reject("rejected")

    async with ScriptedServer(tw) as server:
        server.send("call.ringing", direction="inbound", **RINGING)
        accepted = await server.command("call.accept")
        assert (accepted["call_id"], accepted["agent_id"]) == ("CA1", "shop")
        server.send(
            "call.started", **event("CA1", 2, to=TO, direction="inbound", transport="phone", **{"from": FROM})
        )
        await server.quiet()
        assert agent.calls["CA1"].from_ == FROM
        assert not seen[0].live
        server.send("call.ringing", direction="inbound", **{**RINGING, "call_id": "CA2", "from": "anonymous"})
        rejected = await server.command("call.reject")
        assert (rejected["call_id"], rejected["reason"]) == ("CA2", "rejected")


@virtual_time
async def test_a_caller_who_gives_up_can_neither_be_accepted_nor_rejected() -> None:
    tw, agent = made()
    seen: list[Any] = []
    agent.on("call.ringing", lambda call: seen.append(call))
    agent.on("call.ended", lambda event: seen.append(event))
    async with ScriptedServer(tw) as server:
        server.send("call.ringing", direction="inbound", **RINGING)
        server.send(
            "call.ended",
            **event("CA1", 2, reason="hangup", direction="inbound", to=TO, **{"from": FROM}, **ENDED),
        )
        await server.quiet()
        (ringing,) = seen
        assert not ringing.live
        ringing.accept()
        await server.quiet()
        assert not [frame for frame in server.commands if frame["event"] == "call.accept"]


@virtual_time
async def test_what_becomes_of_a_rejected_call_is_told_with_it() -> None:
    tw, agent = made()
    seen: list[Any] = []
    agent.on("call.rejected", lambda event, call: seen.append((event, call)))
    async with ScriptedServer(tw) as server:
        server.send("call.ringing", direction="inbound", **RINGING)
        server.send("call.rejected", **event("CA1", 2, reason="busy"))
        await server.quiet()
        ((told, call),) = seen
        assert isinstance(told, CallRejected)
        assert isinstance(call, RingingCall)
        assert call.id == "CA1"


@virtual_time
async def test_a_dial_gives_its_call_when_somebody_picks_up() -> None:
    tw, agent = made()
    told: list[Any] = []
    agent.on("call.dialing", lambda event: told.append(event))
    agent.on("call.answered_by", lambda event, call: told.append((event, call)))
    async with ScriptedServer(tw) as server, asyncio.TaskGroup() as tasks:

        async def dial() -> Call:
            return await agent.dial(
                "+1 555 000 3333", greeting="Hello.", metadata={"order": 7}, machine_detection="start"
            )

        dialling = tasks.create_task(dial())
        dial_id = await placed(server)
        frame = server.commands[-1]
        assert {key: frame[key] for key in ("to", "greeting", "metadata", "machine_detection")} == {
            "to": "+1 555 000 3333",
            "greeting": "Hello.",
            "metadata": {"order": 7},
            "machine_detection": "start",
        }
        assert "from" not in frame
        sides = {"from": TO, "to": "+1 555 000 3333", "direction": "outbound"}
        server.send("call.dialing", **event("CA9", 1, dial_id=dial_id, **sides))
        await server.quiet()
        assert not dialling.done()
        assert isinstance(told[0], CallDialing)
        server.send("call.started", **event("CA9", 2, transport="phone", **sides))
        server.send("call.answered_by", **event("CA9", 3, answered_by="human", known_from="carrier"))
        call = await dialling
        assert (call.id, call.direction, call.to) == ("CA9", "outbound", "+1 555 000 3333")
        await server.quiet()
        answered, its = told[1]
        assert isinstance(answered, CallAnsweredBy)
        assert its is call


@virtual_time
async def test_two_dials_to_one_number_are_told_apart() -> None:
    tw, agent = made()
    async with ScriptedServer(tw) as server:
        first, second = agent.dial(FROM), agent.dial(FROM)
        one, two = await placed(server, 1), await placed(server, 2)
        sides = {"from": TO, "to": FROM, "direction": "outbound"}
        server.send("call.dialing", **event("CA2", 1, dial_id=two, **sides))
        server.send("call.dialing", **event("CA1", 1, dial_id=one, **sides))
        server.send("call.started", **event("CA2", 2, transport="phone", **sides))
        server.send("call.ended", **event("CA1", 2, reason="busy", detail="declined", **sides, **ENDED))
        assert (await second).id == "CA2"
        with pytest.raises(DialFailed, match="busy: declined") as failed:
            await first
        assert (failed.value.reason, failed.value.code) == ("busy", "")


@virtual_time
async def test_a_dial_that_the_carrier_refuses_says_why() -> None:
    tw, agent = made()
    errors: list[Any] = []
    agent.on("error", lambda event: errors.append(event.code))
    async with ScriptedServer(tw) as server:
        dial = agent.dial(FROM)
        dial_id = await placed(server)
        server.send(
            "error", **event(dial_id, 1, error="no such country", code="CARRIER_ERROR", retryable=False)
        )
        sides = {"from": TO, "to": FROM, "direction": "outbound"}
        server.send(
            "call.ended", **event(dial_id, 2, reason="failed", detail="no such country", **sides, **ENDED)
        )
        with pytest.raises(DialFailed) as failed:
            await dial
        assert (failed.value.reason, failed.value.code) == ("failed", "CARRIER_ERROR")
        await server.quiet()
        assert errors == ["CARRIER_ERROR"]


@virtual_time
async def test_a_dial_that_is_not_even_tried_is_refused() -> None:
    tw, agent = made()
    async with ScriptedServer(tw) as server:
        dial = agent.dial("nonsense", from_=TO)
        frame = await server.command("call.dial")
        assert frame["from"] == TO
        fault = {"status": "error", "code": "DIAL_REFUSED", "message": "cannot be called"}
        server.send(
            "ack", ack=frame["ack"], command="call.dial", agent_id="shop", extras={"key": "to"}, **fault
        )
        with pytest.raises(Refused, match="cannot be called") as refused:
            await dial
        assert (refused.value.code, refused.value.key) == ("DIAL_REFUSED", "to")


@virtual_time
async def test_a_bridge_gives_this_agents_side_of_the_call() -> None:
    tw, agent = made()
    async with ScriptedServer(tw) as server, asyncio.TaskGroup() as tasks:

        async def bridge() -> Call:
            return await agent.bridge("Weather", greeting="Hello.", recording=True, detect_turn_end=False)

        bridging = tasks.create_task(bridge())
        frame = await server.command("call.bridge")
        wanted = {
            "target": "Weather",
            "greeting": "Hello.",
            "media": {"recording": True},
            "detect_turn_end": False,
        }
        assert {
            key: value for key, value in frame.items() if key not in ("event", "ack", "agent_id")
        } == wanted
        extras = {"call_id": "bridge-1", "bridged_with": "bridge-2"}
        server.send(
            "ack",
            ack=frame["ack"],
            command="call.bridge",
            status="processing",
            agent_id="shop",
            extras=extras,
        )
        server.call("shop")  # Somebody else calls meanwhile.
        await server.quiet()
        assert not bridging.done()
        sides = {"from": "shop", "to": "Weather", "direction": "outbound", "transport": "bridge"}
        server.send("call.started", **event("bridge-1", 1, bridged_with="bridge-2", **sides))
        call = await bridging
        assert (call.id, call.transport, call.bridged_with) == ("bridge-1", "bridge", "bridge-2")


@virtual_time
async def test_a_dial_that_nobody_acknowledged_is_lost_with_the_connection() -> None:
    tw, agent = made()
    async with ScriptedServer(tw) as server:
        dial = agent.dial(FROM)
        await server.command("call.dial")
        server.drop()
        with pytest.raises(ConnectionLost):
            await dial
