"""Calls from a browser, here an aiortc peer: audio both ways, its page told and asking."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from media import wav
from tests.e2e.browser import Browser, browser, post_offer, token
from tests.e2e.harness import CLIPS, Frame, Running, in_order, registered, reply, running

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

TIME = wav.read(CLIPS / "time.wav")
LONG = "It is ten past eight in the evening, and the shop is open until nine, every day but on Sundays."


async def test_a_page_speaks_is_answered_and_hangs_up(tmp_path: Path) -> None:
    async with (
        running(tmp_path, stt=("pocketsphinx",)) as server,
        registered(server.ws, greeting="Hello there, and welcome.") as agent,
    ):
        agent.on["turn.end"] = reply("It is ten past eight.")
        given = await token(server, metadata='{"name":"Ana","plan":"gold"}')
        async with browser(server, token=given, metadata={"plan": "free", "page": "/shop"}) as page:
            started = await agent.wait("call.started")
            assert (started["from"], started["to"], started["transport"]) == ("webrtc", "tester", "webrtc")
            assert started["metadata"] == {"name": "Ana", "plan": "gold", "page": "/shop"}
            assert started["call_id"] == page.call_id
            greeted = await agent.wait("bot.finished")
            await asyncio.sleep(0.3)
            assert abs(page.ear.heard_ms() - greeted["duration_ms"]) < 150
            page.mic.say(*TIME)
            message = await page.wait("user.message")
            assert "time" in message["text"]
            assert await page.wait("bot.finished", 2)
        ended = await agent.wait("call.ended")
        assert ended["reason"] == "client_hangup"
        in_order(agent.frames)
        told = {frame["event"] for frame in page.frames}
        assert {"session.connected", "call.started", "speech.started", "bot.word", "turn.end"} <= told
        assert not told & {"session.created", "turn.metrics", "tts.started", "llm.before"}
        (first,) = page.of("call.started")
        assert "metadata" not in first
        assert len(server.services.calls) == 0


async def test_speech_over_the_bot_silences_it(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=LONG) as agent,
        browser(server) as page,
    ):
        await agent.wait("bot.word", 8)
        page.mic.say(*TIME)
        cut = await page.wait("bot.interrupted")
        loop = asyncio.get_running_loop()
        at = loop.time()
        await asyncio.sleep(0.5)
        assert page.ear.last_loud_at - at < 0.35, "what was sent ahead, and the peer's own buffer of 80 ms"
        assert abs(page.ear.heard_ms() - cut["played_ms"]) < 150


async def test_a_page_writes_mutes_and_sets(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=LONG) as agent,
        browser(server) as page,
    ):
        agent.on["turn.end"] = reply("Certainly.")
        await agent.wait("bot.word", 4)
        page.send(action="inject_text", text="I want two tickets", ack="1")
        turn = await agent.wait("turn.end")
        assert (turn["text"], turn["reason"]) == ("I want two tickets", "typed")
        assert (await agent.wait("user.message"))["segment_ids"] == []
        assert (await page.wait("ack", ack="1"))["status"] == "success"
        assert len(page.of("bot.interrupted")) == 1
        await agent.wait("bot.finished")
        page.send(action="mute")
        assert (await agent.wait("call.muted"))["by"] == "user"
        assert (await page.wait("call.muted"))["by"] == "user"
        page.send(action="inject_text", text="and a programme")
        assert (await agent.wait("turn.end", 2))["text"] == "and a programme"
        page.send(action="unmute")
        await agent.wait("call.unmuted")
        page.send(action="set_context", key="cart", value="two tickets", ack="2")
        assert (await page.wait("ack", ack="2"))["status"] == "success"
        page.send(action="configure", language="es-PE", prompt="Be rude.", ack="3")
        assert (await page.wait("ack", ack="3"))["extras"] == {"refused": ["prompt"]}
        assert (await agent.wait("call.updated"))["language"] == "es"
        page.send(action="fly", ack="4")
        assert "action must be one of" in (await page.wait("ack", ack="4"))["message"]
        page.send(action="ping")
        await page.wait("pong")
        page.channel.send("ping")
        page.channel.send("{")
        assert (await page.wait("error"))["code"] == "BAD_MESSAGE"
        in_order(agent.frames)


async def test_the_agent_hangs_up_and_the_page_knows_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, browser(server) as page:
        await agent.wait("session.ready")
        await agent.send("call.hangup", call_id=page.call_id)
        async with asyncio.timeout(0.5):
            ended = await page.wait("session.timeout")
        assert ended["reason"] == "client_hangup"
        names = [frame["event"] for frame in page.frames]
        assert names.index("call.ended") < names.index("session.timeout")
        async with asyncio.timeout(2):
            await page.until(lambda: page.pc.connectionState == "closed")


async def test_a_closed_page_ends_its_call_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent:
        async with browser(server):
            await agent.wait("session.ready")
        async with asyncio.timeout(2):
            ended = await agent.wait("call.ended")
        assert ended["reason"] == "client_hangup"


async def test_a_lost_page_comes_back_to_the_same_call(tmp_path: Path) -> None:
    async with (
        running(tmp_path, webrtc_resume_s=10) as server,
        registered(server.ws, greeting=LONG) as agent,
        browser(server) as page,
    ):
        first = await page.wait("session.connected")
        await agent.wait("bot.word", 5)
        lose(page)
        held = await agent.wait("call.held")
        assert held["by"] == "network"
        assert (await agent.wait("bot.paused"))["reason"] == "held"
        never = Browser()
        tried = await post_offer(server, await never.offer(resume=first["resume_token"]))
        assert tried.status_code == 200, "a connection that does not come about costs nothing"
        await never.close()
        other = Browser()
        spoken = (await page.wait("bot.speaking"))["seq"]
        body = await other.offer(resume=first["resume_token"], last_seq=spoken)
        answer = await post_offer(server, body)
        assert answer.status_code == 200, answer.text
        await other.accept(answer.json())
        try:
            assert other.call_id == page.call_id
            await agent.wait("call.unheld")
            await other.wait("bot.resumed")
            await agent.wait("bot.finished")
            await asyncio.sleep(0.3)
            assert other.ear.heard_ms() > 500
            seen = [frame["seq"] for frame in other.frames if "seq" in frame]
            assert seen == sorted(set(seen))
            words = page.of("bot.word")[:1] + [f for f in other.of("bot.word") if f["word_index"]]
            assert [f["word_index"] for f in words] == list(range(len(words))), "each word, and none twice"
            held = next(f for f in other.frames if f["event"] == "call.held")
            assert spoken < seen[0] < held["seq"], "what was missed is told"
            assert (await other.wait("session.connected"))["resume_token"] != first["resume_token"]
            other.send(action="ping")
            await other.wait("pong")
            body = {"sdp": page.pc.localDescription.sdp, "type": "offer", "resume": first["resume_token"]}
            again = await post_offer(server, body)
            assert (again.status_code, "come back" in again.json()["detail"]) == (409, True)
        finally:
            await other.close()
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"
        in_order(agent.frames)


async def resumed(server: Running, page: Browser, *, connect: bool = True) -> Browser:
    """The same page by another connection."""
    token = (await page.wait("session.connected"))["resume_token"]
    other = Browser()
    seen = max(frame.get("seq", 0) for frame in page.frames)
    answer = await post_offer(server, await other.offer(resume=token, last_seq=seen))
    assert answer.status_code == 200, answer.text
    if connect:
        await other.accept(answer.json())
    return other


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_page_that_changes_its_network_is_hardly_interrupted(tmp_path: Path, at_once: bool) -> None:
    """``at_once``: the old network is gone before the new connection is there."""
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=LONG) as agent,
        browser(server) as page,
    ):
        await agent.wait("bot.word", 5)
        if at_once:
            lose(page)
        other = await resumed(server, page)
        await page.close()
        try:
            finished = await agent.wait("bot.finished")
            await asyncio.sleep(0.3)
            assert agent.of("call.held") == []
            heard = [when for when, _, rms in frames_of(page, other) if rms > 500]
            gaps = sorted(later - earlier for earlier, later in pairwise(heard))
            assert gaps[-1] < (1.2 if at_once else 0.6), "words have gaps too"
            assert finished["duration_ms"] > 4000
            first, then = ([f["seq"] for f in one.frames if "seq" in f] for one in (page, other))
            assert (first, then) == (sorted(set(first)), sorted(set(then)))
            assert then[0] <= first[-1] + 1, "nothing is missing"
        finally:
            await other.close()
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"


def frames_of(*pages: Browser) -> list[tuple[float, int, float]]:
    return sorted((when, place, rms) for page in pages for place, when, rms in page.ear.frames)


async def test_a_connection_that_does_not_come_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.browser_call.CONNECT_S", 0.5)
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=LONG) as agent,
        browser(server) as page,
    ):
        await agent.wait("bot.word", 3)
        other = await resumed(server, page, connect=False)
        again = await resumed(server, page, connect=False)
        await page.wait("bot.finished")
        assert page.ear.heard_ms() > 4000
        told = [frame["seq"] for frame in page.frames if "seq" in frame]
        assert told == sorted(set(told))
        await other.close()
        await again.close()
        third = await resumed(server, page)
        await third.wait("session.connected")
        assert agent.of("call.held") == []
        await third.close()


async def test_pings_alone_are_a_sign_of_life(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, browser(server) as page:
        await agent.wait("session.ready")
        (sender,) = page.pc.getSenders()
        sender._enabled = False  # As a browser whose network lets media through no more.
        for _ in range(6):
            page.channel.send("ping")
            await asyncio.sleep(0.5)
        assert agent.of("call.held") == []
        assert (await agent.wait("call.held"))["by"] == "network"


async def test_a_lost_page_that_stays_away_ends_its_call(tmp_path: Path) -> None:
    async with (
        running(tmp_path, webrtc_resume_s=0.5) as server,
        registered(server.ws) as agent,
        browser(server) as page,
    ):
        await agent.wait("session.ready")
        lose(page)
        ended: Frame = await agent.wait("call.ended")
        assert (ended["reason"], "did not come back" in ended["detail"]) == ("failed", True)


def lose(page: Browser) -> None:
    """The network is gone: nothing leaves any more, not even a good-bye."""
    ice = page.pc.getTransceivers()[0].receiver.transport.transport

    async def nowhere(data: bytes) -> None: ...

    ice._send = nowhere


async def test_an_agent_may_change_the_greeting_for_a_caller_whom_it_knows(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws, greeting="Hello.") as agent:

        def welcome(started: Frame) -> Frame:
            greeting = f"Welcome back, {started['metadata']['name']}."
            return {"event": "session.configure", "session_id": started["call_id"], "greeting": greeting}

        agent.on["call.started"] = welcome
        given = await token(server, metadata='{"name":"Ana"}')
        async with browser(server, token=given):
            spoken = await agent.wait("bot.speaking")
            assert spoken["text"] == "Welcome back, Ana."
            started = await agent.wait("call.started")
            assert spoken["ts"] - started["ts"] < 0.5, "not the whole wait"
        del agent.on["call.started"]
        assert await waited_s(server, await token(server, metadata='{"name":"Bob"}')) >= 0.55
        assert await waited_s(server, await token(server)) < 0.5, "nothing is known of that caller"


async def waited_s(server: Running, given: str) -> float:
    """From the beginning of a call to its greeting."""
    async with browser(server, token=given) as page:
        spoken, started = await page.wait("bot.speaking"), await page.wait("call.started")
        assert spoken["text"] == "Hello."
        waited: float = spoken["ts"] - started["ts"]
        return waited
