"""Events as async iterators."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from talkwire_agent import Talkwire, sse
from talkwire_agent.feed import KEPT, Feed
from talkwire_agent.testing import ScriptedServer, virtual_time


@virtual_time
async def test_a_stream_has_what_a_page_needs_of_all_calls_and_ends_with_the_client() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    got: list[tuple[str, str]] = []
    own: list[str] = []
    everywhere: list[str] = []

    async def read_all() -> None:
        everywhere.extend([event.event async for event in tw.stream()])

    async def read() -> None:
        got.extend([(event.event, event.frame()["call_id"]) async for event in agent.stream()])

    async def read_call() -> None:
        wanted = ("user.message", "bot.confirmed")
        own.extend([event.event async for event in agent.calls["CA1"].stream(wanted)])

    async with asyncio.TaskGroup() as tasks, ScriptedServer(tw) as server:
        tasks.create_task(read())
        tasks.create_task(read_all())
        await server.quiet()
        one, two = server.call(), server.call()
        await server.quiet()
        reader = tasks.create_task(read_call())
        await server.quiet()
        one.says("hi")
        await agent.calls["CA1"].say("Hello.")
        two.hangs_up()
        one.hangs_up()
        await reader
        assert own == ["user.message", "message.confirmed"]
    assert everywhere == [name for name, _ in got]
    assert got == [
        ("call.started", "CA1"),
        ("call.started", "CA2"),
        ("user.speaking", "CA1"),
        ("user.message", "CA1"),
        ("bot.speaking", "CA1"),
        ("bot.word", "CA1"),
        ("message.confirmed", "CA1"),
        ("call.ended", "CA2"),
        ("call.ended", "CA1"),
    ]


@virtual_time
async def test_a_reader_that_is_too_slow_loses_the_oldest() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    async with ScriptedServer(tw) as server:
        feed = agent.stream(("audio.metrics",))
        caller = server.call()
        for level in range(KEPT + 5):
            caller.emit(
                "audio.metrics", source="user", energy_db=-level / 100, rms=0, peak=0, is_speech=False,
                timestamp=float(level),
            )  # fmt: skip
        await server.quiet()
        assert feed.dropped == 5
        assert (await anext(feed)).frame()["timestamp"] == 5.0


def test_a_stream_of_what_there_is_not() -> None:
    with pytest.raises(ValueError, match="no event is called"):
        Talkwire("key").agent("a").stream(("bot.dance",))


@virtual_time
async def test_server_sent_events() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        lines = sse.body(agent.calls["CA1"].stream(("user.message",)))
        assert await anext(lines) == ":connected\n\n"
        caller.says("wie spät\nist es")
        name, data, *rest = (await anext(lines)).split("\n")
        assert name == "event: user.message"
        assert rest == ["", ""]
        assert json.loads(data.removeprefix("data: "))["text"] == "wie spät\nist es"
        assert await anext(lines) == ":ping\n\n"
        feed = agent.stream()
        page = sse.body(feed)
        await anext(page)
        await page.aclose()
        caller.hangs_up()
        assert [line async for line in lines] == []
        with pytest.raises(StopAsyncIteration):
            await anext(feed)


@virtual_time
async def test_a_stream_of_a_call_begins_with_its_start_and_has_what_a_page_needs() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    at_start: list[Feed] = []
    agent.on("call.started", lambda call: at_start.append(call.stream()))
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        later = agent.calls["CA1"].stream()
        caller.says("hi")
        caller.model_says("Hello.")
        caller.hangs_up()
        names = [event.event async for event in later]
        assert names == [
            "call.started", "user.speaking", "user.message", "bot.word", "message.confirmed", "call.ended",
        ]  # fmt: skip
        assert [event.event async for event in at_start[0]] == names


async def response(feed: Feed, received: list[str]) -> list[dict[str, Any]]:
    """What a page is sent that goes away after these messages."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if received:
            return {"type": received.pop(0)}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await feed({"type": "http"}, receive, send)
    return sent


@virtual_time
async def test_a_stream_is_a_response() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    async with ScriptedServer(tw) as server:
        caller = server.call()
        feed = agent.stream(("user.message",))
        caller.says("hi")
        caller.hangs_up()
        await server.quiet()
        feed.close()
        start, *bodies, end = await response(feed, ["http.request"])
        assert start["status"] == 200
        assert (b"content-type", b"text/event-stream; charset=utf-8") in start["headers"]
        assert [message["body"].split(b"\n")[0] for message in bodies] == [
            b":connected",
            b"event: user.message",
        ]
        assert end == {"type": "http.response.body", "body": b"", "more_body": False}
        gone = agent.stream()
        assert len(await response(gone, ["http.request", "http.disconnect"])) == 3
        with pytest.raises(StopAsyncIteration):
            await anext(gone)
        with pytest.raises(RuntimeError, match="not to websocket"):
            await gone({"type": "websocket"}, None, None)  # type: ignore[arg-type]
