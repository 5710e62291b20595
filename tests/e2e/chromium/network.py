"""A network between a page and the server that a test can cut: each connection goes over two sockets of ours.

The addresses in offer and answer are replaced on their way, so that neither side knows of another path.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from playwright.async_api import Page, Route

_HOST = re.compile(
    r"^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", re.IGNORECASE | re.MULTILINE
)
_LINES = re.compile(r"^a=(candidate|end-of-candidates)\b.*\r\n", re.MULTILINE)

Address = tuple[str, int]


class _Side(asyncio.DatagramProtocol):
    """One of the two sockets of a path: what comes here goes out at the other one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.transport: asyncio.DatagramTransport | None = None
        self.other: _Side | None = None
        self.peer: Address | None = None
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.peer = addr
        jitter_ms = self._path.jitter_ms
        if jitter_ms == 0:
            self._hand_on(data)
            return
        # Packets keep their order, as on most paths.
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time() + random.uniform(0, jitter_ms) / 1000)
        loop.call_at(self._due, self._hand_on, data)

    def _hand_on(self, data: bytes) -> None:
        other = self.other
        if not self._path.open or other is None or other.peer is None or other.transport is None:
            return
        if not other.transport.is_closing():
            other.transport.sendto(data, other.peer)

    def error_received(self, exc: Exception) -> None:
        """The far end has gone."""


class Path:
    """What one connection goes over."""

    def __init__(self, *, open: bool = True, jitter_ms: float = 0.0) -> None:
        self.open = open
        self.jitter_ms = jitter_ms
        self.to_server, self.to_browser = _Side(self), _Side(self)
        self.to_server.other, self.to_browser.other = self.to_browser, self.to_server

    async def lay(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self.to_server, (host, 0))
        await loop.create_datagram_endpoint(lambda: self.to_browser, (host, 0))

    def close(self) -> None:
        for side in (self.to_server, self.to_browser):
            if side.transport is not None:
                side.transport.close()


class Network:
    """Everything between one page and the server."""

    def __init__(self, jitter_ms: float = 0.0) -> None:
        self.paths: list[Path] = []
        self.jitter_ms = jitter_ms
        """Up to so much longer a packet takes than another, each way."""
        self.dead = False
        """New paths carry nothing either."""
        self.down = False
        """Requests for one fail."""

    def cut(self) -> None:
        """What is connected now carries nothing any more, in either direction."""
        for path in self.paths:
            path.open = False

    async def offer(self, route: Route) -> None:
        """A request to ``/webrtc/offer``."""
        if self.down:
            await route.abort("internetdisconnected")
            return
        body: dict[str, Any] = json.loads(route.request.post_data or "{}")
        path = Path(open=not self.dead, jitter_ms=self.jitter_ms)
        self.paths.append(path)
        path.to_browser.peer = _address(body["sdp"])
        await path.lay(path.to_browser.peer[0])
        response = await route.fetch(
            post_data=json.dumps({**body, "sdp": _by(path.to_server, body["sdp"])}),
            headers={**route.request.headers, "content-type": "application/json"},
        )
        answer = await response.json()
        if response.ok:
            path.to_server.peer = _address(answer["sdp"])
            answer["sdp"] = _by(path.to_browser, answer["sdp"])
        await route.fulfill(response=response, json=answer)


@asynccontextmanager
async def between(page: Page, jitter_ms: float = 0.0) -> AsyncIterator[Network]:
    """Put a network in between, for the calls that the page makes from now on."""
    network = Network(jitter_ms)
    await page.route("**/webrtc/offer", network.offer)
    try:
        yield network
    finally:
        for path in network.paths:
            path.close()


def _address(sdp: str) -> Address:
    found = _HOST.search(sdp)
    assert found is not None, f"no address of this machine:\n{sdp}"
    return found[1], int(found[2])


def _by(side: _Side, sdp: str) -> str:
    """The description with one candidate, in its first section."""
    assert side.transport is not None
    host, port = side.transport.get_extra_info("sockname")
    candidate = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host\r\na=end-of-candidates\r\n"
    head, first, *more = re.split(r"(?=^m=)", _LINES.sub("", sdp), flags=re.MULTILINE)
    return "".join([head, first + candidate, *more])
