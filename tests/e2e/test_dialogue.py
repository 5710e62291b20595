"""What the server's language model is told: an agent prepares each answer over a real socket, a real endpoint shows
the request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_openai import SPOKEN, Talk, talking
from tests.e2e.test_tools import clock, gives
from tests.fakes.openai_endpoint import Plan

pytestmark = pytest.mark.e2e

PROMPT = "You serve {{name}} in {{city}} on {{day}}. {{MEMORY}}"


async def request(talk: Talk, event: str, **fields: Any) -> dict[str, Any]:
    """Ask for something about the history, and wait for its own answer."""
    request_id = f"rq_{len(talk.agent.frames)}"
    await talk.agent.send(event, call_id=talk.call.call_sid, request_id=request_id, **fields)
    answer = "history.data" if event == "history.get" else "history.updated"
    return await talk.agent.wait(answer, request_id=request_id)


def systems(talk: Talk) -> list[str]:
    return [record.json["messages"][0]["content"] for record in talk.endpoint.llm.requests]


async def test_an_answer_waits_for_what_its_agent_prepares(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "prompt": PROMPT,
        "raw_prompt": True,
        "vars": {"name": "somebody", "city": "Rome"},
        "timezone": "Asia/Tokyo",
        "preparing": {"timeout_ms": 4000},
        "greeting": "Hello {{name}}.",
    }
    async with talking(tmp_path, **config) as talk:
        await talk.agent.wait("message.confirmed")
        del talk.agent.on["llm.before"]
        await talk.call.say(SPOKEN).finished()
        before = await talk.agent.wait("llm.before", turn=1)
        assert before["turn_id"] == 1
        assert (await request(talk, "history.set_vars", vars={"name": "Ada"}))["count"] == 2
        assert (await request(talk, "history.add_context", text="She has a dog."))["count"] == 2
        past = [
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": "Hello Ada."},
        ]
        heard = (await request(talk, "history.get"))["messages"]
        assert (await request(talk, "history.set", messages=[*past, *heard]))["count"] == len(heard) + 2
        assert talk.endpoint.llm.requests == []
        await talk.agent.send("llm.ready", call_id=talk.call.call_sid, turn=1)
        await talk.agent.wait("message.confirmed", count=2)
        days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        assert systems(talk)[0] in [f"You serve Ada in Rome on {day}.\n\nShe has a dog." for day in days]
        told = [m["content"] for m in talk.endpoint.llm.requests[0].json["messages"][1:]]
        assert told[:3] == ["My name is Ada.", "Hello Ada.\nHello somebody.", "this is what was said"]
        assert talk.agent.of("llm.preparing_timeout") == []
        assert [frame["turn"] for frame in talk.agent.of("llm.before")][:2] == [0, 1]
        names = talk.agent.names()
        assert names.index("call.started") < names.index("llm.before") < names.index("bot.speaking")


async def test_an_agent_that_never_answers_is_told_and_the_caller_is_answered(tmp_path: Path) -> None:
    async with talking(tmp_path, preparing={"timeout_ms": 300}) as talk:
        del talk.agent.on["llm.before"]
        await talk.ask()
        missed = await talk.agent.wait("llm.preparing_timeout")
        assert (missed["turn"], missed["budget_ms"]) == (1, 300)
        assert 300 <= missed["waited_ms"] < 400
        await talk.agent.wait("message.confirmed")
        refused = await request(talk, "history.add", messages=[{"role": "boss", "content": "x"}])
        assert "messages.0.role must be" in refused["error"]
        talk.call.hang_up()
        await talk.agent.wait("call.ended")
        await asyncio.sleep(0.1)
        assert (await request(talk, "history.clear"))["error"] == "the call is over"


async def test_a_model_loads_a_skill_and_uses_its_tools(tmp_path: Path) -> None:
    skill = {
        "name": "time",
        "description": "Tells the time.",
        "instructions": "Say it in words.",
        "tools": [clock()],
    }
    async with talking(tmp_path, raw_prompt=True, skills=[skill]) as talk:
        talk.agent.on["llm.tool_call"] = gives({"time": "ten past nine"})
        talk.endpoint.llm.next(Plan(tool_calls=(("loadSkill", '{"name": "time"}'),)))
        talk.endpoint.llm.next(Plan(tool_calls=(("clock", "{}"),)))
        await talk.ask()
        await talk.agent.wait("message.confirmed")
        names = talk.agent.names()
        wanted = [
            "turn.end",
            "tool.started",
            "tool.completed",
            "skill.loaded",
            "llm.tool_call",
            "bot.speaking",
        ]
        assert [names.index(name) for name in wanted] == sorted(names.index(name) for name in wanted)
        (loaded,) = talk.agent.of("skill.loaded")
        assert (loaded["skill"], loaded["by"], loaded["turn_id"]) == ("time", "model", 1)
        assert [tool["kind"] for tool in talk.agent.of("tool.completed")] == ["system", "client"]
        assert len(talk.agent.of("llm.tool_call")) == 1
        offered = [[t["function"]["name"] for t in r.json["tools"]] for r in talk.endpoint.llm.requests]
        assert offered == [["loadSkill", "unloadSkill"], *[["loadSkill", "unloadSkill", "clock"]] * 2]
        assert systems(talk) == ["Be brief.", *["Be brief.\n\nSay it in words."] * 2]
        assert talk.agent.of("llm.thinking")[0]["model"] == "gpt-4o"
        await talk.agent.send("skill.unload", call_id=talk.call.call_sid, skill="time", ack="1")
        assert (await talk.agent.wait("skill.unloaded"))["by"] == "manual"
        assert (await talk.agent.wait("ack", ack="1"))["status"] == "success"
        await talk.agent.send("skill.load", call_id=talk.call.call_sid, skill="nobody", ack="2")
        warning = await talk.agent.wait("server.warning")
        assert (warning["code"], warning["keys"]) == ("SKILL_UNKNOWN", ["nobody"])
        assert (await talk.agent.wait("ack", ack="2"))["code"] == "SKILL_UNKNOWN"
