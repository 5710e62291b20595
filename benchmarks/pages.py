"""What a page in a real browser hears, against what it is told and when.

    python -m benchmarks.pages [--rounds 10]

A real server, Chromium with a microphone that speaks at known instants, and a meter on what it plays (10 ms a step).
Captions: each word of the bot is a sentence of its own, so that its beginning can be heard. Interruptions: a voice
begins at a random word of a long message. Needs Chromium; the relay also coturn. Nothing passes or fails here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from playwright.async_api import Browser
from playwright.async_api import TimeoutError as PlaywrightTimeout

from tests.e2e.browser import token
from tests.e2e.chromium.harness import BLANK, Tab, chromium, tab
from tests.e2e.chromium.network import between
from tests.e2e.chromium.relay import coturn
from tests.e2e.harness import Running, registered, running

COUNTED = "Ten. Two. Eight. Six. Nine. Seven. One. Eleven. Ten. Two."
"""Words that begin with a sound: an f is heard some 80 ms before it is loud enough to be seen."""
LONG = "It is ten past eight in the evening, and the shop is open until nine, every day but on Sundays. " * 4
CLIPS = ("time.wav", "hello.wav", "count.wav", "story.wav")


@dataclass
class Figures:
    samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, *values: float) -> None:
        self.samples[name] += values

    def table(self) -> str:
        rows = ["| ms | n | p50 | p95 | worst |", "|---|---|---|---|---|"]
        for name, found in self.samples.items():
            p50, p95 = np.percentile(found, (50, 95))
            rows.append(f"| {name} | {len(found)} | {p50:.0f} | {p95:.0f} | {max(found):.0f} |")
        return "\n".join(rows)


@contextlib.asynccontextmanager
async def called(
    server: Running, browser: Browser, greeting: str | None, *clips: str, client: bool = True
) -> AsyncIterator[Tab]:
    """A page that has called an agent, with the browser client or by hand."""
    said = {} if greeting is None else {"greeting": greeting}
    async with (
        registered(server.ws, **said),
        tab(browser, f"{server.url}/page", *clips, html=BLANK) as page,
    ):
        if client:
            await page.session(server.url, "tester")
            await page.connect()
        else:
            await page.call(server.url, token=await token(server))
        await page.wait("session.ready")
        yield page
        await page.page.evaluate("lab.peers.forEach((peer) => peer.close())")


async def captions(server: Running, browser: Browser, figures: Figures) -> None:
    async with called(server, browser, COUNTED) as page:
        finished = await page.wait("bot.finished")
        await page.quiet()
        heard, words = await page.heard(), await page.frames("bot.word")
        sounds = heard.runs(gap_ms=150)
        if len(sounds) == len(words):
            steps = [abs(word["at"] - start) for word, (start, _) in zip(words, sounds, strict=True)]
            figures.add("`bot.word` against the word's first sound (T1)", *steps)
        start, end = heard.whole
        figures.add("`duration_ms` against what was heard (T4)", abs(end - start - finished["duration_ms"]))


async def onsets(server: Running, browser: Browser, figures: Figures) -> None:
    async with called(server, browser, None, *CLIPS) as page:
        for number, clip in enumerate(CLIPS, start=1):
            onset, _ = await page.say(clip)
            started = await page.wait("speech.started", number)
            figures.add("onset of speech to `speech.started` in the page (S1)", started["at"] - onset)
            await page.wait("speech.ended", number)


async def interruption(server: Running, browser: Browser, figures: Figures, *, client: bool = True) -> None:
    async with called(server, browser, LONG, "time.wav", client=client) as page:
        await page.wait("bot.word", random.randint(8, 16))
        onset, _ = await page.say("time.wav")
        cut = await page.wait("bot.interrupted")
        await page.quiet()
        start, silent = (await page.heard()).whole
        how = "" if client else ", a page without the client"
        paused = next(frame for frame in await page.frames("bot.paused") if frame["at"] > onset)
        figures.add(f"onset of speech to `bot.paused`{how}", paused["at"] - onset)
        figures.add(f"onset of speech to the bot's last sound (S3){how}", silent - onset)
        figures.add(f"`played_ms` against what was heard (T4){how}", abs(silent - start - cut["played_ms"]))
        figures.add(f"the same, signed{how}", silent - start - cut["played_ms"])


async def by_hand(server: Running, browser: Browser, figures: Figures) -> None:
    await interruption(server, browser, figures, client=False)


async def loss(server: Running, browser: Browser, figures: Figures) -> None:
    """With the browser client: it has to notice, and comes back by another path."""
    async with (
        registered(server.ws, greeting=LONG),
        tab(browser, f"{server.url}/page", html=BLANK) as page,
        between(page.page) as network,
    ):
        await page.session(server.url, "tester")
        await page.connect()
        await page.wait("bot.word", 6)
        network.cut()
        cut = await page.now()
        noticed = await page.event("connection.lost")
        await page.event("connection.established", resumed=True)
        await page.wait("bot.resumed")
        await asyncio.sleep(0.5)
        again = (await page.heard()).since(noticed["at"]).loud[0]
        figures.add("network gone to `connection.lost`", noticed["at"] - cut)
        figures.add("`connection.lost` to the bot's first sound", again - noticed["at"])
        await page.page.evaluate("lab.live.disconnect()")


async def connecting(folder: Path, browser: Browser, figures: Figures, rounds: int) -> None:
    async with (
        coturn(folder) as relay,
        running(folder, **relay.settings) as server,
        registered(server.ws, greeting="Hello."),
    ):
        for _ in range(rounds):
            for name, policy in (("directly", "all"), ("by a relay", "relay")):
                async with tab(browser, f"{server.url}/page", html=BLANK) as page:
                    await page.session(server.url, "tester", iceTransportPolicy=policy)
                    began = await page.now()
                    await page.connect()
                    ready = await page.event("session.ready")
                    await page.event("bot.speech.ended")
                    heard = (await page.heard()).loud[0]
                    figures.add(f"`connect()` to `session.ready`, {name}", ready["at"] - began)
                    figures.add(f"`connect()` to the greeting's first sound, {name}", heard - began)
                    await page.page.evaluate("lab.live.disconnect()")


async def measure(rounds: int) -> Figures:
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        async with chromium() as browser, running(Path(folder)) as server:
            for _ in range(rounds):
                for one in (captions, onsets, interruption, by_hand, loss):
                    try:
                        await one(server, browser, figures)
                    except* (TimeoutError, PlaywrightTimeout) as late:
                        # What does not come on a busy machine is no figure.
                        print(f"left out: {one.__name__}: {late.exceptions[0]!r}"[:200])
        async with chromium() as browser:
            await connecting(Path(folder), browser, figures, rounds)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    print(asyncio.run(measure(parser.parse_args().rounds)).table())


if __name__ == "__main__":
    main()
