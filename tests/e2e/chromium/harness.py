"""A real Chromium, its pages, and what is heard in them. ``lab.js`` is our half inside the page."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright

from tests.e2e.harness import CLIPS, TIMEOUT_S, Frame

LAB = Path(__file__).with_name("lab.js")
METER = Path(__file__).with_name("meter.js")
LOUD = 0.015
"""Of full scale, as in ``lab.js``."""
BLOCK_MS = 10.0
BLANK = "<!doctype html><title>A page</title>"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
)


def executable() -> str:
    """Chromium of this machine; without one the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium, or run make test as root on Debian")
    return found


@asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Browser]:
    """One browser process. Its pages have a microphone as soon as they are permitted to."""
    path = executable()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Levels:
    """Loudness of each 10 ms that a page heard, with the time at which the block was over."""

    blocks: Sequence[tuple[float, float]]

    def runs(self, gap_ms: float = 60.0) -> list[tuple[float, float]]:
        """Stretches of sound, first to last loud instant; silence shorter than ``gap_ms`` does not part them."""
        found: list[tuple[float, float]] = []
        for end, level in self.blocks:
            if level <= LOUD:
                continue
            if found and end - BLOCK_MS - found[-1][1] < gap_ms:
                found[-1] = found[-1][0], end
            else:
                found.append((end - BLOCK_MS, end))
        return found

    def since(self, at: float) -> Levels:
        return Levels([(end, level) for end, level in self.blocks if end - BLOCK_MS >= at])

    def until(self, at: float) -> Levels:
        return Levels([(end, level) for end, level in self.blocks if end <= at])

    @property
    def whole(self) -> tuple[float, float]:
        """The first and the last loud instant."""
        return self.loud[0] - BLOCK_MS, self.loud[-1]

    @property
    def loud(self) -> list[float]:
        """When the loud blocks ended."""
        return [end for end, level in self.blocks if level > LOUD]


