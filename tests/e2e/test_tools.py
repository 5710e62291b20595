"""Tools of the server's language model: it asks over a real endpoint, a real agent socket answers, and the caller
hears what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Frame, in_order, registered, running
from tests.e2e.test_openai import DELAYS, ENGINES, SPOKEN, talking
from tests.fakes.openai_endpoint import Plan, endpoint

pytestmark = pytest.mark.e2e

WISH: dict[str, Any] = {"transcript": 'call clock {"zone": "UTC"}'}
"""What the caller is heard to say: the endpoint's model does as it says, once in a turn."""


def clock(**more: Any) -> dict[str, Any]:
    shape = {"type": "object", "properties": {"zone": {"type": "string"}}}
    function = {"name": "clock", "description": "Tells the time.", "parameters": shape, **more}
    return {"type": "function", "function": function}


def gives(result: object, **more: object) -> Callable[[Frame], Frame]:
    """Answer each call of a batch with the same."""

    def react(batch: Frame) -> Frame:
        results = [{"tool_call_id": call["id"], "result": result, **more} for call in batch["tool_calls"]]
        return {
            "event": "llm.tool_result",
            "call_id": batch["call_id"],
            "msg_id": batch["msg_id"],
            "results": results,
        }

    return react


async def test_a_tool_runs_when_the_turn_is_over_and_the_caller_hears_what_came_of_it(
    tmp_path: Path,
) -> None:
    async with talking(tmp_path, fixture=WISH, tools=[clock()]) as talk:
        talk.agent.on["llm.tool_call"] = gives({"time": "ten past nine"})
        await talk.ask()
        heard = await talk.agent.wait("message.confirmed")
        assert "ten past nine" in heard["text"]
        names = talk.agent.names()
        wanted = ["turn.end", "llm.tool_call", "tool.started", "tool.completed", "bot.speaking"]
        places = [names.index(name) for name in wanted]
        assert places == sorted(places)
        assert names.index("llm.thinking") < names.index("llm.tool_call")
        (batch,), (started,), (completed,) = (talk.agent.of(name) for name in wanted[1:4])
        (call,) = batch["tool_calls"]
        assert (call["name"], call["arguments"]) == ("clock", '{"zone": "UTC"}')
        told = {"msg_id": batch["msg_id"], "tool_call_id": call["id"], "name": "clock", "kind": "client"}
        assert told.items() <= started.items()
        assert told.items() <= completed.items()
        assert started["arguments"] == {"zone": "UTC"}
        assert completed["result"] == {"time": "ten past nine"}
        asking, answering = talk.agent.of("llm.response")
        assert (asking["text"], asking["finish_reason"]) == ("", "tool_calls")
        assert answering["message_id"] == heard["message_id"]
        assert answering["usage"]["output_tokens"] > 0
        first, second = (record.json for record in talk.endpoint.llm.requests)
        assert first["tools"] == [clock()]
        assert [message["role"] for message in second["messages"][1:]] == ["user", "assistant", "tool"]
        assert talk.faults == []
    ended = talk.agent.of("call.ended")[0]
    assert [message["role"] for message in ended["messages"]] == ["user", "assistant", "tool", "assistant"]
    (asked,) = ended["messages"][1]["tool_calls"]
    assert (asked["id"], asked["function"]["arguments"]) == (call["id"], call["arguments"])
    assert ended["messages"][2]["tool_call_id"] == call["id"]
    assert [line["role"] for line in ended["transcript"]] == ["user", "assistant"]


