"""The wire by hand, as docs/browser.md describes it, in a page of a real browser."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Browser

from media import wav
from tests.e2e.browser import token
from tests.e2e.chromium.harness import BLANK, chromium, tab, told
from tests.e2e.chromium.network import between
from tests.e2e.harness import CLIPS, in_order, registered, reply, running

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

LONG = "It is ten past eight in the evening, and the shop is open until nine, every day but on Sundays. " * 2


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """What the browser's device captures: two seconds of silence, then a question."""
    pcm, rate_hz = wav.read(CLIPS / "time.wav")
    path = tmp_path / "spoken.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(np.concatenate([np.zeros(2 * rate_hz, np.int16), pcm]).tobytes())
    return path


async def test_a_microphone_is_heard_and_answered(tmp_path: Path, spoken: Path) -> None:
    """With the browser's own capture, of a file in place of a device."""
    device = f"--use-file-for-fake-audio-capture={spoken}%noloop"
    hints = {"phrases": ["can you tell me the time", "what day is it", "tell me a story"]}
    async with (
        chromium(device) as with_device,
        running(tmp_path, stt=("pocketsphinx",)) as server,
        registered(server.ws, greeting="Hello there.", stt=hints) as agent,
        tab(with_device, f"{server.url}/page", html=BLANK, script="window.labRealMicrophone = true") as page,
    ):
        agent.on["turn.end"] = reply("It is ten past eight.")
        answer = await page.call(server.url, token=await token(server))
        assert answer["status"] == 200, answer
        message = await page.wait("user.message")
        assert "time" in message["text"]
        finished = await page.wait("bot.finished", 2)
        await page.quiet()
        (start, end) = (await page.heard()).since(message["at"]).whole
        assert abs(end - start - finished["duration_ms"]) < 150
        assert page.errors == []
        in_order(agent.frames)


async def test_a_lost_network_costs_a_pause(tmp_path: Path, browser: Browser) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=LONG) as agent,
        tab(browser, f"{server.url}/page", html=BLANK) as page,
        between(page.page) as network,
    ):
        await page.call(server.url, token=await token(server))
        await page.wait("bot.word", 4)
        first = await page.wait("session.connected")
        network.cut()
        cut = await page.now()
        assert (await agent.wait("call.held"))["by"] == "network"
        last_seq = (await page.frames("bot.word"))[-1]["seq"]
        offered = await page.now()
        answer = await page.call(server.url, resume=first["resume_token"], last_seq=last_seq)
        assert answer["call_id"] == first["call_id"]
        resumed = await page.wait("bot.resumed")
        await page.wait("bot.word", word_index=resumed["word_index"] + 2)
        seen = [frame["seq"] for frame in await page.frames() if "seq" in frame]
        assert seen == sorted(set(seen))
        heard = await page.heard()
        assert not heard.since(cut + 500).until(offered).loud
        back = heard.since(offered).loud[0]
        told("lost network", {"silent": back - cut, "from the offer": back - offered})
        assert abs(back - resumed["at"]) < 300
