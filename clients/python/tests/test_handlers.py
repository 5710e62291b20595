"""Who is called, with what, in which order, and who waits for whom."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from talkwire_agent import Agent, Call, HandlerFailed, Talkwire
from talkwire_agent.events import BotWord, TurnEnd
from talkwire_agent.names import event_name, slug
from talkwire_agent.testing import ScriptedServer, virtual_time


def made() -> tuple[Talkwire, Agent]:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    agent.phone("*")
    return tw, agent


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("turn.end", "turn.end"),
        (TurnEnd, "turn.end"),
        ("bot.confirmed", "message.confirmed"),
        ("call.preparing", "llm.before"),
        ("llm.toolCall", "llm.tool_call"),
        ("tool.call", "llm.tool_call"),
        ("session.idleWarning", "session.idle_warning"),
        ("userMessage", None),
        ("turn.ends", None),
        ("call.resumed", "call.resumed"),
        ("*", "*"),
    ],
)
def test_events_are_found_by_their_names(given: Any, name: str | None) -> None:
    if name is not None:
        assert event_name(given) == name
        return
    with pytest.raises(ValueError, match="no event is called"):
        event_name(given)


def test_a_wrong_name_is_answered_by_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"did you mean turn\.end"):
        made()[1].on("turn.ended")


@pytest.mark.parametrize(("one", "other"), [("My Agent", "my-agent"), ("my_agent!", "My  Agent"), ("É", "")])
def test_spellings_of_an_agent(one: str, other: str) -> None:
    assert slug(one) == slug(other)


@virtual_time
async def test_a_handler_takes_what_it_wants() -> None:
    tw, agent = made()
    got: list[Any] = []
    agent.on("turn.end", lambda: got.append("nothing"))
    agent.on("turn.end", lambda event: got.append(event.text))
    agent.on("turn.end", lambda call: got.append(call.id))
    agent.on("turn.end", lambda turn, call: got.append((turn.text, call.id)))
    agent.on("turn.end", lambda event, note="mine": got.append((event.text, note)))
    agent.on("turn.end", lambda *args: got.append(len(args)))
    with pytest.raises(TypeError, match="needs more"):
        agent.on("turn.end", lambda a, b, c: None)
    async with ScriptedServer(tw) as server:
        server.call().says("hi")
        await server.quiet()
    assert got == ["nothing", "hi", "CA1", ("hi", "CA1"), ("hi", "mine"), 2]


@virtual_time
async def test_events_are_heard_on_call_agent_and_client_and_off_again() -> None:
    tw, agent = made()
    got: list[str] = []

    @agent.on("call.started")
    def started(call: Call) -> None:
        call.on("turn.end", lambda: got.append("call"))

    def on_agent() -> None:
        got.append("agent")

    tw.on(TurnEnd, lambda: got.append("client"))
    agent.on("turn.end", on_agent)
    async with ScriptedServer(tw) as server:
        caller = server.call()
        caller.says("one")
        await server.quiet()
        assert got == ["call", "agent", "client"]
        agent.off("turn.end", on_agent)
        caller.says("two")
        await server.quiet()
    assert got[3:] == ["call", "client"]


@virtual_time
async def test_a_handler_gets_the_events_of_a_call_in_order_one_at_a_time() -> None:
    tw, agent = made()
    got: list[str] = []

    @agent.on("bot.word")
    async def subtitle(event: BotWord) -> None:
        await asyncio.sleep(1.0 if event.word == "one" else 0.0)
        got.append(event.word)

    async with ScriptedServer(tw) as server:
        server.call()
        await server.quiet()
        agent.calls["CA1"].say("one two three")
        await asyncio.sleep(2)
    assert got == ["one", "two", "three"]


@virtual_time
async def test_a_slow_handler_holds_up_neither_another_handler_nor_another_call() -> None:
    tw, agent = made()
    slow: list[str] = []
    fast: list[str] = []

    @agent.on("user.message")
    async def stuck(call: Call) -> None:
        if call.id == "CA1":
            await asyncio.sleep(1000)
        slow.append(call.id)

    agent.on("user.message", lambda call: fast.append(call.id))
    async with ScriptedServer(tw) as server:
        one, two = server.call(), server.call()
        one.says("hi")
        one.says("again")
        two.says("hi")
        await server.quiet()
        assert slow == ["CA2"]
        assert fast == ["CA1", "CA1", "CA2"]


@virtual_time
async def test_a_turn_does_not_wait_for_the_one_before() -> None:
    tw, agent = made()
    got: list[str] = []

    @agent.on("turn.end")
    async def answer(turn: TurnEnd, call: Call) -> None:
        if turn.text == "slow":
            await asyncio.sleep(10)
        got.append((await call.reply(turn.text)).outcome)

    async with ScriptedServer(tw) as server:
        caller = server.call()
        caller.says("slow")
        await server.quiet()
        caller.says("fast")
        assert await caller.heard() == "fast"
        await asyncio.sleep(20)
    # What was made for the first turn, too late, answers that turn and is not spoken.
    assert got == ["finished", "rejected"]


@virtual_time
async def test_what_a_handler_raises_is_logged_and_told_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tw, agent = made()
    told: list[HandlerFailed] = []

    @agent.on("turn.end")
    async def later() -> None:
        await asyncio.sleep(0)
        raise KeyError("later")

    @agent.on("turn.end")
    def at_once() -> None:
        raise KeyError("at once")

    @agent.on("error")
    def worse(event: HandlerFailed) -> None:
        told.append(event)
        raise ValueError("worse")

    agent.on("turn.end", lambda call: call.reply("fine"))
    async with ScriptedServer(tw) as server:
        caller = server.call()
        with caplog.at_level(logging.ERROR, "talkwire_agent"):
            caller.says("hi")
            assert await caller.heard() == "fine"
            await server.quiet()
        assert {str(event.exception) for event in told} == {"'later'", "'at once'"}
        assert {event.code for event in told} == {"HANDLER_FAILED"}
        assert {event.call_id for event in told} == {"CA1"}
        assert sum("at_once of turn.end failed" in record.getMessage() for record in caplog.records) == 1
        assert len(server.failures) == 2
        server.failures.clear()


@virtual_time
async def test_the_kit_raises_what_a_handler_raised() -> None:
    tw, agent = made()

    @agent.on("call.started")
    def bad() -> None:
        raise LookupError("no such table")

    async def conversation() -> None:
        async with ScriptedServer(tw) as server:
            server.call()
            await server.quiet()

    with pytest.raises(LookupError, match="no such table"):
        await conversation()
