"""Agents of the Python SDK whose thinking the server's language model does, over a real socket and real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from talkwire_agent import Agent, Call, Refused, Talkwire
from talkwire_agent.events import MessageConfirmed

from telephony.carriers.twilio.simulator import SimulatedCall
from tests.e2e.harness import KEY, running
from tests.e2e.test_openai import DELAYS, ENGINES, SPOKEN
from tests.fakes.openai_endpoint import Endpoint, endpoint

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def talking(
    data_dir: Path, tw: Talkwire, transcript: str
) -> AsyncIterator[tuple[Endpoint, SimulatedCall, Call]]:
    """A call to the only agent of a client; what the caller says is understood as ``transcript``."""
    (agent,) = tw.agents.values()
    fixture: dict[str, Any] = {**DELAYS, "transcript": transcript}
    async with endpoint(**fixture) as model:
        values = {**ENGINES, "openai_base_url": model.base_url}
        async with running(data_dir, **values) as server, server.carrier() as carrier:
            tw._url = server.url
            async with tw:
                await tw.ready()
                caller = await carrier.place_call("+15550001111", "+15550002222")
                async with asyncio.timeout(10):
                    while not agent.calls:
                        await asyncio.sleep(0.01)
                yield model, caller, next(iter(agent.calls.values()))
                caller.hang_up()


def made(**config: Any) -> tuple[Talkwire, Agent, asyncio.Queue[str]]:
    """A client with one agent, and the messages that its callers have heard."""
    tw = Talkwire(KEY)
    agent = tw.agent("clock", llm="openai/gpt-4o", **config)
    agent.phone("*")
    heard: asyncio.Queue[str] = asyncio.Queue()

    @agent.on("message.confirmed")
    def confirmed(event: MessageConfirmed) -> None:
        heard.put_nowait(event.text)

    return tw, agent, heard


async def test_the_model_gets_ready_asks_for_a_function_and_says_what_it_gave(tmp_path: Path) -> None:
    tw, agent, heard = made(prompt="The caller is {{caller}}.", preparing=True)
    asked: list[tuple[str, str]] = []

    @agent.on("call.preparing")
    async def prepare(call: Call) -> None:
        await call.set_prompt_vars(caller="Ann")

    @agent.tool
    async def clock(zone: str, call: Call) -> dict[str, str]:
        """Tells the time."""
        asked.append((zone, call.id))
        return {"time": "ten past nine"}

    async with talking(tmp_path, tw, 'call clock {"zone": "UTC"}') as (model, caller, call):
        await caller.say(SPOKEN).finished()
        async with asyncio.timeout(10):
            assert "ten past nine" in await heard.get()
        assert asked == [("UTC", call.id)]
        first = model.llm.requests[0].json
        assert first["messages"][0]["content"].startswith("The caller is Ann.")
        (shown,) = first["tools"]
        assert shown["function"]["description"] == "Tells the time."
        assert shown["function"]["parameters"]["required"] == ["zone"]


async def test_history_and_prompt_are_what_the_agent_has_made_them(tmp_path: Path) -> None:
    tw, _, heard = made(prompt="Be brief.")
    async with talking(tmp_path, tw, "and who am I") as (model, caller, call):
        known = [{"role": "user", "content": "I am Ann."}, {"role": "assistant", "content": "Hello."}]
        assert await call.history.add(known) == 2
        await call.add_context("It is Monday.")
        await call.set_prompt("Be kind.")
        await caller.say(SPOKEN).finished()
        async with asyncio.timeout(10):
            answer = await heard.get()
        messages = model.llm.requests[0].json["messages"]
        assert messages[0]["content"].startswith("Be kind.")
        assert "It is Monday." in messages[0]["content"]
        assert [message["content"] for message in messages[1:]] == ["I am Ann.", "Hello.", "and who am I"]
        told = [(message.role, message.content) for message in await call.history.get()]
        assert told[2:] == [("user", "and who am I"), ("assistant", answer)]
        assert await call.history.clear() == 0


async def test_a_skill_is_loaded_and_its_tool_is_run(tmp_path: Path) -> None:
    tw, agent, heard = made(prompt="Be brief.")
    skill = agent.skill("clocks", "For the time.", instructions="Name the zone.", activation="manual")

    @skill.tool
    def clock(zone: str) -> str:
        """Tells the time."""
        return f"ten past nine in {zone}"

    async with talking(tmp_path, tw, 'call clock {"zone": "UTC"}') as (model, caller, call):
        assert call.active_skills == []
        await call.load_skill("clocks")
        assert call.active_skills == ["clocks"]
        with pytest.raises(Refused) as refused:
            await call.load_skill("flying")
        assert refused.value.code == "SKILL_UNKNOWN"
        await caller.say(SPOKEN).finished()
        async with asyncio.timeout(10):
            assert "ten past nine in UTC" in await heard.get()
        assert "Name the zone." in model.llm.requests[0].json["messages"][0]["content"]
        await call.unload_skill("clocks")
        assert call.active_skills == []
        await call.reset_idle()
