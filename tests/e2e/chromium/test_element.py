"""``<talkwire-call>`` in a real page: one line of HTML, used by keyboard, under a strict policy."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.chromium.harness import tab
from tests.e2e.harness import Running, registered, reply, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

POLICY = "default-src 'none'; script-src 'self' blob:; connect-src 'self'"
"""Blob: our own meter, which the tests put into the page."""
PAGE = f"""<!doctype html><meta http-equiv="Content-Security-Policy" content="{POLICY}">
<script type="module" src="/talkwire.js"></script>
<talkwire-call agent="tester"></talkwire-call>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("data")) as started:
        yield started


async def test_a_call_by_keyboard_with_captions(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, greeting="Hello there.") as agent,
        tab(browser, f"{server.url}/page", "time.wav", html=PAGE) as page,
    ):
        agent.on["turn.end"] = reply("Two tickets, and nothing else.")
        element, keyboard = page.page.locator("talkwire-call"), page.page.keyboard
        await expect(element.get_by_role("button", name="Start call")).to_be_visible()
        await keyboard.press("Tab")
        await keyboard.press("Enter")
        await expect(element.get_by_role("status")).to_have_text("Your turn", timeout=15_000)
        log = element.locator("ol li")
        await expect(log).to_have_text(["Hello there."])
        await element.get_by_label("Or type here").focus()
        await keyboard.type("two tickets")
        await keyboard.press("Enter")
        await expect(log).to_have_text(["Hello there.", "two tickets", "Two tickets, and nothing else."])
        assert (await agent.wait("turn.end"))["reason"] == "typed"
        await element.get_by_role("button", name="Mute").press("Enter")
        assert (await agent.wait("call.muted"))["by"] == "user"
        await expect(element.get_by_role("button", name="Unmute")).to_be_visible()
        await element.get_by_role("button", name="Hang up").press("Enter")
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"
        await expect(element.get_by_role("status")).to_have_text("The call is over.")
        await expect(element.get_by_role("button", name="Call again")).to_be_visible()
        assert page.errors == []


async def test_its_looks_come_in_spite_of_the_policy(server: Running, browser: Browser) -> None:
    async with tab(browser, f"{server.url}/page", html=PAGE) as page:
        button = page.page.locator("talkwire-call").get_by_role("button", name="Start call")
        assert await button.evaluate("button => getComputedStyle(button).minHeight") == "44px"
        light = await button.evaluate("button => getComputedStyle(button).backgroundColor")
        await page.page.emulate_media(color_scheme="dark")
        assert await button.evaluate("button => getComputedStyle(button).backgroundColor") != light


async def test_a_page_that_gets_no_call_says_why_and_what_to_do(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws),
        tab(browser, f"{server.url}/page", html=PAGE.replace('"tester"', '"nobody"')) as page,
    ):
        element = page.page.locator("talkwire-call")
        await element.get_by_role("button", name="Start call").click()
        await expect(element.get_by_role("alert")).to_have_text(
            "Nobody is there to answer at the moment. Try again later."
        )
        await expect(element.get_by_role("button", name="Call again")).to_be_visible()


async def test_on_a_phone_nothing_is_wider_than_the_page(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, greeting="Donaudampfschifffahrtsgesellschaftskapitaenswitwe, hello.") as agent,
        tab(browser, f"{server.url}/page", "time.wav", html=PAGE) as page,
    ):
        await page.page.set_viewport_size({"width": 320, "height": 640})
        element = page.page.locator("talkwire-call")
        await element.get_by_role("button", name="Start call").click()
        await agent.wait("bot.finished")
        await expect(element.locator("ol li")).to_contain_text("hello.")
        assert await page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        sizes = await element.get_by_role("button").evaluate_all(
            "buttons => buttons.filter((b) => b.offsetParent).map((b) => b.offsetHeight)"
        )
        assert len(sizes) == 3
        assert min(sizes) >= 44
