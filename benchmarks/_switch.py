"""A page that changes its network: for how long its caller hears nothing.

The bot speaks all the time. What a page hears of it is noted when it comes, without the buffer of a browser, which
bridges some of it. Three ways: the page makes the new connection while the old one still works; the old one is gone and
the page knows at once; it is gone for three seconds, so that the server holds the call and the bot waits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.webrtc import Page

Body = dict[str, Any]
Post = Callable[[Body], Awaitable[str]]
"""An offer's body to the SDP of its answer."""
BEFORE_S = 2.5
AFTER_S = 1.0
WAYS = {
    "new connection beside the old one": (False, 0.0),
    "old one gone, known at once": (True, 0.0),
    "old one gone for 3 s, call held": (True, 3.0),
}
"""Whether the old network is gone, and how long before the page offers anew."""


async def connected(page: Page, post: Post, **fields: Any) -> asyncio.Future[str]:
    """Connect a page; what it may come back with."""
    token: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_message(text: str) -> None:
        told = json.loads(text)
        if told["event"] == "session.connected" and not token.done():
            token.set_result(told["resume_token"])

    sdp = await page.offer()
    page.channel.on("message", on_message)
    await page.accept(await post({"sdp": sdp, "type": "offer", **fields}))
    return token


async def gap_ms(post: Post, packets: list[bytes], *, gone: bool, wait_s: float) -> tuple[float, float]:
    """From the last sound by the old connection to the first by the new one, and the same from the offer."""
    old, new = Page(packets), Page(packets)
    try:
        async with asyncio.timeout(30):
            token = await (await connected(old, post))
            await asyncio.sleep(BEFORE_S)
            if gone:
                _lose(old)
            await asyncio.sleep(wait_s)
            offered = asyncio.get_running_loop().time()
            heard = len(old.came)
            await connected(new, post, resume=token)
            while not new.came:
                await asyncio.sleep(0.005)
            await asyncio.sleep(AFTER_S)
    finally:
        await old.pc.close()
        await new.pc.close()
    first = new.came[0][0]
    last = max(at for at, _ in (old.came[:heard] if gone else old.came))
    return max(0.0, (first - last) * 1000), (first - offered) * 1000


def _lose(page: Page) -> None:
    """Nothing goes out any more, and nothing comes in."""

    async def nowhere(data: bytes) -> None: ...

    page.pc.getTransceivers()[0].receiver.transport.transport._send = nowhere
    page.deaf = True


async def table(post: Post, packets: list[bytes], count: int) -> list[str]:
    lines = ["| | silence, ms, p50 (worst) | from the offer to sound, ms, p50 (worst) |", "|---|---|---|"]
    for name, (gone, wait_s) in WAYS.items():
        found = [await gap_ms(post, packets, gone=gone, wait_s=wait_s) for _ in range(count)]
        silence, took = (sorted(values) for values in zip(*found, strict=True))
        middle = count // 2
        lines.append(
            f"| {name} | {silence[middle]:.0f} ({silence[-1]:.0f}) | {took[middle]:.0f} ({took[-1]:.0f}) |"
        )
    return lines