async def test_a_tool_that_gives_nothing_in_time_is_filled_in_for_and_given_up(tmp_path: Path) -> None:
    tools = [clock(timeout_ms=1500, filler="Let me look.")]
    settings = {"holding_after_s": 0.3}
    async with talking(tmp_path, fixture=WISH, settings=settings, tools=tools) as talk:
        await talk.ask()
        failed = await talk.agent.wait("tool.failed")
        assert (failed["code"], failed["name"]) == ("timeout", "clock")
        assert failed["duration_ms"] >= 1400
        assert (await talk.agent.wait("message.confirmed"))["text"] == "Let me look."
        assert "no result came" in (await talk.agent.wait("message.confirmed", count=2))["text"]
        # What comes late is no fault, and what nobody asked for is told once for each command.
        (batch,) = talk.agent.of("llm.tool_call")
        late = gives("ten")(batch)
        await talk.agent.socket.send(json.dumps(late))
        nobodys = {**late, "results": [{"tool_call_id": name, "result": 1} for name in ("x", "y")]}
        await talk.agent.socket.send(json.dumps(nobodys))
        await talk.agent.socket.send(json.dumps({**nobodys, "call_id": "CAgone"}))
        warning = await talk.agent.wait("server.warning")
        told = {"code": "TOOL_RESULT_UNKNOWN", "agent_id": "tester", "call_id": batch["call_id"]}
        assert told.items() <= warning.items()
        assert "'x', 'y'" in warning["warning"]
        await talk.agent.send("ping")
        await talk.agent.wait("pong")
        assert len(talk.agent.of("server.warning")) == 1
        assert talk.agent.of("tool.completed") == []
    (ended,) = talk.agent.of("call.ended")
    assert [m["content"] for m in ended["messages"] if m["role"] == "tool"] == ["ten"]


async def test_a_tool_that_is_not_there_is_not_sent_and_the_model_is_told(tmp_path: Path) -> None:
    async with talking(tmp_path, tools=[clock()]) as talk:
        talk.endpoint.llm.next(Plan(tool_calls=(("weather", "{}"),)))
        await talk.ask()
        failed = await talk.agent.wait("tool.failed")
        assert (failed["code"], failed["name"]) == ("unknown_tool", "weather")
        heard = await talk.agent.wait("message.confirmed")
        assert "the tools are: clock" in heard["text"]
        assert talk.agent.of("llm.tool_call") == []
        assert len(talk.agent.of("tool.started")) == 1


async def test_a_call_may_be_given_other_tools_and_a_tool_may_want_no_answer(tmp_path: Path) -> None:
    async with talking(tmp_path, fixture=WISH) as talk:
        raw = {"name": "clock", "description": "", "schema": {}, "_jsonSchema": {"type": "object"}}
        await talk.agent.send("session.configure", session_id=talk.call.call_sid, tools=[raw])
        await talk.agent.wait("session.configured")
        talk.agent.on["llm.tool_call"] = gives("done", no_followup=True)
        said = talk.call.say(SPOKEN)
        await said.finished()
        assert (await talk.agent.wait("llm.no_response"))["reason"] == "no_followup"
        assert talk.agent.of("tool.completed")[0]["result"] == "done"
        assert talk.agent.of("bot.speaking") == []
        assert len(talk.endpoint.llm.requests) == 1
        assert talk.agent.of("server.warning") == []


@pytest.mark.parametrize("returns", [True, False])
async def test_an_agent_that_was_away_is_asked_again_and_one_that_stays_away_costs_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returns: bool
) -> None:
    monkeypatch.setattr("server.owners.ASK_AGAIN_S", 0.2)
    config: dict[str, Any] = {"llm": "openai/gpt-4o", "tools": [clock()]}
    grace_s = 10.0 if returns else 0.5
    async with endpoint(**{**DELAYS, **WISH}) as server:
        values = {**ENGINES, "openai_base_url": server.base_url, "agent_grace_s": grace_s}
        async with running(tmp_path, **values) as talkwire, talkwire.carrier() as carrier:
            async with registered(talkwire.ws, **config) as first:
                call = await carrier.place_call("+15550001111", "+15550002222")
                await first.wait("call.started")
                said = call.say(SPOKEN)
                await said.finished()
                batch = await first.wait("llm.tool_call")
                await first.wait("tool.started")
            if not returns:
                await asyncio.sleep(grace_s + 0.3)
            async with registered(talkwire.ws, **config) as second:
                if returns:
                    second.on["llm.tool_call"] = gives("ten past nine")
                    again = await second.wait("llm.tool_call")
                    assert again["tool_calls"] == batch["tool_calls"]
                    assert again["msg_id"] == batch["msg_id"]
                    assert again["seq"] > batch["seq"]
                    assert "ten past nine" in (await second.wait("message.confirmed"))["text"]
                    call.hang_up()
                else:
                    assert (await second.wait("tool.failed"))["code"] == "agent_gone"
                await second.wait("call.ended")
                numbered = {f["seq"]: f for f in (*first.frames, *second.frames) if "seq" in f}
                in_order([numbered[seq] for seq in sorted(numbered)])
                ends = [f for f in numbered.values() if f["event"] in ("tool.completed", "tool.failed")]
                assert len(ends) == 1
