"""What a page hears against what it is told, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import token
from tests.e2e.chromium.harness import BLANK, Tab, tab, told
from tests.e2e.harness import Running, registered, running

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

COUNTED = "One. Two. Three. Four. Five. Six. Seven. Eight."
LONG = "It is ten past eight in the evening, and the shop is open until nine, every day but on Sundays. " * 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("data")) as started:
        yield started


async def called(page: Tab, server: Running, agent_id: str) -> None:
    answer = await page.call(server.url, token=await token(server, agent_id))
    assert answer["status"] == 200, answer


async def test_captions_keep_step_with_the_voice(server: Running, browser: Browser) -> None:
    """Each word is a sentence of its own, so that its beginning can be heard."""
    async with (
        registered(server.ws, "counter", greeting=COUNTED),
        tab(browser, f"{server.url}/page", html=BLANK) as page,
    ):
        await called(page, server, "counter")
        finished = await page.wait("bot.finished")
        await page.quiet()
        words = await page.frames("bot.word")
        heard = await page.heard()
        sounds = heard.runs(gap_ms=150)
        assert [word["word"] for word in words] == COUNTED.split()
        assert len(sounds) == len(words)
        steps = [word["at"] - start for word, (start, _) in zip(words, sounds, strict=True)]
        p50, p95 = np.percentile(np.abs(steps), (50, 95))
        told("caption against sound", {"p50": p50, "p95": p95, "earliest": min(steps), "latest": max(steps)})
        assert p95 < 500
        start, end = heard.whole
        assert abs(end - start - finished["duration_ms"]) < 500


async def test_speech_over_the_bot_silences_it(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "talker", greeting=LONG),
        tab(browser, f"{server.url}/page", "repeat.wav", html=BLANK) as page,
    ):
        await called(page, server, "talker")
        await page.wait("bot.word", 8)
        onset, _ = await page.say("repeat.wav")
        interrupted = await page.wait("bot.interrupted")
        await page.quiet()
        heard = await page.heard()
        start, silent = heard.whole
        off = silent - start - interrupted["played_ms"]
        told(
            "barge-in",
            {"silent after": silent - onset, "told after": interrupted["at"] - onset, "heard over told": off},
        )
        assert silent - onset < 2000
        assert abs(off) < 1000


async def test_the_client_plays_nothing_of_what_is_void(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "stopped", greeting=LONG),
        tab(browser, f"{server.url}/page", "repeat.wav", html=BLANK) as page,
    ):
        await page.session(server.url, "stopped")
        await page.connect()
        await page.wait("bot.word", 8)
        onset, _ = await page.say("repeat.wav")
        cleared = await page.wait("audio.clear")
        await page.wait("bot.interrupted")
        await page.quiet()
        after = [end - cleared["at"] for end in (await page.heard()).loud if end > onset]
        told("sound after audio.clear", {"ms": max(after), "void": cleared["ms"]})
        assert max(after) < 100, "of the 160 ms that were on their way"
        assert 100 <= cleared["ms"] <= 700
        # And what comes later is heard.
        await page.send(action="inject_text", text="go on")
        assert await page.page.evaluate("() => lab.peers.at(-1).getReceivers()[0].track.enabled")
        assert await page.page.evaluate("() => lab.peers.at(-1).getReceivers()[0].jitterBufferTarget") == 160


async def test_speech_is_told_while_it_begins(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "listener") as agent,
        tab(browser, f"{server.url}/page", "time.wav", "hello.wav", html=BLANK) as page,
    ):
        await called(page, server, "listener")
        await page.wait("session.ready")
        delays = []
        for number, clip in enumerate(["time.wav", "hello.wav"], start=1):
            onset, _ = await page.say(clip)
            started = await page.wait("speech.started", number)
            delays.append(started["at"] - onset)
            assert abs(started["timestamp"] * 1000 - onset) < 500
            await page.wait("speech.ended", number)
        told("speech.started after the onset", {"p50": float(np.median(delays)), "worst": max(delays)})
        assert max(delays) < 1000
        assert len(agent.of("speech.started")) == 2
