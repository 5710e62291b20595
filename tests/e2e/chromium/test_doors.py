"""Which pages get a call, and what the others are told: the browser client in a real page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import token
from tests.e2e.chromium.harness import BLANK, tab, told
from tests.e2e.chromium.network import between
from tests.e2e.chromium.relay import coturn
from tests.e2e.chromium.shop import shop
from tests.e2e.harness import Running, registered, running

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("data")) as started:
        yield started


async def test_without_a_microphone_there_is_no_call(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "deaf") as agent,
        tab(browser, f"{server.url}/page", html=BLANK, microphone=False) as page,
    ):
        await page.session(server.url, "deaf")
        refused = await page.connect()
        assert refused is not None
        assert refused["code"] == "mic_denied"
        assert "microphone" in refused["message"]
        assert await page.events("mic.pending", "mic.granted", "mic.denied") == ["mic.pending", "mic.denied"]
        assert (await page.event("connection.closed"))["retryable"] is False
        assert agent.of("call.started") == []
        # Allowed after all, the same session calls.
        await page.page.context.grant_permissions(["microphone"])
        assert await page.connect() is None


async def test_tokens_that_are_wrong_or_used_open_nothing(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "strict"),
        tab(browser, f"{server.url}/page", html=BLANK) as page,
    ):
        good = await token(server, "strict")
        chat = await token(server, "strict", kind="chat")
        for given, said in ((good, None), (good, "used"), ("nonsense", "token"), (chat, "token")):
            await page.session(server.url, "strict", token=given)
            refused = await page.connect()
            if said is None:
                assert refused is None
                await page.page.evaluate("lab.live.disconnect()")
            else:
                assert refused is not None
                assert refused["code"] == "token_refused"
                assert said in refused["detail"]


async def test_nobody_answers(server: Running, browser: Browser) -> None:
    async with tab(browser, f"{server.url}/page", html=BLANK) as page, between(page.page) as network:
        await page.session(server.url, "nobody")
        refused = await page.connect()
        assert refused is not None
        assert (refused["code"], "not online" in refused["detail"]) == ("agent_offline", True)
        async with registered(server.ws, "somebody"):
            # The answer comes, but no packet goes through.
            network.dead = True
            await page.session(server.url, "somebody", readyTimeoutMs=1500)
            began = await page.now()
            refused = await page.connect()
            assert refused is not None
            assert refused["code"] == "media_failed"
            assert 1400 < await page.now() - began < 4000
            network.down = True
            await page.session(server.url, "somebody")
            refused = await page.connect()
            assert refused is not None
            assert refused["code"] == "signalling_failed"


async def test_pages_of_another_origin_call_where_they_are_listed(server: Running, browser: Browser) -> None:
    async with (
        shop(server, "sealed") as origin,
        registered(server.ws, "listed", allowed_origins=[origin], greeting="Hello."),
        registered(server.ws, "unlisted", "+15550000001", allowed_origins=["https://another.example.org"]),
        registered(
            server.ws, "sealed", "+15550000002", allowed_origins=["https://another.example.org"]
        ) as sealed,
        tab(browser, origin, microphone=True) as page,
    ):
        await page.session(server.url, "listed", server=server.url)
        assert await page.connect() is None
        await page.event("bot.speech.ended")
        assert (await page.heard()).loud
        await page.page.evaluate("lab.live.disconnect()")

        await page.session(server.url, "unlisted", server=server.url)
        refused = await page.connect()
        assert refused is not None
        assert (refused["code"], "403" in refused["detail"]) == ("token_refused", True)

        # Its own server asks for it, and says who the customer is.
        await page.session(server.url, "sealed", tokenUrl="/token", metadata={"customer": "1", "page": "/"})
        assert await page.connect() is None
        assert (await sealed.wait("call.started"))["metadata"] == {"customer": "42", "page": "/"}


async def test_a_page_that_reaches_only_a_relay(tmp_path: Path, browser: Browser) -> None:
    async with (
        coturn(tmp_path) as relay,
        running(tmp_path, **relay.settings) as server,
        registered(server.ws, greeting="Hello there, by a relay.") as agent,
        tab(browser, f"{server.url}/page", html=BLANK) as page,
        tab(browser, f"{server.url}/page", html=BLANK) as direct,
    ):
        ready = {}
        for name, one, options in (("relay", page, {"iceTransportPolicy": "relay"}), ("host", direct, {})):
            began = await one.now()
            await one.session(server.url, "tester", **options)
            assert await one.connect() is None
            ready[name] = (await one.event("session.ready"))["at"] - began
            await one.event("bot.speech.ended", interrupted=False)
            assert (await one.heard()).loud
        assert (await page.carried_by())[0] == "relay"
        assert (await direct.carried_by())[0] != "relay"
        told("ready after", ready)
        await page.page.evaluate("lab.live.disconnect()")
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"
