"""Lines, and calls that are handed over."""

from __future__ import annotations

import pytest

from talkwire_agent import Call, ConnectionLost, Line, Refused, RouteFailed, Talkwire
from talkwire_agent.events import CallDtmfReceived, CallEnded, CallStarted
from talkwire_agent.testing import ScriptedServer

NUMBER = "+15550002222"
LINE = f"line:{NUMBER}"


async def test_a_line_answers_a_number_and_hands_over_what_its_caller_wants() -> None:
    client = Talkwire()
    line, sales = client.line("+1 (555) 000-2222", extension_window_ms=0), client.agent("sales")
    told: list[tuple[str, str, str | None]] = []

    @line.on("call.started")
    async def menu(event: CallStarted, call: Call) -> None:
        told.append((call.agent.id, "", call.extension))
        call.say("Press one for sales.")

    @line.on("call.dtmf_received")
    async def chosen(event: CallDtmfReceived, call: Call) -> None:
        call.set_context("menu", {"key": event.digit})
        await call.route("sales", greeting="Hello {{name}}.", prompt_vars={"name": "Ada"}, context={"a": 1})
        told.append((call.agent.id, "routed", call.end_reason))

    @sales.on("call.started")
    async def taken(event: CallStarted, call: Call) -> None:
        told.append((call.agent.id, call.routed_from or "", call.line_transcript[0].text))

    async with ScriptedServer(client) as server:
        assert isinstance(line, Line)
        assert client.find(LINE) is line
        created = await server.command("line.create")
        assert (created["number"], created["config"]) == (NUMBER, {"extension_window_ms": 0})
        caller = server.call(LINE, extension="204")
        assert await caller.heard() == "Press one for sales."
        caller.dials("1")
        assert await caller.heard() == "Hello Ada."
        await server.quiet()
        assert told[0] == (LINE, "", "204")
        assert sorted(told[1:]) == [(LINE, "routed", "routed"), ("sales", LINE, "Press one for sales.")]
        route = await server.command("call.route")
        assert (route["agent"], route["history"], route["context"]) == ("sales", True, {"a": 1})
        context = await server.command("set_context")
        assert (context["key"], context["value"]) == ("menu", {"key": "1"})
        assert (line.calls, list(sales.calls)) == ({}, [caller.id])
        caller.hangs_up()
        await server.quiet()
        assert sales.calls == {}


async def test_a_hand_over_that_fails_leaves_the_call() -> None:
    client = Talkwire()
    line = client.line(NUMBER)
    async with ScriptedServer(client) as server:
        caller = server.call(LINE)
        await server.quiet()
        call = line.calls[caller.id]
        with pytest.raises(RouteFailed) as failed:
            await call.route("nobody")
        assert failed.value.reason == "unknown"
        assert call.live
        caller.hangs_up()
        await server.quiet()
        with pytest.raises(Refused):
            await call.route("nobody")


async def test_who_ends_or_is_lost_before_it_is_known_says_so() -> None:
    client = Talkwire()
    client.agent("sales")
    line = client.line(NUMBER)
    async with ScriptedServer(client) as server:
        caller = server.call(LINE)
        await server.quiet()
        call = line.calls[caller.id]
        caller.obey = lambda frame: None  # type: ignore[method-assign]
        pending = call.route("sales")
        await server.quiet()
        server.drop()
        with pytest.raises(ConnectionLost):
            await pending
        await line.ready()
        pending = call.route("sales")
        await server.quiet()
        caller.hangs_up()
        with pytest.raises(Refused):
            await pending


async def test_a_call_that_comes_back_is_a_new_one() -> None:
    client = Talkwire()
    first, second = client.agent("first"), client.agent("second")
    calls: list[Call] = []
    ends: list[str | None] = []
    client.on("call.started", lambda event, call: calls.append(call))

    @client.on("call.ended")
    async def ended(event: CallEnded, call: Call) -> None:
        ends.append(event.reason)

    async with ScriptedServer(client) as server:
        caller = server.call("first")
        await server.quiet()
        await calls[0].route("second")
        await server.quiet()
        await calls[1].route("first")
        await server.quiet()
        assert [call.agent for call in calls] == [first, second, first]
        assert [call.live for call in calls] == [False, False, True]
        assert calls[0] is not calls[2]
        assert client._router.cursors() == {caller.id: len(caller.journal)}
        caller.hangs_up()
        await server.quiet()
        assert ends == ["routed", "routed", "hangup"]


async def test_a_line_that_is_wrong_is_refused_and_has_only_what_a_line_has() -> None:
    client = Talkwire()
    client.agent("other")
    line = client.line(NUMBER)
    with pytest.raises(ValueError, match="already"):
        client.line("+1 555 000 2222")
    with pytest.raises(TypeError, match="neither tools"):
        line.phone("+15550003333")
    async with ScriptedServer(client, ready=False) as server:
        await server.quiet()
        server.send("line.error", number=NUMBER, code="LINE_CONFLICT", error="taken")
        await server.quiet()
        assert client.lines == {}


async def test_a_line_is_changed_and_destroyed() -> None:
    client = Talkwire()
    client.agent("other")
    line = client.line(NUMBER, language="en")
    async with ScriptedServer(client) as server:
        await line.configure(language="es")
        assert (await server.command("line.create", 2))["config"] == {"language": "es"}
        server.drop()
        await line.ready()
        assert (await server.command("line.create", 3))["config"] == {"language": "es"}
        await server.quiet()
        await line.destroy()
        assert (await server.command("line.destroy"))["number"] == NUMBER
        assert client.lines == {}
        other = client.line("+15550003333")
        await other.destroy()
        assert (await server.command("line.destroy", 2))["number"] == "+15550003333"
