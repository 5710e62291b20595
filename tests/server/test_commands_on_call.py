"""What a command does to a call, and what its sender is told of that: in virtual time, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from pipeline.session import Session
from server.call import Call
from server.calls import CallRegistry
from server.doors.commands_on_call import on_call
from server.protocol import (
    DONE,
    AnyCallCommand,
    ErrorCode,
    ErrorEvent,
    Event,
    Outcome,
    ServerWarning,
    parse_command,
)
from server.resolve import resolve
from server.ring import Entry
from server.wire import CallFacts
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.server.test_calls import DEFAULTS, Owner, agent_of, registry


class Line:
    """A live call and what is said to whoever commands it."""

    def __init__(self, call: Call, calls: CallRegistry) -> None:
        self.call, self.calls = call, calls
        self.told: list[Event] = []
        self.events: list[dict[str, Any]] = []
        call.watch(self)

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        self.events.append(json.loads(data))
        return True

    def of(self, event: str) -> list[dict[str, Any]]:
        return [frame for frame in self.events if frame["event"] == event]

    def do(self, event: str, **fields: Any) -> Outcome:
        command = parse_command(json.dumps({"event": event, "call_id": "CA1", **fields}))
        return on_call(self.call, cast(AnyCallCommand, command), self.told.append)


@asynccontextmanager
async def a_call(tmp_path: Path) -> AsyncIterator[Line]:
    agent = agent_of(Owner())
    async with registry(tmp_path) as calls:
        call = calls.ring(CallFacts("CA1", "x", "+1", "+2"), agent, resolve([agent.configuration], DEFAULTS))
        calls.connecting(call)
        leg = FakeLeg()
        leg.listener = calls.start(call, leg)
        await leg.silence(0.1)
        yield Line(call, calls)


def test_a_message_begins_waits_or_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            first = line.do("bot.reply", message_id="m1", text="one two three four five")
            assert (first.status, first.extras) == ("processing", {"message_id": "m1", "queue_length": 1})
            second = line.do("bot.reply", message_id="m2", text="six")
            assert (second.status, second.extras) == ("pending", {"message_id": "m2", "queue_length": 2})
            third = line.do("bot.reply.stream", action="start", message_id="m3")
            assert (third.status, third.extras["queue_length"]) == ("pending", 3)
            again = line.do("bot.reply", message_id="m2", text="six")
            assert (again.status, again.code) == ("error", ErrorCode.REPLY_REJECTED)
            assert again.extras == {"message_id": "m2", "reason": "duplicate_message_id"}
            stale = line.do("bot.reply.stream", action="start", message_id="m4", in_reply_to="gone")
            assert stale.extras["reason"] == "message_obsolete"
            assert line.do("bot.reply", message_id="m5", text=" ... ").status == "success"

    run_virtual(main())


def test_a_full_queue_refuses_what_is_unasked_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            for n in range(100):
                assert line.do("bot.reply", message_id=f"m{n}", text="one").status != "error"
            assert line.do("bot.reply", message_id="more", text="one").extras["reason"] == "queue_full"

    run_virtual(main())


def test_the_steps_of_a_stream(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            assert (
                line.do("bot.reply.stream", action="chunk", message_id="m", token="x").code
                is ErrorCode.MESSAGE_UNKNOWN
            )
            line.do("bot.reply.stream", action="start", message_id="m")
            assert line.do("bot.reply.stream", action="chunk", message_id="m", token="One. ") == Outcome()
            line.do("bot.reply.stream", action="chunk", message_id="m", token="x" * 60_000)
            long = line.do("bot.reply.stream", action="chunk", message_id="m", token="x" * 60_000)
            assert (long.code, long.extras["reason"]) == (ErrorCode.REPLY_REJECTED, "message_too_long")
            line.do("bot.reply.stream", action="start", message_id="n")
            line.do("bot.reply.stream", action="chunk", message_id="n", token="One.")
            assert line.do("bot.reply.stream", action="end", message_id="n") == Outcome()
            assert line.do("bot.reply.stream", action="end", message_id="n").code is ErrorCode.MESSAGE_UNKNOWN

    run_virtual(main())


def test_what_is_cancelled_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            assert line.do("bot.cancel") == Outcome()
            assert line.do("bot.cancel", message_id="m").code is ErrorCode.MESSAGE_UNKNOWN
            line.do("bot.reply", message_id="m1", text="one two three")
            line.do("bot.reply", message_id="m2", text="four")
            assert line.do("bot.cancel").extras == {"message_id": "m1"}
            assert line.do("bot.cancel", message_id="m2").extras == {"message_id": "m2"}
            assert line.do("bot.clear") == Outcome()

    run_virtual(main())


@pytest.mark.parametrize("event", ["call.mute", "call.unmute", "call.hold", "call.unhold", "call.hangup"])
def test_what_is_done_at_once_succeeds(tmp_path: Path, event: str) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            assert line.do(event) == Outcome()

    run_virtual(main())


def test_results_that_nobody_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            outcome = line.do("llm.tool_result", msg_id="t", results=[{"tool_call_id": "a"}])
            assert outcome.code is ErrorCode.RESULT_UNKNOWN
            (warning,) = line.told
            assert isinstance(warning, ServerWarning)
            assert warning.warning == outcome.message

    run_virtual(main())


def test_a_call_that_is_over_does_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            line.do("call.hangup")
            outcome = line.do("bot.reply", message_id="m", text="hi")
            assert (outcome.status, outcome.code) == ("error", ErrorCode.CALL_UNKNOWN)
            assert "'CA1'" in outcome.message
            await asyncio.sleep(0.1)
            assert line.do("call.mute").code is ErrorCode.CALL_UNKNOWN
            assert line.told == []

    run_virtual(main())


def test_a_fault_in_a_command_is_told_and_ends_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(session: Session) -> None:
        raise RuntimeError("a bug")

    async def main() -> None:
        async with a_call(tmp_path) as line:
            monkeypatch.setattr(Session, "mute", broken)
            assert line.do("call.mute").code is ErrorCode.INTERNAL_ERROR
            assert line.do("call.unmute").code is ErrorCode.CALL_UNKNOWN

    with capture_logs() as logs:
        run_virtual(main())
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["call.crashed"]


def test_a_configuration_that_ends_the_call_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    async def main() -> None:
        async with a_call(tmp_path) as line:
            config = resolve([{"language": "es"}], DEFAULTS)
            assert line.calls.configure(line.call, config)
            monkeypatch.setattr(Session, "reconfigure", broken)
            assert not line.calls.configure(line.call, config)
            assert line.call.session is not None
            assert line.call.session.ended

    with capture_logs():
        run_virtual(main())


def test_a_change_of_language_is_told_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            for language in ("en-GB", "es-PE", "es", "en"):
                line.calls.configure(line.call, resolve([{"language": language}], DEFAULTS))
            assert [(f["language"], f["seq"] > 1) for f in line.of("call.updated")] == [
                ("es", True),
                ("en", True),
            ]

    run_virtual(main())


def test_a_recording_that_is_not_there_is_not_paused(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            for command in ("recording.pause", "recording.resume"):
                outcome = line.do(command)
                assert outcome.code == ErrorCode.NOT_RECORDED
                assert "recording.start" in outcome.message
            assert not [frame for frame in line.events if "recording" in frame["event"]]

    run_virtual(main())


@pytest.mark.inline_io
def test_a_recording_is_paused_and_goes_on_once_each(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            assert line.calls.record(line.call)
            for command in ("pause", "pause", "resume", "resume", "pause"):
                assert line.do(f"recording.{command}") == DONE
            told = [
                (frame["event"], frame["at_ms"]) for frame in line.events if "recording" in frame["event"]
            ]
            assert told == [
                ("recording.started", 100),
                ("recording.paused", 100),
                ("recording.resumed", 100),
                ("recording.paused", 100),
            ]

    run_virtual(main())


def test_what_a_person_says_is_not_stopped_and_the_agent_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            session = line.call.session
            assert session is not None
            said, _ = session.supervised.say("one two three four five", "Ann", interrupt=False)
            for wanted in ({"message_id": said}, {}):
                refused = line.do("bot.cancel", **wanted)
                assert (refused.status, refused.code) == ("error", ErrorCode.CANCEL_REFUSED)
                assert refused.extras == {"kept": [said]}
            assert line.do("bot.clear").code is ErrorCode.CANCEL_REFUSED
            assert len(line.told) == 3
            for error in line.told:
                assert isinstance(error, ErrorEvent)
                assert (error.code, error.call_id, error.agent_id) == (ErrorCode.CANCEL_REFUSED, "CA1", "x")
                assert said in error.error
            line.do("bot.reply", message_id="m1", text="six seven eight")
            some = line.do("bot.clear")
            assert (some.status, some.extras) == ("success", {"kept": [said]})
            assert len(line.told) == 3, "its own words are gone, as it wanted"
            assert [event["message_id"] for event in line.of("bot.interrupted")] == ["m1"]
            assert line.do("bot.cancel", message_id="m1").code is ErrorCode.MESSAGE_UNKNOWN

    run_virtual(main())
