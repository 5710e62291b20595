"""The console in a real browser: a call from its button to its page, by mouse, by keyboard and on a phone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e.chromium.harness import tab
from tests.e2e.harness import KEY, TIMEOUT_S, Running, registered, reply, running
from tests.e2e.test_openai import ENGINES
from tests.fakes.openai_endpoint import endpoint

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

expect.set_options(timeout=TIMEOUT_S * 1000)

GREETING = "Hello, this is the clock. Ask me for the time, and I will tell it to you."
PHONE = {"width": 390, "height": 844}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with endpoint(transcript="can you tell me the time") as engines:
        ears = {"stt": ("openai",), "stt_model": ENGINES["stt_model"], "openai_base_url": engines.base_url}
        async with running(tmp_path_factory.mktemp("data"), **ears) as started:
            yield started


async def test_an_operator_calls_and_looks_into_the_call(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "clock", greeting=GREETING) as agent,
        tab(browser, f"{server.url}/", "time.wav", guarded=True) as lab,
    ):
        agent.on["turn.end"] = reply("It is ten past eight in the evening.")
        page = lab.page
        await page.get_by_role("button", name="Call clock").click()
        captions = page.get_by_role("region", name="Captions")
        await expect(captions).to_contain_text("Hello, this is the clock.")
        await lab.say("time.wav")
        await expect(captions).to_contain_text("can you tell me the time")
        waits = page.get_by_role("region", name="Response times")
        await expect(waits).to_contain_text(re.compile(r"median \d"))
        await expect(captions).to_contain_text("It is ten past eight in the evening.")
        assert (await lab.heard()).loud
        field = page.get_by_role("textbox", name="Say in writing")
        await field.fill("and the day")
        await field.press("Enter")
        await expect(captions).to_contain_text("and the day")
        await agent.wait("turn.end", 2)
        await page.get_by_role("button", name="Hang up").click()
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"
        await page.get_by_role("link", name="Look into it").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("clock")
        transcript = page.get_by_role("region", name="Transcript")
        await expect(transcript).to_contain_text("can you tell me the time")
        await expect(transcript).to_contain_text("(typed)")
        events = page.get_by_role("region", name="Events")
        await events.get_by_role("searchbox").fill("turn.end")
        rows = events.get_by_role("option")
        await expect(rows).to_have_count(2)
        await rows.first.click()
        await expect(events.locator("pre")).to_contain_text('"event": "turn.end"')
        assert await page.locator("canvas").count() >= 1
        assert await drawn(page), "both voices are on the timeline"
        await page.get_by_role("link", name="Calls", exact=True).first.click()
        await expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
        await expect(page.get_by_role("table")).to_contain_text("clock")
        assert lab.errors == []


async def drawn(page: Page) -> bool:
    """Something stands on the largest canvas."""
    found: bool = await page.evaluate(
        """() => [...document.querySelectorAll("canvas")].some((canvas) => {
             const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
             return new Set(new Uint32Array(data.buffer)).size > 4;
           })"""
    )
    return found


async def test_a_call_by_keyboard_alone(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "keys", "+15550000001", greeting=GREETING) as agent,
        tab(browser, f"{server.url}/", "time.wav", guarded=True) as lab,
    ):
        page = lab.page

        async def reach(name: str) -> None:
            """Go on with the tab key until the focus is where it is to be."""
            for _ in range(40):
                await page.keyboard.press("Tab")
                focused = await page.evaluate(
                    "() => document.activeElement.getAttribute('aria-label') || document.activeElement.innerText"
                )
                if name in (focused or ""):
                    return
            raise AssertionError(f"the tab key does not lead to {name}")

        await expect(page.get_by_role("button", name=re.compile("^Call "))).to_be_visible()
        await reach("Call keys")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Hello, this is the clock.").first).to_be_visible(timeout=15_000)
        await reach("Mute")
        await page.keyboard.press("Space")
        assert (await agent.wait("call.muted"))["by"] == "user"
        await reach("Hang up")
        await page.keyboard.press("Enter")
        await agent.wait("call.ended")
        await reach("Look into it")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("keys")
        await reach("Events; arrow keys choose")
        await page.keyboard.press("ArrowDown")
        await expect(page.get_by_role("option", selected=True)).to_have_count(1)
        assert lab.errors == []


async def test_a_phone_shows_all_of_it(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "small", "+15550000002", greeting=GREETING) as agent,
        tab(
            browser, f"{server.url}/", viewport=PHONE, guarded=True, has_touch=True, color_scheme="dark"
        ) as lab,
    ):
        page = lab.page

        async def fits() -> None:
            width = await page.evaluate("() => document.documentElement.scrollWidth")
            assert width <= PHONE["width"], "nothing is cut off at the right"

        await page.get_by_role("button", name="Call small").tap()
        await expect(page.get_by_text("Hello, this is the clock.").first).to_be_visible(timeout=15_000)
        await fits()
        await page.get_by_role("button", name="Hang up").tap()
        await agent.wait("call.ended")
        await page.get_by_role("link", name="Look into it").tap()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("small")
        await fits()
        await page.goto(f"{server.url}/#/calls")
        await expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
        await fits()


async def test_a_stranger_signs_in(tmp_path: Path, browser: Browser) -> None:
    async with (
        running(tmp_path, public_url="https://voice.example.org") as server,
        registered(server.ws, "secret") as agent,
        tab(browser, f"{server.url}/", guarded=True) as lab,
    ):
        page = lab.page
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert "secret" not in await page.content()
        key = page.get_by_label("API key")
        await key.fill("tw_wrong")
        await key.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await key.fill(KEY)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("button", name="Call secret").click()
        await agent.wait("session.ready")
        await page.get_by_role("button", name="Hang up").click()
        await agent.wait("call.ended")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
