"""A live call on the console, in a real browser: listened to, spoken in, taken over and ended, by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.chromium.test_console_views import FROM, GREETING, TO, console
from tests.e2e.harness import KEY, registered, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_person_beside_the_bot(tmp_path: Path, browser: Browser) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=GREETING) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        async with console(browser, server, f"/#/calls/{call_id}", microphone=False) as page:
            beside = page.get_by_label("Beside the bot")
            await expect(beside).to_be_visible()
            await page.get_by_role("button", name="Listen", exact=True).focus()
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("button", name="Stop listening")).to_have_attribute(
                "aria-pressed", "true"
            )
            await agent.wait("bot.finished")
            words = page.get_by_label("Words for the caller, or for the bot")
            await words.fill("He is an old friend.")
            await page.get_by_role("button", name="Whisper").click()
            await expect(page.get_by_label("Transcript")).to_contain_text(
                "console told the bot: “He is an old friend.”"
            )
            await page.get_by_role("button", name="Take over").click()
            await expect(beside).to_contain_text("console has the conversation: the bot is silent.")
            await words.fill("This is a person, hello.")
            await page.keyboard.press("Enter")
            await agent.wait("bot.word", 3)
            # It is heard here, too.
            await page.wait_for_function(
                "() => Number(document.querySelector('.listen .meter').style.getPropertyValue('--level')) > 0.3"
            )
            await expect(page.get_by_label("Transcript")).to_contain_text("console, by the bot's voice")
            await agent.wait("bot.finished", 2)
            await page.get_by_role("button", name="Release").click()
            await agent.wait("handoff.released")
            await page.get_by_role("button", name="End call").click()
            await page.get_by_role("button", name="End it").click()
            assert (await agent.wait("call.ended"))["detail"] == "ended by console"
            await expect(beside).to_have_count(0)
            async with page.expect_download() as begun:
                await page.get_by_role("link", name="Subtitles").click()
            subtitles = Path(await (await begun.value).path()).read_text()
            assert subtitles.startswith("WEBVTT")
            assert "<v Bot>This is a person, hello." in subtitles
        call.hang_up()


async def test_a_page_that_plays_one_call(tmp_path: Path, browser: Browser) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=GREETING) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        player = f"/live/{call_id}/player?token={KEY}"
        async with console(browser, server, player, microphone=False) as page:
            await page.get_by_role("button", name="Listen").click()
            await agent.send("bot.reply", call_id=call_id, message_id="m1", text=" ".join([GREETING] * 4))
            await page.wait_for_function(
                "() => Number(document.querySelector('.listen .meter')?.style.getPropertyValue('--level')) > 0.3"
            )
            call.hang_up()
            await expect(page.get_by_role("status")).to_have_text("The call is over.")
