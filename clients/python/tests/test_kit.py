"""The first agent of the README, and the kit that it is tested with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from talkwire_agent import Call, Talkwire
from talkwire_agent.events import TurnEnd
from talkwire_agent.testing import ScriptedServer, virtual_time


def echo() -> Talkwire:
    tw = Talkwire()
    agent = tw.agent("echo", greeting="Hello. Say something.")
    agent.phone("*")

    @agent.on("turn.end")
    async def answer(turn: TurnEnd, call: Call) -> None:
        await call.reply(f"You said {turn.text}.")

    return tw


@virtual_time
async def test_the_first_agent_greets_and_echoes() -> None:
    async with ScriptedServer(echo()) as server:
        caller = server.call()
        assert await caller.heard() == "Hello. Say something."
        caller.says("good morning")
        assert await caller.heard() == "You said good morning."
        caller.says("and bye")
        assert await caller.heard() == "You said and bye."
        caller.hangs_up()
        await server.quiet()
        assert server.client.calls == {}


@virtual_time
async def test_a_greeting_with_variables() -> None:
    tw = Talkwire()
    tw.agent("shop", greeting="Hello, {{ shop }}. {{who}}?", vars={"shop": "Blue Door"})
    async with ScriptedServer(tw) as server:
        assert await server.call().heard() == "Hello, Blue Door. {{who}}?"


@virtual_time
async def test_what_does_not_come_says_what() -> None:
    async with ScriptedServer(echo()) as server:
        caller = server.call(plays=False)
        with pytest.raises(TimeoutError, match=r"the caller heard nothing \(more\) within 5 s"):
            await caller.heard()


def test_the_code_of_the_readme_runs() -> None:
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    agent, _, tools, skills, *_, test = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert agent.rstrip().endswith("tw.run()")
    namespace: dict[str, Any] = {}
    exec(agent.replace("tw.run()", ""), namespace)
    exec(test, namespace)
    namespace["test_the_echo"]()
    exec("import datetime; from talkwire_agent import Call, ToolError", namespace)
    exec("from typing import Annotated; from pydantic import Field", namespace)
    exec(tools, namespace)
    assert list(namespace["agent"].tools) == ["free_tables", "book"]
    exec(skills, namespace)
    assert list(namespace["refunds"].tools) == ["refund"]
