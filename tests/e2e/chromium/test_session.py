"""Conversations of the browser client: a ``TalkwireSession`` in a real page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.chromium.harness import BLANK, tab, told
from tests.e2e.chromium.network import between
from tests.e2e.harness import Running, in_order, registered, reply, running
from tests.e2e.test_openai import ENGINES
from tests.e2e.test_tools import WISH, clock, gives
from tests.fakes.openai_endpoint import endpoint

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

LONG = "It is ten past eight in the evening, and the shop is open until nine, every day but on Sundays."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The recogniser understands everything as one question: a real one costs a core, and hears real speech in
    ``test_by_hand``."""
    async with endpoint(transcript="can you tell me the time") as engines:
        ears = {
            "stt": ("openai",),
            "stt_model": ENGINES["stt_model"],
            "openai_base_url": engines.base_url,
        }
        async with running(tmp_path_factory.mktemp("data"), **ears) as started:
            yield started


async def test_a_conversation_from_the_button_to_the_end(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "clock", greeting="Hello there.") as agent,
        tab(browser, f"{server.url}/page", "time.wav", html=BLANK) as page,
    ):
        agent.on["turn.end"] = reply("It is ten past eight.")
        await page.session(server.url, "clock", metadata={"page": "/cart"})
        assert await page.connect() is None
        before = ["mic.pending", "mic.granted", "input.started", "connection.established", "session.ready"]
        assert await page.events(*before) == before
        assert (await agent.wait("call.started"))["metadata"] == {"page": "/cart"}
        await page.event("bot.speech.ended")
        onset, _ = await page.say("time.wav")
        began = await page.event("user.speech.started")
        told("user.speech.started after the onset", {"ms": began["at"] - onset})
        assert abs(began["at"] - onset) < 1000
        assert (await page.event("user.speech.ended", lost=False))["correlationId"] == began["correlationId"]
        latency = await page.event("turn.latency")
        assert latency["correlationId"] == began["correlationId"]
        finished = await page.event("bot.speech.ended", 2)
        assert finished["interrupted"] is False
        await page.event("history", 3)
        said = [(m["role"], m["text"]) for m in (await page.view())["messages"]]
        assert said == [
            ("bot", "Hello there."),
            ("user", "can you tell me the time"),
            ("bot", "It is ten past eight."),
        ]
        await page.quiet()
        assert len((await page.heard()).since(onset).loud) > 50
        hung_up = await page.page.evaluate(
            "() => { const at = lab.now(); lab.live.disconnect(); return at; }"
        )
        closed = await page.event("connection.closed")
        assert (closed["reason"], closed["at"] - hung_up < 100) == ("normal", True)
        ended = await agent.wait("call.ended")
        assert (ended["reason"], ended["ts"] * 1000 - hung_up < 2000) == ("client_hangup", True)
        assert await page.page.evaluate("lab.peers.every((peer) => peer.connectionState === 'closed')")
        assert page.errors == []
        in_order(agent.frames)


async def test_speech_over_the_bot_is_told_as_an_interruption(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "talker", greeting=LONG, stt="none"),
        tab(browser, f"{server.url}/page", "repeat.wav", html=BLANK) as page,
    ):
        await page.session(server.url, "talker")
        await page.connect()
        await page.wait("bot.word", 9)
        onset, _ = await page.say("repeat.wav")
        cut = await page.event("talk.interrupted")
        assert cut["reason"] == "user_spoke"
        await page.quiet()
        start, silent = (await page.heard()).whole
        assert silent - onset < 2000
        told(
            "interrupted",
            {"silent after": silent - onset, "heard": silent - start, "played": cut["playedMs"]},
        )
        assert abs(silent - start - cut["playedMs"]) < 1000
        (message,) = [m for m in (await page.view())["messages"] if m["role"] == "bot"]
        assert message["interrupted"]
        assert LONG.startswith(message["text"])
        assert 0 < len(message["text"]) < len(LONG)


async def test_a_muted_user_is_not_heard_and_writes(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "reader", stt="none") as agent,
        tab(browser, f"{server.url}/page", "hello.wav", html=BLANK) as page,
    ):
        agent.on["turn.end"] = reply("Certainly.")
        await page.session(server.url, "reader")
        await page.connect()
        await page.page.evaluate("lab.live.mute()")
        assert (await agent.wait("call.muted"))["by"] == "user"
        assert (await page.view())["muted"]
        await page.say("hello.wav")
        await page.page.evaluate("lab.live.setContext('cart', 'two tickets')")
        await page.page.evaluate("lab.live.sendText('I want two tickets')")
        turn = await agent.wait("turn.end")
        assert (turn["text"], turn["reason"]) == ("I want two tickets", "typed")
        assert [frame["event"] for frame in agent.frames].count("speech.started") == 0
        await page.event("bot.speech.ended")
        said = [(m["role"], m["text"]) for m in (await page.view())["messages"]]
        assert said == [("user", "I want two tickets"), ("bot", "Certainly.")]
        await page.page.evaluate("lab.live.unmute()")
        await agent.wait("call.unmuted")
        await page.say("hello.wav")
        await page.event("user.speech.started")


async def test_tools_are_shown_and_the_page_runs_its_own(tmp_path: Path, browser: Browser) -> None:
    async with (
        endpoint(**WISH) as engines,
        running(tmp_path, **ENGINES, openai_base_url=engines.base_url) as server,
        registered(server.ws, llm="openai/gpt-4o", prompt="Be brief.", tools=[clock()]) as agent,
        tab(browser, f"{server.url}/page", "time.wav", html=BLANK) as page,
    ):
        agent.on["llm.tool_call"] = gives({"time": "ten past nine"})
        await page.session(server.url, "tester")
        await page.connect()
        await page.say("time.wav")
        call = await page.event("tool.call")
        assert (call["name"], call["arguments"], call["runHere"]) == ("clock", {"zone": "UTC"}, False)
        result = await page.event("tool.result", id=call["id"])
        assert (result["result"], result.get("error")) == ({"time": "ten past nine"}, None)
        await page.event("bot.speech.ended")
        (use,) = (await page.view())["tools"]
        assert use["result"]["result"] == {"time": "ten past nine"}
        assert "ten past nine" in (await page.view())["messages"][-1]["text"]


async def test_a_lost_network_is_come_back_from(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "lasting", greeting=LONG, stt="none") as agent,
        tab(browser, f"{server.url}/page", html=BLANK) as page,
        between(page.page) as network,
    ):
        await page.session(server.url, "lasting")
        await page.connect()
        await page.wait("bot.word", 4)
        network.cut()
        cut = await page.now()
        assert (await agent.wait("call.held"))["by"] == "network"
        lost = await page.event("connection.lost")
        assert (await page.view())["status"] == "reconnecting"
        back = await page.event("connection.established", resumed=True)
        await page.wait("bot.finished")
        heard = (await page.heard()).since(cut + 500).loud
        told(
            "lost network",
            {"noticed": lost["at"] - cut, "back": back["at"] - cut, "heard again": heard[0] - cut},
        )
        assert heard[0] - cut < 8000
        (message,) = (await page.view())["messages"]
        assert message["text"].split() == LONG.split(), "each word, and none twice"
        assert (await page.view())["status"] == "connected"
        assert len({call["call_id"] for call in agent.of("call.started")}) == 1
