"""The routes. Each leads to a door; nothing is decided here."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from server.doors import browser, page, twilio
from server.doors.agent import agent_door
from server.doors.tap import tap_door
from server.services import Services
from server.version import __version__


def create_app(services: Services) -> FastAPI:
    """The server's ASGI application."""
    app = FastAPI(title="Talkwire", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    _http(app, services)
    _browser(app, services)
    _sockets(app, services)
    app.add_middleware(_SingleSlashes)
    return app


class _SingleSlashes:
    """Some clients join a base that ends in a slash with a path that begins with one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path.startswith("//"):
            scope = {**scope, "path": "/" + path.lstrip("/")}
        await self._app(scope, receive, send)


def _http(app: FastAPI, services: Services) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @app.get("/readyz")
    async def readyz() -> Response:
        if services.calls.draining:
            return JSONResponse({"status": "draining"}, 503)
        return JSONResponse({"status": "ready"})

    @app.get("/")
    async def index(request: Request) -> Response:
        return HTMLResponse(page.render(services, detailed=services.open_door(request.headers)))

    @app.get("/v1/stats")
    async def stats(request: Request) -> Response:
        """Figures for operators and benchmarks; for holders of a key, or by the open-door rule."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and services.keys.check(key.strip())
        if not known and not services.open_door(request.headers):
            return JSONResponse(
                {"error": "send Authorization: Bearer <API key>", "code": "UNAUTHORIZED"}, 401
            )
        figures = {
            "calls": len(services.calls),
            "tasks": len(asyncio.all_tasks()),
            "loop_lag": services.lag.summary(),
        }
        return JSONResponse(figures)

    @app.get("/client")
    async def client() -> Response:
        return PlainTextResponse(
            "this is a WebSocket: see server/protocol/PROTOCOL.md", 426, {"Upgrade": "websocket"}
        )

    @app.post("/twilio/voice")
    async def voice(request: Request) -> Response:
        return await twilio.voice(request, services)


def _browser(app: FastAPI, services: Services) -> None:
    @app.get("/webrtc/token")
    @app.get("/chat/token")
    @app.get("/stream/token")
    async def token(request: Request) -> Response:
        return browser.token(request, request.url.path.split("/")[1], services)

    @app.get("/api/sdk/agent-info/{agent_id}")
    async def agent_info(agent_id: str) -> Response:
        return browser.agent_info(agent_id, services)

    if not services.settings.webrtc:
        return
    # Only where it is switched on: aiortc takes half a second to import.
    from server.doors.webrtc import BrowserCalls

    calls = BrowserCalls(services)

    @app.get("/webrtc/ice-servers")
    async def ice_servers(request: Request) -> Response:
        return browser.ice_servers(request, services)

    @app.post("/webrtc/offer")
    async def offer(request: Request) -> Response:
        return await calls.offer(request)

    @app.options("/webrtc/offer")
    @app.options("/webrtc/ice-servers")
    async def preflight() -> Response:
        return browser.preflight()


NO_SOCKET = "there is no WebSocket at this path: agents connect to /client"
"""Else a mistyped path would be told as HTTP 403, and looked for in the key."""


def _sockets(app: FastAPI, services: Services) -> None:
    @app.websocket("/client")
    async def client(websocket: WebSocket) -> None:
        await agent_door(websocket, services)

    @app.websocket("/v1/tap")
    async def tap(websocket: WebSocket) -> None:
        await tap_door(websocket, services)

    @app.websocket(twilio.MEDIA_PATH + "{token}")
    async def media(websocket: WebSocket, token: str) -> None:
        await twilio.media(websocket, token, services)

    @app.websocket("/{path:path}")
    async def elsewhere(websocket: WebSocket, path: str) -> None:
        await websocket.send_denial_response(PlainTextResponse(NO_SOCKET, 404))
