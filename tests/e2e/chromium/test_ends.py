"""How calls of the browser client end, and how they do not come about, in a real page."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.chromium.harness import BLANK, opened, tab, told
from tests.e2e.harness import KEY, Running, free_port, registered, running
from tests.e2e.test_process import environment, serving

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("data")) as started:
        yield started


async def test_the_agent_hangs_up_and_the_page_knows_at_once(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "curt") as agent,
        tab(browser, f"{server.url}/page", html=BLANK) as page,
    ):
        await page.session(server.url, "curt")
        assert await page.connect() is None
        await agent.send("call.hangup", call_id=(await page.view())["callId"])
        ended = await agent.wait("call.ended")
        closed = await page.event("connection.closed")
        assert (closed["reason"], closed["detail"]) == ("server_closed", "client_hangup")
        assert closed["at"] - ended["ts"] * 1000 < 1000
        assert (await page.view())["status"] == "closed"
        assert await page.page.evaluate("lab.peers.every((peer) => peer.connectionState === 'closed')")


@pytest.mark.parametrize("how", ["closed", "left"])
async def test_a_tab_that_goes_ends_its_call(server: Running, browser: Browser, how: str) -> None:
    async with (
        registered(server.ws, how) as agent,
        tab(browser, f"{server.url}/page", html=BLANK) as page,
    ):
        await page.session(server.url, how)
        assert await page.connect() is None
        await (page.page.close() if how == "closed" else page.page.goto("about:blank"))
        async with asyncio.timeout(2):
            ended = await agent.wait("call.ended")
        assert ended["reason"] == "client_hangup"


async def test_two_tabs_have_a_call_each(server: Running, browser: Browser) -> None:
    async with (
        registered(server.ws, "both", greeting="Hello, and welcome to both of you.") as agent,
        tab(browser, f"{server.url}/page", html=BLANK) as page,
    ):
        other = await opened(page.page.context, f"{server.url}/page", html=BLANK)
        for one in (page, other):
            await one.session(server.url, "both")
            assert await one.connect() is None
        ids = [(await one.view())["callId"] for one in (page, other)]
        assert len(set(ids)) == 2
        await page.page.evaluate("lab.live.disconnect()")
        assert (await agent.wait("call.ended"))["call_id"] == ids[0]
        await other.event("bot.speech.ended", interrupted=False)
        assert (await other.view())["status"] == "connected"


@asynccontextmanager
async def process(env: dict[str, str]) -> AsyncIterator[subprocess.Popen[str]]:
    """A server of its own, without holding up the loop."""
    server = serving(env)
    started = await asyncio.to_thread(server.__enter__)
    try:
        yield started
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


async def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, browser: Browser) -> None:
    """The call is lost with its server. The page says so, and calls anew."""
    env = environment(tmp_path, free_port(), TALKWIRE_API_KEYS=KEY)
    url, ws = (f"{scheme}://127.0.0.1:{env['TALKWIRE_PORT']}" for scheme in ("http", "ws"))
    async with tab(browser, f"{url}/page", html=BLANK) as page:
        async with process(env) as first, registered(ws):
            await page.session(url, "tester")
            assert await page.connect() is None
            first.kill()
            killed = await page.now()
        async with process(env), registered(ws):
            lost = await page.event("connection.lost")
            closed = await page.event("connection.closed")
            told("killed server", {"noticed": lost["at"] - killed, "closed": closed["at"] - killed})
            assert (closed["reason"], closed["retryable"]) == ("network_lost", True)
            assert await page.connect() is None
            assert (await page.view())["status"] == "connected"