@dataclass
class Tab:
    """One page of a test. Times in milliseconds since the epoch, as the page has them."""

    page: Page
    errors: list[str] = field(default_factory=list)

    async def say(self, clip: str) -> tuple[float, float]:
        """Speak a clip into the microphone; the times of the first and the last audible sample."""
        first, last = await self.page.evaluate("name => lab.say(name)", clip)
        return first, last

    async def until(self, true: str, argument: object = None, seconds: float = TIMEOUT_S) -> Any:
        """Wait for a JavaScript expression, or function of the argument, to be true; answers its value."""
        handle = await self.page.wait_for_function(true, arg=argument, timeout=seconds * 1000, polling=20)
        return await handle.json_value()

    async def wait(self, event: str, count: int = 1, seconds: float = TIMEOUT_S, **fields: Any) -> Frame:
        """The ``count``-th message of the call with this name and these fields; ``at`` is when it came."""
        wanted = {"event": event, **fields}
        frame: Frame = await self.until(
            """([wanted, count]) => lab.frames.filter(
                 (frame) => Object.entries(wanted).every(([key, value]) => frame[key] === value))[count - 1]""",
            [wanted, count],
            seconds,
        )
        return frame

    async def frames(self, event: str | None = None) -> list[Frame]:
        found: list[Frame] = await self.page.evaluate("() => lab.frames")
        return [frame for frame in found if event in (None, frame["event"])]

    async def send(self, **action: Any) -> None:
        await self.page.evaluate("action => lab.send(action)", action)

    async def heard(self) -> Levels:
        return Levels([(end, level) for end, level in await self.page.evaluate("() => lab.heard()")])

    async def quiet(self, for_ms: float = 300.0) -> None:
        """Wait until nothing is heard for so long."""
        await self.until("ms => lab.quietFor() >= ms", for_ms)

    async def now(self) -> float:
        at: float = await self.page.evaluate("() => lab.now()")
        return at

    async def call(self, server: str, **offer: Any) -> dict[str, Any]:
        """Call by hand; the answer's status and what it said."""
        answer: dict[str, Any] = await self.page.evaluate(
            "([server, offer]) => lab.call(server, offer)", [server, offer]
        )
        return answer

    # --- with the browser client --------------------------------------------------------------------------

    async def session(self, server: str, agent: str, /, **options: Any) -> None:
        """Make a session of the browser client that this server hands out."""
        await self.page.evaluate(
            "([client, options]) => lab.session(client, options)",
            [f"{server}/talkwire.js", {"agent": agent, **options}],
        )

    async def connect(self) -> dict[str, Any] | None:
        """Call; None when the agent listens, else ``{code, message, detail}`` of the error."""
        refused: dict[str, Any] | None = await self.page.evaluate("() => lab.connect()")
        return refused

    async def event(self, name: str, count: int = 1, seconds: float = TIMEOUT_S, **data: Any) -> Frame:
        """The data of the ``count``-th event of the session with this name and these data; ``at`` is when."""
        told: Frame = await self.until(
            """([name, data, count]) => lab.told.filter((told) => told.name === name &&
                 Object.entries(data).every(([key, value]) => told.data[key] === value))[count - 1]""",
            [name, data, count],
            seconds,
        )
        return {**told["data"], "at": told["at"]} if isinstance(told["data"], dict) else told

    async def events(self, *names: str) -> list[str]:
        """Names of what the session told, in order; of these names only, where some are given."""
        told: list[str] = await self.page.evaluate("() => lab.told.map(({ name }) => name)")
        return [name for name in told if name in names or not names]

    async def view(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.page.evaluate("() => JSON.parse(JSON.stringify(lab.live.view))")
        return found

    async def carried_by(self) -> list[str]:
        """Types of the candidates, ours and the server's, over which the call goes."""
        pair: list[str] = await self.until("() => lab.pair()")
        return pair


def clip(name: str) -> str:
    return base64.b64encode((CLIPS / name).read_bytes()).decode()


@asynccontextmanager
async def tab(
    browser: Browser,
    url: str,
    *clips: str,
    html: str | None = None,
    microphone: bool = True,
    guarded: bool = False,
    script: str = "",
    **context_options: Any,
) -> AsyncIterator[Tab]:
    """Open ``url`` in a context of its own, where ``html`` is served there if it is given. ``script`` runs first.
    ``guarded``: the page has a content security policy. ``context_options``: Playwright's, such as ``viewport``."""
    context = await browser.new_context(**context_options)
    try:
        yield await opened(
            context, url, *clips, html=html, microphone=microphone, guarded=guarded, script=script
        )
    finally:
        await context.close()


async def opened(
    context: BrowserContext,
    url: str,
    *clips: str,
    html: str | None = None,
    microphone: bool = True,
    guarded: bool = False,
    script: str = "",
) -> Tab:
    """A page in a context that is there already."""
    if microphone:
        await context.grant_permissions(["microphone"])
    page = await context.new_page()
    found = Tab(page)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on(
        "console", lambda said: found.errors.append(said.text) if "Content Security" in said.text else None
    )
    meter = json.dumps(METER.read_text())
    await page.add_init_script(script=f"const labMeter = {meter};\n{script};\n{LAB.read_text()}")
    if guarded:
        await page.route(url, _with_a_meter)
    if html is not None:
        await page.route(url, lambda route: route.fulfill(content_type="text/html", body=html))
    await page.goto(url)
    for name in clips:
        await page.evaluate("([name, data]) => lab.load(name, data)", [name, clip(name)])
    return found


async def _with_a_meter(route: Route) -> None:
    """The page as it is, but that its policy lets our meter in, and nothing else."""
    response = await route.fetch()
    headers = dict(response.headers)
    if policy := headers.get("content-security-policy"):
        headers["content-security-policy"] = policy.replace("script-src ", "script-src blob: ")
    await route.fulfill(response=response, headers=headers)


def told(title: str, figures: dict[str, float]) -> None:
    """Print what was measured; ``pytest -rP`` or ``-s`` shows it."""
    print(f"{title}: {json.dumps({name: round(value, 1) for name, value in figures.items()})}")
