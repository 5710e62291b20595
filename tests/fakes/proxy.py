"""A reverse proxy or a tunnel in front of the server, with what people have wrong in theirs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiohttp import web

Fault = Literal[
    "",
    "no_upgrade",
    "no_signature",
    "renames_path",
    "redirects",
    "login",
    "browser_page",
    "page",
    "down",
    "empty",
    "deaf",
]
_HOP = {"host", "connection", "upgrade", "transfer-encoding", "content-length", "keep-alive"}
_PAGE = "<!DOCTYPE html><html><body>You are about to visit a site served by ngrok</body></html>"


@dataclass
class Proxy:
    """Hands on to ``upstream`` what comes below ``prefix``."""

    upstream: str = ""
    fault: Fault = ""
    prefix: str = ""
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}{self.prefix}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.fault == "deaf":
            await asyncio.sleep(60)
        if (answer := self._own(request)) is not None:
            return answer
        path = request.raw_path.removeprefix(self.prefix)
        if self.fault == "renames_path":
            path = path.replace("/twilio/", "//twilio/", 1)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        if self.fault == "no_signature":
            headers = {name: value for name, value in headers.items() if name.lower() != "x-twilio-signature"}
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            if request.headers.get("Upgrade", "").lower() == "websocket" and self.fault != "no_upgrade":
                return await self._socket(request, http, path, headers)
            async with http.request(
                request.method, self.upstream + path, data=await request.read(), headers=headers
            ) as answer_:
                body = await answer_.read()
                kept = {name: value for name, value in answer_.headers.items() if name.lower() not in _HOP}
                return web.Response(status=answer_.status, body=body, headers=kept)

    def _own(self, request: web.Request) -> web.Response | None:
        browser = request.headers.get("User-Agent", "").startswith("Mozilla")
        page = web.Response(text=_PAGE, content_type="text/html")
        if self.fault == "redirects":
            return web.Response(status=301, headers={"Location": f"https://www.example.org{request.path}"})
        if self.fault == "login":
            return web.Response(status=401, text="who are you?")
        if self.fault == "page" or (self.fault == "browser_page" and browser):
            return page
        if self.fault == "down":
            return web.Response(status=502, text="Bad Gateway")
        if self.fault == "empty" or not request.path.startswith(self.prefix):
            return web.Response(status=404, text="nothing is here")
        return None

    async def _socket(
        self, request: web.Request, http: aiohttp.ClientSession, path: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        kept = {n: v for n, v in headers.items() if not n.lower().startswith("sec-websocket")}
        try:
            async with http.ws_connect(self.upstream + path, headers=kept) as up:
                down = web.WebSocketResponse()
                await down.prepare(request)

                async def back() -> None:
                    async for message in up:
                        await down.send_str(message.data)
                    await down.close()

                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(back())
                    async for message in down:
                        await up.send_str(message.data)
                    await up.close()
                return down
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status)


@asynccontextmanager
async def proxying(
    *, prefix: str = "", fault: Fault = "", context: ssl.SSLContext | None = None
) -> AsyncIterator[Proxy]:
    """It listens at once; what stands behind it may come later (``Proxy.upstream``)."""
    proxy = Proxy(prefix=prefix, fault=fault, scheme="https" if context else "http")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
    await site.start()
    proxy.port = runner.addresses[0][1]
    try:
        yield proxy
    finally:
        await runner.cleanup()
