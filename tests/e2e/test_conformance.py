"""A client that walks the whole wire: every command as it may and may not be, every event at least once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets

from pipeline.events import CallStarted, Event
from pipeline.turnlog import Switches
from server.journal import Journal
from server.protocol import EVENTS, Connect
from server.ring import Entry
from telephony.carriers.twilio.simulator import Clip
from tests.e2e.harness import KEY, Frame, connected, in_order, registered, running
from tests.e2e.phone import FROM, OTHER, TO, Phone, phone
from tests.e2e.test_openai import SPOKEN, Talk, talking
from tests.e2e.test_tools import clock, gives
from tests.fakes.derived import derived_in_order
from tests.fakes.openai_endpoint import Plan
from tests.fakes.promises import segments_in_order, sides_in_order, turns_in_order
from tests.fakes.twilio import Callee, FakeTwilio
from tests.protocol.schema import DEFINITIONS, faults
from tests.protocol.walker import (
    REFUSED,
    UNKNOWN,
    WALKED,
    Walker,
    acks_of,
    answer_of,
    configures,
    faults_of,
    refused,
    told_of,
)

pytestmark = pytest.mark.e2e

KIND_OF = {str(event.model_fields["event"].default): event.__name__ for event in EVENTS}
PATIENT = {f"{stage}_{wait}_s": 60.0 for stage in ("stt", "tts", "llm") for wait in ("patience", "timeout")}
"""On a busy machine the answer to a request may be late. A second one would get what is planned for the next."""
SOON = {"reply": "This is an answer that takes a while to say."}
"""Long enough to be interrupted, and no longer: it is heard in real time."""
EXCEPTIONS: dict[str, str] = {
    "call.routed": "tests/e2e/test_handover.py",
    "call.route_failed": "tests/e2e/test_handover.py",
    "call.transferring": "tests/e2e/test_phone_transfer.py",
    "call.transferred": "tests/e2e/test_phone_transfer.py",
    "call.transfer_failed": "tests/e2e/test_phone_transfer.py",
    "supervisor.said": "tests/e2e/test_supervising.py",
    "supervisor.whispered": "tests/e2e/test_supervising.py",
    "handoff.requested": "tests/e2e/test_supervising.py",
    "handoff.active": "tests/e2e/test_supervising.py",
    "handoff.released": "tests/e2e/test_supervising.py",
}
"""Events that no call here can see, and why."""


def valid(frames: list[Frame]) -> None:
    """Each is declared, and is what the schema says."""
    for frame in frames:
        assert list(faults(frame, DEFINITIONS[KIND_OF[frame["event"]]])) == [], frame
    in_order(frames)


@asynccontextmanager
async def walking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Walker]:
    """A live call; at its end it must still be one that can be heard."""
    monkeypatch.setattr("server.doors.agent.ERRORS_PER_S", 10_000)
    async with (
        FakeTwilio() as twilio,
        running(tmp_path, dials_per_s=50.0, **twilio.settings) as server,
        registered(server.ws, session_limits={"idle_timeout_seconds": 0}) as agent,
    ):
        await twilio.serve(server.url)
        await agent.send("agent.create", agent_id="another", session_limits={"idle_timeout_seconds": 0})
        twilio.callee = Callee("busy")
        call = twilio.call(FROM, TO)
        await agent.wait("session.ready")
        walker = Walker(agent, call.sid)
        yield walker
        if not walker.over:
            await agent.send("bot.clear", call_id=call.sid)
            await agent.send("bot.reply", call_id=call.sid, message_id="alive", text="Alive.")
            await agent.wait("bot.finished", message_id="alive")
            call.hang_up()
        await agent.wait("call.ended", call_id=call.sid)
        valid(agent.frames)


@pytest.mark.parametrize("full", [False, True])
async def test_every_command_does_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    async with walking(tmp_path, monkeypatch) as walker:
        wrong: list[tuple[str, object]] = []
        for command in WALKED:
            name, answer = command.__name__, answer_of(command)
            frames = await walker.ask(walker.frame(command, full=full))
            wrong += [(name, fault) for fault in faults_of(frames)]
            if [code for _, code in acks_of(frames)] != [REFUSED.get(name)]:
                wrong.append((name, acks_of(frames)))
            if answer is not None and not told_of(frames, answer):
                wrong.append((name, f"was not answered by {answer}"))
        assert wrong == []


async def test_every_fault_is_told_with_its_field_and_has_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with walking(tmp_path, monkeypatch) as walker:
        tried = 0
        for command in WALKED:
            for field, frame in refused(command, walker.frame(command)):
                error, *more = await walker.ask(frame)
                if error["event"] == "line.error":
                    assert (error["number"], error["code"]) == (frame["number"], "LINE_CONFIG_ERROR")
                    assert field in error["error"], frame
                    assert acks_of(more) == ([] if field == "ack" else [("error", "LINE_CONFIG_ERROR")])
                    continue
                if error["event"] != "error":
                    # It is waited for: the answer to it says what is wrong.
                    assert (field in ("call_id", "request_id"), answer_of(command)) == (False, error["event"])
                    assert error["request_id"] == frame["request_id"]
                    assert field in error["error"], frame
                    assert acks_of(more) == ([] if field == "ack" else [("error", "BAD_MESSAGE")]), frame
                    continue
                acked = [] if field == "ack" else [("error", error["code"])]
                assert (acks_of(more), len(more)) == (acked, len(acked)), frame
                assert error["code"] in ("BAD_MESSAGE", "REGISTRATION_ERROR"), frame
                assert error["key"].split(".")[0] == field, (frame, error)
                assert field in error["error"], frame
                tried += 1
        assert tried > 500


async def test_unknown_keys_are_no_fault_and_are_told_where_they_configure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with walking(tmp_path, monkeypatch) as walker:
        for command in WALKED:
            frames = await walker.ask({**walker.frame(command), UNKNOWN: {"of": "a newer client"}})
            assert faults_of(frames) == [], command
            warned = [frame["keys"] for frame in told_of(frames, "server.warning") if "keys" in frame]
            assert ([UNKNOWN] in warned) == configures(command), command


async def test_every_fault_of_the_first_message_is_told_before_the_socket_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        for field, frame in refused(Connect, {"event": "connect", "api_key": KEY}):
            async with websockets.connect(f"{server.ws}/client", compression=None) as sock:
                await sock.send(json.dumps(frame))
                error = json.loads(await sock.recv())
                assert (error["event"], error["code"]) in (
                    ("error", "BAD_MESSAGE"),
                    ("error", "UNAUTHORIZED"),
                )
                assert error.get("key", field) == field
                with pytest.raises(websockets.ConnectionClosed):
                    await sock.recv()
                assert sock.close_code == 1008


# --- every event ------------------------------------------------------------------------------------------


async def _in_turns(talk: Talk) -> None:
    """An agent that is not ready; tools that work and fail, thoughts, a bot that is paused, and one that is cut
    off early."""
    del talk.agent.on["llm.before"]
    for command in ("skill.load", "skill.unload"):
        await talk.agent.send(command, call_id=talk.call.call_sid, skill="billing")
    talk.agent.on["llm.tool_call"] = gives({"time": "ten"})
    talk.endpoint.llm.next(Plan(tool_calls=(("clock", "{}"), ("nobody", "{}"))))
    talk.endpoint.llm.next(
        Plan(reasoning="Well. It is ten.", text="It is ten o'clock and this takes a while to say.")
    )
    await talk.agent.wait("bot.finished")  # The greeting.
    await talk.ask()
    speaking = await talk.agent.wait("bot.speaking", count=2)
    # A recogniser may be asked more than once for what it hears: what it is to answer stands until that was told.
    talk.endpoint.stt.plan = Plan(text="")
    talk.call.say(Clip.from_ulaw(SPOKEN.ulaw[SPOKEN.onset : SPOKEN.onset + 3600], "short"))
    await talk.agent.wait("bot.resumed")
    talk.endpoint.stt.plan = Plan()
    await talk.agent.wait("bot.finished", message_id=speaking["message_id"])
    talk.call.say(SPOKEN)
    await talk.agent.wait("bot.speaking", count=3)
    talk.call.say(SPOKEN)
    await talk.agent.wait("message.aborted")
    await talk.agent.wait("bot.finished", count=3)


async def _hesitating(talk: Talk) -> None:
    """A turn that seems over and is not, twice; then a model that says nothing, and one that fails."""
    call_id = talk.call.call_sid
    talk.endpoint.stt.plan = Plan(text="I would like to book a")
    talk.call.say(SPOKEN)
    await talk.agent.wait("turn.pause")
    talk.endpoint.stt.plan = Plan()
    talk.call.say(SPOKEN)
    await talk.agent.wait("turn.resumed")
    await talk.agent.wait("eager.turn")
    talk.call.say(SPOKEN)
    await talk.agent.wait("turn.continued")
    await talk.agent.wait("bot.finished")
    talk.endpoint.llm.plan = Plan(text="")
    talk.call.say(SPOKEN)
    await talk.agent.wait("llm.no_response")
    for command in ("history.get", "history.clear"):
        await talk.agent.send(command, call_id=call_id, request_id="walked")
    talk.endpoint.llm.plan = Plan(status=400)
    talk.call.say(SPOKEN)
    await talk.agent.wait("llm.error")
    await talk.agent.send(
        "bot.reply", call_id=call_id, message_id="stale", text="Nobody hears it.", in_reply_to="another"
    )
    await talk.agent.wait("reply.rejected")
    for command, answer in (
        ("call.hold", "call.held"),
        ("call.unhold", "call.unheld"),
        ("call.mute", "call.muted"),
        ("call.unmute", "call.unmuted"),
    ):
        await talk.agent.send(command, call_id=call_id)
        await talk.agent.wait(answer)


async def _left_alone(talk: Talk) -> None:
    """Somebody takes over and gives it back; then nobody says anything any more."""
    for command, answer in (("session.pause", "session.paused"), ("session.resume", "session.resumed")):
        await talk.agent.send(command, agent_id="tester")
        await talk.agent.wait(answer)
    limits = {"idle_timeout_seconds": 0.6, "idle_warning_seconds": 0.3, "idle_grace_seconds": 0.1}
    # Nobody has said anything for a while: a limit that is over already would be reached without a warning.
    await talk.agent.send("session.reset_idle", call_id=talk.call.call_sid)
    await talk.agent.send("session.configure", session_id=talk.call.call_sid, session_limits=limits)
    await talk.agent.wait("session.timeout")


async def _registering(talk: Talk) -> list[Frame]:
    """All that has no call: registrations and their end, warnings, and who goes silent."""
    url = f"ws://{talk.agent.socket.remote_address[0]}:{talk.agent.socket.remote_address[1]}"
    async with connected(url, resume={"CAlost": 7}) as first, connected(url) as second:
        await first.send("agent.create", agent_id="other", no_such_key=1)
        await first.send("agent.configure", agent_id="other", language="en")
        await first.send("channel.add", agent_id="other", type="phone", ref="+15550003333")
        await first.send("channel.configure", agent_id="other", ref="+15550003333", language="en")
        await first.send("channel.remove", agent_id="other", ref="+15550003333")
        await first.wait("channel.removed")
        # One more than has come: until then it was not silent for long enough to be given up.
        await first.wait("ping", count=len(first.of("ping")) + 1)
        await second.send("line.create", number="+15550004444")
        await second.send("line.create", number="*")
        await second.send("line.destroy", number="+15550004444")
        await second.wait("line.destroyed")
        await second.send("ping", ack="one")
        await second.wait("pong")
        await second.send("agent.create", agent_id="other")
        await first.wait("agent.displaced")
        return [*first.frames, *second.frames]


async def _controlled(line: Phone) -> None:
    """Keys both ways, and two forwards, of which nobody takes the first."""
    call = await line.twilio.placed()
    (await call.stream()).dtmf("1")
    await line.agent.wait("call.dtmf_received")
    await line.says("call.dtmf", call.sid, digits="2")
    await line.agent.wait("call.dtmf_sent")
    for callee, answer in ((Callee("busy"), "call.forward_failed"), (Callee(), "call.forwarded")):
        line.twilio.callees[OTHER] = callee
        await line.says("call.forward", call.sid, to=OTHER)
        await line.agent.wait(answer)
    await line.agent.wait("call.ended", call_id=call.sid)


async def test_every_event_is_seen_and_is_what_the_schema_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[Event]] = {}
    append = Journal.append

    def appended(self: Journal, event: Event) -> Entry:
        told.setdefault(self._call.call_id, []).append(event)
        return append(self, event)

    monkeypatch.setattr(Journal, "append", appended)
    monkeypatch.setattr("server.doors.agent.PROBE_S", 0.2)
    monkeypatch.setattr("server.agents.STALE_S", 0.1)
    seen: list[Frame] = []
    watched: dict[str, Any] = {
        "analysis": {"send_audio_metrics": True},
        "recording": {"consent": "tone"},
        "tools": [clock()],
        "preparing": {"timeout_ms": 100},
        "skills": [{"name": "billing", "activation": "manual"}],
        "events": {"history_snapshot": True},
    }

    async def one() -> None:
        async with talking(
            tmp_path / "one", fixture=SOON, settings=PATIENT, greeting="Hello.", **watched
        ) as talk:
            for language in ("es", "en"):
                await talk.agent.send("session.configure", session_id=talk.call.call_sid, language=language)
            for command in ("pause", "resume"):
                await talk.agent.send(f"recording.{command}", call_id=talk.call.call_sid)
            await _in_turns(talk)
            talk.call.hang_up()
            await talk.agent.wait("call.recording")
        seen.extend(talk.agent.frames)

    async def two() -> None:
        async with talking(tmp_path / "two", fixture=SOON, settings=PATIENT) as talk:
            await _hesitating(talk)
        seen.extend(talk.agent.frames)

    async def four() -> None:
        async with talking(tmp_path / "four", fixture=SOON, settings=PATIENT) as talk:
            seen.extend(await _registering(talk))
            await _left_alone(talk)
        seen.extend(talk.agent.frames)

    async def three() -> None:
        async with phone(tmp_path / "three", ringing=True) as line:
            line.agent.on["call.ringing"] = lambda frame: {
                "event": "call.reject",
                "agent_id": "tester",
                "call_id": frame["call_id"],
            }
            assert await line.twilio.call(FROM, TO).ended() == "busy"
            await line.dial(machine_detection="start")
            await line.agent.wait("call.answered_by")
            await _controlled(line)
        seen.extend(line.agent.frames)

    async with asyncio.TaskGroup() as tasks:
        for calls in (one, two, three, four):
            tasks.create_task(calls())
    valid(seen)
    assert KIND_OF.keys() - {frame["event"] for frame in seen} == EXCEPTIONS.keys()
    for events in told.values():
        while events and not isinstance(events[0], CallStarted):
            del events[0]  # It rang or was dialled, and perhaps never began.
        if not events:
            continue
        segments_in_order(events)
        turns_in_order(events)
        sides_in_order(events)
        derived_in_order(events, Switches())
