"""An agent process is killed in the middle of a call and comes back: the call lives, and what was missed is told in
order and once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import KEY, ROOT, TIMEOUT_S, Agent, Frame, connected, in_order, running
from tests.e2e.test_openai import DELAYS, ENGINES, SPOKEN
from tests.e2e.test_tools import WISH, clock, gives
from tests.fakes.openai_endpoint import endpoint

pytestmark = pytest.mark.e2e

FROM, TO = "+15550001111", "+15550002222"
GREETING = "One two three four five six seven eight nine ten."


@dataclass
class Mortal:
    """An agent process, and all that it was told."""

    process: asyncio.subprocess.Process
    frames: list[Frame] = field(default_factory=list)

    async def wait(self, event: str, count: int = 1) -> Frame:
        async with asyncio.timeout(TIMEOUT_S):
            while len(found := [f for f in self.frames if f["event"] == event]) < count:
                assert self.process.stdout is not None
                line = await self.process.stdout.readline()
                assert line, f"it ended while waiting for {event}: {[f['event'] for f in self.frames]}"
                self.frames.append(json.loads(line))
        return found[count - 1]

    async def kill(self) -> dict[str, int]:
        """Kill it; returns how far it had come in each call."""
        self.process.kill()
        assert self.process.stdout is not None
        rest = await self.process.stdout.read()
        self.frames += [json.loads(line) for line in rest.splitlines() if line.endswith(b"}")]
        await self.process.wait()
        return {f["call_id"]: f["seq"] for f in self.frames if "seq" in f}


@asynccontextmanager
async def mortal(url: str, says: dict[str, list[Frame]], **create: Any) -> AsyncIterator[Mortal]:
    life = {"url": url, "key": KEY, "create": {"agent_id": "tester", **create}, "says": says}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.mortal", json.dumps(life), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    agent = Mortal(process)
    try:
        await agent.wait("channel.added")
        yield agent
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def back(url: str, resume: dict[str, int] | None, **create: Any) -> AsyncIterator[Agent]:
    """The same agent on a new connection; ``resume``: None for a client that knows no such thing."""
    connect: dict[str, Any] = {"protocol": None} if resume is None else {"resume": resume}
    async with connected(url, **connect) as agent:
        await agent.send("agent.create", agent_id="tester", **create)
        await agent.wait("agent.created")
        yield agent


def events(*agents: Agent | Mortal) -> list[Frame]:
    return [frame for agent in agents for frame in agent.frames if "seq" in frame]


async def test_killed_in_the_middle_of_its_greeting(tmp_path: Path) -> None:
    says = {"call.started": [{"event": "bot.reply", "message_id": "m1", "text": GREETING}]}
    async with running(tmp_path) as server, server.carrier() as carrier, mortal(server.ws, says) as first:
        call = await carrier.place_call(FROM, TO)
        await first.wait("bot.word", count=2)
        cursors = await first.kill()
        await asyncio.sleep(0.3)
        async with back(server.ws, cursors) as second:
            await second.wait("message.confirmed")
            assert (await second.wait("agent.resumed"))["calls"][0]["live"] is True
            call.hang_up()
            await second.wait("call.ended")
        in_order(events(first, second))
        assert second.of("call.started") == []


async def test_a_client_that_knows_no_resume_is_told_of_the_call_again_and_greets_but_once(
    tmp_path: Path,
) -> None:
    greets = {"event": "bot.reply", "message_id": "m1", "text": GREETING}
    says = {"call.started": [greets]}
    async with running(tmp_path) as server, server.carrier() as carrier, mortal(server.ws, says) as first:
        call = await carrier.place_call(FROM, TO)
        await first.wait("bot.word", count=2)
        await first.kill()
        await asyncio.sleep(0.3)
        async with back(server.ws, None) as second:
            started = await second.wait("call.started")
            told = next(e for e in events(first) if e["event"] == "call.started")["metadata"]
            assert (started["seq"], started["metadata"]) == (1, {**told, "resumed": True})
            assert "resumed" not in told
            await second.send(**{**greets, "call_id": started["call_id"], "message_id": "m2"})
            cut = await second.wait("bot.interrupted", message_id="m2")
            assert (cut["reason"], cut["played_ms"]) == ("cancelled", 0)
            await second.wait("message.aborted", message_id="m2", reason="duplicate_greeting")
            await second.wait("bot.finished", message_id="m1")
            call.hang_up()
            await second.wait("call.ended")
        assert second.names().count("call.started") == 1
        assert second.of("agent.resumed") == []
        seqs = [frame["seq"] for frame in events(second)[1:]]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
        assert seqs[0] > events(first)[-1]["seq"]


async def test_killed_in_the_middle_of_a_stream_and_the_call_ends_meanwhile(tmp_path: Path) -> None:
    stream = {"event": "bot.reply.stream", "message_id": "m1"}
    says = {
        "call.started": [
            {**stream, "action": "start"},
            {**stream, "action": "chunk", "token": "One two three four. And half a thou"},
        ]
    }
    async with running(tmp_path) as server, server.carrier() as carrier, mortal(server.ws, says) as first:
        call = await carrier.place_call(FROM, TO)
        await first.wait("bot.word")
        cursors = await first.kill()
        call_id = next(iter(cursors))
        # What had come of it is said to its end.
        await asyncio.sleep(4.0)
        call.hang_up()
        await call.ended()
        async with back(server.ws, {**cursors, "CAunknown": 7}) as second:
            await second.wait("call.ended")
            resumed = second.of("agent.resumed")[0]
            assert [(told["call_id"], told["live"]) for told in resumed["calls"]] == [(call_id, False)]
            # That it is not in the database either is known a moment later.
            await second.wait("agent.resumed", gone=["CAunknown"])
            assert second.of("message.confirmed")[0]["text"] == "One two three four. And half a thou"
        in_order(events(first, second))


async def test_killed_while_its_tool_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.owners.ASK_AGAIN_S", 0.2)
    config: dict[str, Any] = {"llm": "openai/gpt-4o", "tools": [clock()]}
    async with endpoint(**{**DELAYS, **WISH}) as model:
        values = {**ENGINES, "openai_base_url": model.base_url}
        async with (
            running(tmp_path, **values) as server,
            server.carrier() as carrier,
            mortal(server.ws, {}, **config) as first,
        ):
            call = await carrier.place_call(FROM, TO)
            await first.wait("call.started")
            said = call.say(SPOKEN)
            await said.finished()
            batch = await first.wait("llm.tool_call")
            cursors = await first.kill()
            await asyncio.sleep(0.5)
            async with back(server.ws, cursors, **config) as second:
                second.on["llm.tool_call"] = gives("ten past nine")
                assert (await second.wait("llm.tool_call"))["msg_id"] == batch["msg_id"]
                assert "ten past nine" in (await second.wait("message.confirmed"))["text"]
                call.hang_up()
                await second.wait("call.ended")
            in_order(events(first, second))
            assert len([f for f in events(first, second) if f["event"] == "tool.completed"]) == 1


async def test_killed_before_a_question_the_caller_is_bridged_over_and_answered(tmp_path: Path) -> None:
    delays: dict[str, Any] = {**DELAYS}
    async with endpoint(**delays) as model:
        values = {**ENGINES, "openai_base_url": model.base_url, "holding_after_s": 1.0}
        async with (
            running(tmp_path, **values) as server,
            server.carrier() as carrier,
            mortal(server.ws, {}) as first,
        ):
            call = await carrier.place_call(FROM, TO)
            await first.wait("call.started")
            said = call.say(SPOKEN)
            await first.wait("speech.started")
            cursors = await first.kill()
            await said.finished()
            await call.bot_speaking(after_s=said.voice_end_s)
            await asyncio.sleep(1.0)
            async with back(server.ws, cursors) as second:
                turn = await second.wait("turn.end")
                line = await second.wait("bot.speaking")
                assert line["text"] == "One moment, please."
                assert line["turn_id"] == turn["turn_id"]
                await second.send(
                    "bot.reply",
                    call_id=turn["call_id"],
                    message_id="m1",
                    text="It is ten.",
                    in_reply_to=turn["message_id"],
                )
                await second.wait("bot.finished", message_id="m1")
                call.hang_up()
                await second.wait("call.ended")
            in_order(events(first, second))
