"""The routes. Each leads to a door; nothing is decided here."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from server.doors import audiosocket, browser, recording, twilio
from server.doors.agent import agent_door
from server.doors.console import (
    ASSET_HEADERS,
    ASSETS,
    CLIENT,
    CLIENT_HEADERS,
    STATIC,
    ConsoleDoor,
    Files,
)
from server.doors.dial import dial
from server.doors.guard import Guard
from server.doors.tap import tap_door
from server.doors.twilio.checked import proof
from server.doors.v1 import CallsDoor
from server.services import Services
from server.version import __version__


def create_app(services: Services) -> FastAPI:
    """The server's ASGI application."""
    app = FastAPI(title="Talkwire", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    guard = Guard(services)
    _http(app, services)
    _calls(app, services, guard)
    if services.settings.console:
        _console(app, services, guard)
    twilio.add_routes(app, services)
    audiosocket.add_routes(app, services)
    _browser(app, services)
    _sockets(app, services)
    services.cluster.front(app)
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
    async def healthz(nonce: str = "") -> dict[str, str]:
        told = {"status": "ok", "version": __version__}
        return {**told, "proof": proof(nonce, services)} if nonce else told

    @app.get("/readyz")
    async def readyz() -> Response:
        cluster = services.cluster.health()
        more = {"cluster": cluster} if cluster else {}
        if services.calls.draining:
            return JSONResponse({"status": "draining", **more}, 503)
        # Without Redis this node serves on by itself: a load balancer is not to take all of them away.
        return JSONResponse({"status": "ready", **more})

    @app.get("/client")
    async def client() -> Response:
        return PlainTextResponse(
            "this is a WebSocket: see server/protocol/PROTOCOL.md", 426, {"Upgrade": "websocket"}
        )


def _calls(app: FastAPI, services: Services, guard: Guard) -> None:
    door = CallsDoor(services, guard)

    @app.get("/v1/stats")
    async def stats(request: Request) -> Response:
        return await door.answer(request, door.stats)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        return await door.answer(request, door.metrics)

    @app.get("/v1/agents")
    async def agents(request: Request) -> Response:
        return await door.answer(request, door.agents)

    @app.get("/v1/calls")
    async def calls(request: Request) -> Response:
        return await door.answer(request, door.calls)

    @app.delete("/v1/callers/{caller:path}")
    async def caller(request: Request) -> Response:
        return await door.answer(request, door.forget_caller)

    @app.post("/v1/calls")
    async def dialled(request: Request) -> Response:
        return await dial(request, services, guard)

    @app.get("/v1/calls/{call_id}")
    async def call(request: Request) -> Response:
        return await door.answer(request, door.call)

    @app.get("/v1/calls/{call_id}/events")
    async def events(request: Request) -> Response:
        return await door.answer(request, door.events)

    @app.get("/v1/calls/{call_id}/waveform")
    async def waveform(request: Request) -> Response:
        return await door.answer(request, door.waveform)

    @app.api_route("/v1/calls/{call_id}/recording", methods=["GET", "HEAD"])
    async def call_recording(request: Request, call_id: str) -> Response:
        return await recording.recording(request, call_id, services, guard)


def _console(app: FastAPI, services: Services, guard: Guard) -> None:
    door = ConsoleDoor(services, guard)

    @app.get("/")
    async def index(request: Request) -> Response:
        return await door.page(request)

    @app.get("/console/session")
    async def session(request: Request) -> Response:
        return door.session(request)

    @app.get("/console/token")
    async def token(request: Request) -> Response:
        return door.token(request)

    @app.post("/console/login")
    async def login(request: Request) -> Response:
        return await door.login(request)

    @app.post("/console/logout")
    async def logout(request: Request) -> Response:
        return door.logout(request)

    app.mount("/assets", Files(ASSETS, ASSET_HEADERS))


def _browser(app: FastAPI, services: Services) -> None:
    bundle = Files(STATIC, CLIENT_HEADERS)

    @app.api_route(f"/{CLIENT}", methods=["GET", "HEAD"])
    async def client(request: Request) -> Response:
        return await bundle.get_response(CLIENT, request.scope)

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

    @app.websocket("/{path:path}")
    async def elsewhere(websocket: WebSocket, path: str) -> None:
        await websocket.send_denial_response(PlainTextResponse(NO_SOCKET, 404))
