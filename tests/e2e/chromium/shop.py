"""Somebody else's web site: a server of its own, on another port and by another name, whose page calls ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from aiohttp import web

from tests.e2e.chromium.harness import BLANK
from tests.e2e.harness import KEY, Running, free_port


@asynccontextmanager
async def shop(server: Running, agent_id: str) -> AsyncIterator[str]:
    """Serves a page, and at ``/token`` what opens a call for a signed-in customer; answers the origin.

    Chromium takes any name below ``localhost`` for this machine, and lets its pages have a microphone. To the server
    it is the name of a stranger.
    """

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=BLANK, content_type="text/html")

    async def token(request: web.Request) -> web.Response:
        sealed = {"agent_id": agent_id, "metadata": '{"customer":"42"}'}
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
            given = (await http.get(f"{server.url}/webrtc/token", params=sealed)).json()
        return web.json_response({"token": given["token"], "server": server.url})

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/token", token)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://shop.localhost:{port}"
    finally:
        await runner.cleanup()
