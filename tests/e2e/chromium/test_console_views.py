"""The console in a real browser, on a real server, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.harness import Frame, Running, in_order, registered, reply, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

GREETING = "Good evening, this is the Blue Door."
STORY = (
    "Once upon a time there was a small wire that wanted to talk, and all day long it listened to other "
    "wires, which carried the voices of people far away."
)
FROM, TO = "+15550001111", "+15550002222"
expect.set_options(timeout=15_000)


@asynccontextmanager
async def console(
    browser: Browser, server: Running, path: str = "/", *, microphone: bool = True, width: int = 1280
) -> AsyncIterator[Page]:
    """A page of the console; what it complains of fails the test."""
    context = await browser.new_context(viewport={"width": width, "height": 800})
    if microphone:
        await context.grant_permissions(["microphone"])
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda told: complaints.append(told.text) if "Security Policy" in told.text else None)
    try:
        await page.goto(server.url + path)
        yield page
        assert complaints == []
    finally:
        await context.close()


async def test_a_call_is_made_and_looked_into(tmp_path: Path, browser: Browser) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=GREETING) as agent,
        console(browser, server) as page,
    ):
        agent.on["turn.end"] = reply(STORY)
        await page.get_by_role("button", name="Call tester").click()
        captions = page.get_by_label("Captions")
        await expect(captions).to_contain_text(GREETING)
        assert (await agent.wait("call.started"))["transport"] == "webrtc"
        await agent.wait("bot.finished")

        await page.get_by_label("Say in writing").fill("tell me a story")
        await page.keyboard.press("Enter")
        await expect(captions).to_contain_text("tell me a story")
        await agent.wait("bot.word", word_index=10)
        await expect(captions).to_contain_text("Once upon a time there was a small wire")
        await expect(page.get_by_label("Response times").locator(".total")).to_have_text(
            re.compile(r"\d+ ms|\d\.\d\d s")
        )
        # Cut off: what the page shows as heard is what the history keeps, and the rest is struck through.
        agent.on["turn.end"] = reply("All right.")
        await page.get_by_label("Say in writing").fill("hold on")
        await page.keyboard.press("Enter")
        heard = (await agent.wait("message.confirmed", 2))["text"]
        cut = captions.locator("p", has=page.locator("del"))
        await expect(cut).to_contain_text(heard)
        # Of a long rest only the beginning is shown.
        rest = STORY.removeprefix(heard).strip()
        assert rest
        await expect(cut.locator("del")).to_have_text(re.compile(rf"not heard:\s*{re.escape(rest[:20])}"))

        await agent.wait("bot.finished", 2)
        await page.get_by_role("button", name="Mute").click()
        assert (await agent.wait("call.muted"))["by"] == "user"
        await page.get_by_role("button", name="Unmute").click()
        await agent.wait("call.unmuted")
        await page.get_by_role("button", name="Hang up").click()
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"
        in_order(agent.frames)

        await page.get_by_role("link", name="Look into it").click()
        told = [frame for frame in agent.frames if "seq" in frame]
        await expect(page.get_by_label("Events", exact=True).locator(".card-head .figure")).to_have_text(
            str(len(told) + 1)  # The summary of the call, which is not its agent's.
        )
        transcript = page.get_by_label("Transcript")
        for text in (GREETING, "tell me a story", heard, "hold on", "All right.", "Call muted by the user"):
            await expect(transcript).to_contain_text(text)
        await _by_keyboard(page, told)


async def _by_keyboard(page: Page, told: list[Frame]) -> None:
    """From event to event on the timeline; the one that is chosen is shown among the events."""
    timeline = page.get_by_role("application")
    await timeline.focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    opened = page.get_by_label("Events", exact=True).locator(".opened strong")
    first = await opened.inner_text()
    assert first in {frame["event"] for frame in told}
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    await expect(opened).not_to_have_text(first)
    words = sum(frame["event"] == "bot.word" for frame in told)
    await page.get_by_label("Filter events by name or text").fill("bot.word")
    await expect(page.get_by_label("Events", exact=True).locator(".card-head .figure")).to_have_text(
        f"{words} of {len(told) + 1}"
    )


async def test_calls_come_and_go_in_the_list(tmp_path: Path, browser: Browser) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=GREETING) as agent,
        server.carrier() as carrier,
        console(browser, server, "/#/calls") as page,
    ):
        await expect(page.get_by_text("Nobody is on the line")).to_be_visible()
        await expect(page.get_by_text(f"{server.url}/twilio/voice")).to_be_visible()
        call = await carrier.place_call(FROM, TO)
        row = page.get_by_role("row", name=FROM)
        await expect(row).to_contain_text(f"to {TO}")
        await expect(row).to_contain_text(GREETING)
        await page.get_by_role("link", name=FROM).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("tester")
        await expect(page.get_by_label("Transcript")).to_contain_text(GREETING)
        await expect(page.get_by_role("button", name="Follow")).to_be_visible()
        call.hang_up()
        await agent.wait("call.ended")
        await expect(page.get_by_text("Ended", exact=True)).to_be_visible()
        await page.get_by_role("link", name="Calls", exact=True).last.click()
        await expect(page.get_by_role("heading", name="Just ended")).to_be_visible()


async def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, browser: Browser) -> None:
    async with running(tmp_path) as server, console(browser, server, microphone=False) as page:
        await expect(page.get_by_role("heading", name="No agent is online")).to_be_visible()
        await expect(page.get_by_text("examples/echo.py")).to_be_visible()
        async with registered(server.ws, "late"):
            await page.get_by_role("button", name="Call late").click()
            await expect(page.get_by_role("alert")).to_contain_text("did not give the microphone")
            await expect(page.get_by_role("button", name="Call again")).to_be_visible()
        await page.goto(f"{server.url}/#/calls/unknown")
        await expect(page.get_by_role("heading", name="This call is not here")).to_be_visible()
