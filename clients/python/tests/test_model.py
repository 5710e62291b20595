"""What an agent tells the server's language model, and how it is asked before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from talkwire_agent import Agent, Call, ConnectionLost, Refused, RequestTimeout, Talkwire
from talkwire_agent.events import LlmBefore
from talkwire_agent.testing import ScriptedCall, ScriptedServer, virtual_time


@asynccontextmanager
async def talking(
    **config: Any,
) -> AsyncIterator[tuple[ScriptedServer, ScriptedCall, Call, Agent]]:
    """A call that has just begun."""
    tw = Talkwire("key")
    agent = tw.agent("tester", **config)
    agent.phone("*")
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        yield server, caller, agent.calls[caller.id], agent


def said(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user" if n % 2 == 0 else "assistant", "content": text} for n, text in enumerate(texts)]


# --- history ----------------------------------------------------------------------------------------------


@virtual_time
async def test_the_history_is_read_and_changed() -> None:
    async with talking() as (_, caller, call, _):
        assert await call.history.add(said("Hello.", "Hi.")) == 2
        messages = await call.history.get()
        assert [(message.role, message.content) for message in messages] == [
            ("user", "Hello."),
            ("assistant", "Hi."),
        ]
        for junk in ("hello", {"role": "user", "content": "x"}, ["hello"]):
            with pytest.raises(TypeError, match="messages are a list"):
                call.history.add(junk)  # type: ignore[arg-type]
        assert await call.history.set(messages[:1]) == 1
        assert caller.history == said("Hello.")
        assert await call.history.clear() == 0
        assert caller.history == []


@virtual_time
async def test_the_prompt_is_changed() -> None:
    async with talking(prompt="Be kind to {{name}}.") as (_, caller, call, _):
        call.set_prompt_vars(name="Ann", visits=3, note="new")
        await call.set_prompt_vars({"name": "Bob"}, note=None)
        await call.add_context("He called yesterday.")
        assert caller.prompt == "Be kind to {{name}}."
        await call.set_prompt("Be brief.")
        assert caller.vars == {"name": "Bob", "visits": "3"}
        assert caller.context == ["He called yesterday."]
        assert caller.prompt == "Be brief."


@virtual_time
async def test_each_question_gets_its_own_answer() -> None:
    async with talking() as (server, caller, call, _):
        caller.take_question = lambda frame: {"event": "pong"}  # type: ignore[method-assign]
        first, second = call.history.clear(), call.history.add(said("one"))
        one = await server.command("history.clear")
        two = await server.command("history.add")
        place = {"call_id": call.id}
        server.send("history.updated", **place, request_id=two["request_id"], count=0, error="no model")
        server.send("history.updated", **place, request_id=one["request_id"], count=4)
        server.send("history.updated", **place, request_id="rq_foreign", count=9)
        assert await first == 4
        with pytest.raises(Refused, match="no model"):
            await second


@virtual_time
async def test_a_question_without_an_answer_ends_after_ten_seconds() -> None:
    async with talking() as (_, caller, call, _):
        caller.take_question = lambda frame: {"event": "pong"}  # type: ignore[method-assign]
        began = asyncio.get_running_loop().time()
        with pytest.raises(RequestTimeout, match=r"history\.get was not answered within 10 s"):
            await call.history.get()
        assert asyncio.get_running_loop().time() - began == 10


@virtual_time
async def test_questions_end_with_their_call() -> None:
    async with talking() as (_, caller, call, _):
        caller.take_question = lambda frame: {"event": "pong"}  # type: ignore[method-assign]
        asked = call.history.get()
        caller.hangs_up()
        with pytest.raises(Refused, match="the call is over"):
            await asked
        with pytest.raises(Refused, match="the call is over"):
            await call.set_prompt_vars(name="Ann")


@virtual_time
async def test_questions_outlive_the_connection_where_asking_twice_does_no_harm() -> None:
    async with talking() as (server, caller, call, _):
        answer, caller.take_question = caller.take_question, lambda frame: {"event": "pong"}  # type: ignore[method-assign]
        before = call.set_prompt_vars(name="Ann"), call.history.add(said("one"))
        await server.quiet()
        server.drop()
        await server.quiet()
        caller.take_question = answer  # type: ignore[method-assign]
        away = call.history.add(said("two")), call.add_context("He is back.")
        with pytest.raises(ConnectionLost, match=r"before history\.add was answered: it may be done, or not"):
            await before[1]
        assert await before[0] == 1
        assert [await away[0], await away[1]] == [1, 1]
        assert caller.vars == {"name": "Ann"}
        assert caller.history == said("two")
        assert caller.context == ["He is back."]
        events = [frame["event"] for frame in server.commands]
        assert [events.count(name) for name in ("history.set_vars", "history.add")] == [2, 2]


@virtual_time
async def test_what_is_asked_as_soon_as_a_call_goes_on_is_asked_once() -> None:
    async with talking() as (server, caller, call, agent):
        counts: list[int] = []

        @agent.on("call.resumed")
        async def resumed() -> None:
            caller.take_question, answer = lambda frame: {"event": "pong"}, caller.take_question  # type: ignore[method-assign]
            asked = call.history.add(said("one"))
            await asyncio.sleep(1)
            caller.take_question = answer  # type: ignore[method-assign]
            command = await server.command("history.add")
            server.send(**answer(command))
            counts.append(await asked)

        server.drop()
        await asyncio.sleep(5)
        assert counts == [1]
        assert [frame["event"] for frame in server.commands].count("history.add") == 1


# --- before each answer -----------------------------------------------------------------------------------


@virtual_time
async def test_the_model_waits_for_the_handlers_that_prepare_it() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    agent.phone("*")
    done: list[str] = []

    @agent.on("call.preparing")
    async def slow(call: Call) -> None:
        await asyncio.sleep(1)
        call.set_prompt_vars(name="Ann")
        done.append("slow")

    @agent.on("llm.before")
    def boom() -> None:
        done.append("boom")
        raise RuntimeError("no power")

    async with ScriptedServer(tw) as server:
        caller = server.call()
        caller.says("hello")
        await caller.model_prepares()
        assert done == ["boom", "slow"]
        assert caller.vars == {"name": "Ann"}
        ready = await server.command("llm.ready")
        assert ready == {"event": "llm.ready", "call_id": "CA1", "agent_id": "tester", "turn": 1}
        assert [str(failure) for failure in server.failures] == ["no power"]
        server.failures.clear()


@virtual_time
async def test_the_model_does_not_wait_where_nobody_prepares_it() -> None:
    async with talking() as (server, caller, _, _):
        await caller.model_prepares()
        assert (await server.command("llm.ready"))["turn"] == 0


@virtual_time
async def test_a_handler_for_the_turn_before_holds_nobody_up() -> None:
    async with talking() as (server, caller, _, agent):

        @agent.on("call.preparing")
        async def prepare(event: LlmBefore) -> None:
            await asyncio.sleep(100 if event.turn == 1 else 0)

        caller.says("one")
        caller.emit("llm.before", turn=1)
        caller.says("two")
        await caller.model_prepares()
        turns = [frame["turn"] for frame in server.commands if frame["event"] == "llm.ready"]
        assert turns == [2]


# --- skills -----------------------------------------------------------------------------------------------


@virtual_time
async def test_skills_are_declared_with_their_tools() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    agent.phone("*")
    booking = agent.skill("booking", "Tables.", instructions="Ask for the day.")
    agent.skill("house", "The house.", activation="always")

    @booking.tool
    def free_tables(day: str) -> list[str]:
        """When a table is free."""
        return [f"{day} at eight"]

    async with ScriptedServer(tw) as server:
        (booking_frame, house) = (await server.command("agent.create"))["skills"]
        declared = dict(booking_frame)
        assert [tool["function"]["name"] for tool in declared.pop("tools")] == ["free_tables"]
        assert declared == {
            "name": "booking",
            "description": "Tables.",
            "instructions": "Ask for the day.",
            "activation": "model",
        }
        assert house == {"name": "house", "description": "The house.", "tools": [], "activation": "always"}
        caller = server.call()
        caller.says("a table please")
        await server.quiet()
        call = agent.calls[caller.id]
        assert call.active_skills == ["house"]
        with pytest.raises(AssertionError, match="shown no tool 'free_tables'"):
            await caller.model_calls("free_tables", day="today")
        caller.model_loads("booking")
        assert await caller.model_calls("free_tables", day="today") == ["today at eight"]
        assert call.active_skills == ["booking", "house"]
        await call.unload_skill("booking")
        assert call.active_skills == ["house"]
        await call.load_skill("booking")
        await call.load_skill("booking")
        assert caller.skills == {"booking", "house"}
        with pytest.raises(Refused, match="no skill 'flying'"):
            await call.load_skill("flying")
        caller.hangs_up()
        await server.quiet()
        with pytest.raises(Refused, match="the call is over"):
            await call.load_skill("booking")


@virtual_time
async def test_a_skill_that_is_loaded_while_the_connection_is_away() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    agent.phone("*")
    agent.skill("booking", "Tables.", activation="manual")
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        call = agent.calls[caller.id]
        server.drop()
        await server.quiet()
        await call.load_skill("booking")
        assert caller.skills == {"booking"}


def test_names_of_skills_and_tools_are_their_own() -> None:
    agent = Talkwire("key").agent("tester")
    skill = agent.skill("booking", "Tables.")
    agent.tool(name="one")(lambda: 1)
    skill.tool(name="two")(lambda: 2)
    for box, name in ((agent, "two"), (skill, "one"), (skill, "two"), (agent.skill("x", "X."), "one")):
        with pytest.raises(ValueError, match=f"there is a tool '{name}' already"):
            box.tool(name=name)(lambda: 3)
    with pytest.raises(ValueError, match="there is a skill 'booking' already"):
        agent.skill("booking", "Tables.")
    assert list(agent.skills) == ["booking", "x"]


# --- people -----------------------------------------------------------------------------------------------


@virtual_time
async def test_the_model_is_paused_and_goes_on() -> None:
    async with talking() as (server, _, call, agent):
        await call.pause()
        await agent.pause(contact="+15550001111")
        await agent.pause()
        assert server.paused == {call.id, "+15550001111", "tester"}
        await call.resume()
        await agent.resume(contact="+15550001111")
        assert server.paused == {"tester"}
        await agent.resume()
        assert server.paused == set()
        with pytest.raises(ValueError, match="not both"):
            agent.pause(session_id="x", contact="y")
        with pytest.raises(Refused, match="no live call 'nobody'"):
            await agent.pause(session_id="nobody")


@virtual_time
async def test_the_idle_time_begins_anew() -> None:
    async with talking() as (server, _, call, _):
        await call.reset_idle()
        assert (await server.command("session.reset_idle"))["call_id"] == call.id
