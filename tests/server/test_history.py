"""What an agent asks and changes of a call's history: each request has one answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from structlog import get_logger
from structlog.testing import capture_logs

from pipeline.events import CallEnded, EndReason, Utterance
from pipeline.session import Session
from server.call import Call
from server.calls import CallLimits, CallRegistry
from server.clock import Clock
from server.doors import history
from server.doors.desk import Desk
from server.engines import EnginePool
from server.past import StoreUnavailable
from server.protocol import AnyHistoryCommand, parse_command, to_json
from server.recordings import Recordings
from server.resolve import Defaults, resolve
from server.ring import Entry
from server.selection import Available, Offer
from server.wire import CallFacts
from tests.fakes.leg import FakeLeg
from tests.fakes.llm import FakeLlm
from tests.fakes.loop import run_virtual
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad
from tests.server.site import site
from tests.server.test_calls import Owner, agent_of

DEFAULTS = Defaults(tts=Offer("tts", (Available("fake"),)), llm=Offer("llm", (Available("fake"),)))
HI = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]


class Away:
    """A store that cannot be read."""

    durable = True

    async def told(self, call_id: str, names: object) -> list[Entry]:
        raise StoreUnavailable("the database is away")


class Line:
    """A connection and a call of it."""

    def __init__(self, calls: CallRegistry, call: Call, leg: FakeLeg) -> None:
        self.calls = calls
        self.call = call
        self.leg = leg

    @property
    def session(self) -> Session:
        assert self.call.session is not None
        return self.call.session

    def ask(
        self, event: str, owner: Owner | None = None, call_id: str = "CA1", **fields: Any
    ) -> dict[str, Any]:
        asked = {"call_id": call_id, "request_id": f"rq_{event}", **fields}
        command = cast(AnyHistoryCommand, parse_command(json.dumps({"event": event, **asked})))
        asking = owner or self.call.owner
        assert asking is not None
        told: dict[str, Any] = json.loads(to_json(history.answer(command, self.calls, asking)))
        assert (told.pop("call_id"), told.pop("request_id")) == (call_id, f"rq_{event}")
        assert told.pop("event") == ("history.data" if event == "history.get" else "history.updated")
        return told


@asynccontextmanager
async def a_call(tmp_path: Path, *, thinks: bool = True) -> AsyncIterator[Line]:
    voice = FakeTts()
    await voice.start()
    pool = EnginePool(FakeVad(), (), (voice,), (FakeLlm(),))
    agent = agent_of(Owner())
    if thinks:
        agent.configuration["llm"] = "fake"
    async with asyncio.TaskGroup() as tasks:
        clock = Clock(asyncio.get_running_loop())
        calls = CallRegistry(pool.for_call, CallLimits(), clock, Recordings(tmp_path), tasks)
        call = calls.ring(CallFacts("CA1", "x", "+1", "+2"), agent, resolve([agent.configuration], DEFAULTS))
        calls.connecting(call)
        leg = FakeLeg()
        leg.listener = calls.start(call, leg)
        await leg.silence(0.1)
        yield Line(calls, call, leg)
        await calls.drain(0.0)


def test_the_history_is_read_and_written(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            assert line.ask("history.get") == {"agent_id": "x", "messages": []}
            assert line.ask("history.add", messages=HI) == {"agent_id": "x", "count": 2}
            nested = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
            asked = {"role": "assistant", "content": None, "tool_calls": [nested, {**nested, "id": "c2"}]}
            result = {"role": "tool", "tool_call_id": "c1", "content": "ten"}
            assert line.ask("history.add", messages=[asked, result])["count"] == 4
            assert line.ask("history.get")["messages"] == [
                *HI, {"role": "assistant", "content": "", "tool_calls": [nested]}, result,
            ]  # fmt: skip
            assert line.ask("history.set", messages=line.ask("history.get")["messages"])["count"] == 4
            assert line.ask("history.set", messages=HI[:1])["count"] == 1
            assert line.ask("history.clear")["count"] == 0
            assert line.ask("history.get")["messages"] == []

    run_virtual(main())


def test_what_does_not_fit_changes_nothing_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            many = [{"role": "user", "content": "x"}] * 10_000
            assert line.ask("history.set", messages=many)["count"] == 10_000
            refused = line.ask("history.add", messages=HI)
            assert refused["count"] == 10_000
            assert refused["error"] == "a history has at most 10000 messages (this would have 10002)"
            first, second = ({f"{half}{i}": "" for i in range(150)} for half in "ab")
            assert "error" not in line.ask("history.set_vars", vars=first)
            told = line.ask("history.set_vars", vars=second)
            assert told["error"] == "a call has at most 200 variables (these would be 300)"

    run_virtual(main())


def test_the_prompt_is_changed_by_requests(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path) as line:
            assert line.ask("history.set_instructions", prompt="Be {{how}}.") == {"agent_id": "x", "count": 0}
            assert line.ask("history.set_vars", vars={"how": "kind"})["count"] == 0
            assert line.ask("history.add_context", text="It rains.")["count"] == 0
            assert line.ask("history.add_context", text="It is late.")["count"] == 0
            system = line.session.answering.briefing.prompt.render(0.0).text.split("\n\n")
            assert (system[0], *system[2:]) == ("Be kind.", "It rains.", "It is late.")
            line.ask("history.clear")
            assert line.session.answering.briefing.prompt.render(0.0).text.startswith("Be kind.")

    run_virtual(main())


@pytest.mark.parametrize("event", ["history.get", "history.clear"])
def test_who_cannot_be_answered_is_told_why(tmp_path: Path, event: str) -> None:
    empty: dict[str, Any] = {"messages": []} if event == "history.get" else {"count": 0}

    async def main() -> None:
        async with a_call(tmp_path) as line:
            nobodys = line.ask(event, call_id="CA2")
            assert nobodys == {**empty, "error": "this connection has no call 'CA2'"}
            others = line.ask(event, owner=Owner())
            assert others == {**empty, "error": "this connection has no call 'CA1'"}
            line.session.end(EndReason.HANGUP, "")
            assert line.ask(event) == {**empty, "error": "the call is over"}
            await asyncio.sleep(0.1)
            assert line.calls.get("CA1") is None
            assert line.ask(event) == {**empty, "error": "the call is over"}
        async with a_call(tmp_path, thinks=False) as line:
            why = (
                {}
                if event == "history.get"
                else {"error": "this call has no language model in the server: configure llm"}
            )
            assert line.ask(event) == {"agent_id": "x", **empty, **why}

    run_virtual(main())


def test_an_agent_that_thinks_itself_may_read_what_was_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_call(tmp_path, thinks=False) as line:
            line.session.saying.reply("m1", "Hello there.", "")
            await line.leg.silence(3.0)
            said = {"role": "assistant", "content": "Hello there."}
            assert line.ask("history.get") == {"agent_id": "x", "messages": [said]}
        async with a_call(tmp_path) as line:
            line.session.saying.reply("m1", "Hello there.", "")
            await line.leg.silence(3.0)
            assert line.ask("history.get")["messages"] == []

    run_virtual(main())


def test_a_bug_of_ours_is_an_answer_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with capture_logs():
            await broken()

    async def broken() -> None:
        async with a_call(tmp_path) as line:
            monkeypatch.setattr(line.session.answering.dialogue, "clear", lambda: 1 / 0)
            assert line.ask("history.clear")["error"] == "internal error"
            assert line.session.ended

    run_virtual(main())


def test_of_a_call_that_is_over_what_is_kept_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            now = asyncio.get_running_loop().time()
            lines = (Utterance("user", "hello"), Utterance("assistant", "Good day."))
            made.calls._finish(call, CallEnded(EndReason.HANGUP, "", now, 1.0, lines))
            made.calls._told(call)
            owner = made.agent.owner
            told: list[dict[str, Any]] = []
            desk = Desk(owner, made.services, lambda e: told.append(json.loads(to_json(e))), get_logger())

            async def ask(event: str, call_id: str = "CA1", **fields: Any) -> dict[str, Any]:
                asked = {"event": event, "call_id": call_id, "request_id": "rq", **fields}
                desk.handle(parse_command(json.dumps(asked)))
                await asyncio.sleep(0.01)
                return told.pop()

            found = await ask("history.get")
            assert (found["agent_id"], found["request_id"]) == ("Tester", "rq")
            assert [line["content"] for line in found["messages"]] == ["hello", "Good day."]
            assert "over" in (await ask("history.add", messages=HI))["error"], "nothing is changed any more"
            assert "none that is still kept" in (await ask("history.get", "CA9"))["error"]
            made.book.store = Away()  # type: ignore[assignment]
            away = await ask("history.get")
            assert "cannot be read at the moment (the database is away)" in away["error"]
            assert away["messages"] == []
            made.book.store = made.services.kept.calls
            other = Desk(Owner(), made.services, lambda e: told.append(json.loads(to_json(e))), get_logger())
            command = {"event": "history.get", "call_id": "CA1", "request_id": "rq"}
            other.handle(parse_command(json.dumps(command)))
            await asyncio.sleep(0.01)
            assert "none that is still kept" in told.pop()["error"], "it is somebody else's"

    run_virtual(main())
