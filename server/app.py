"""The routes. Each leads to a door; nothing is decided here."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from server.doors import audiosocket, browser, recording, twilio
from server.doors.agent import agent_door
from server.doors.attach import Attached
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
from server.doors.directory import Directory
from server.doors.guard import Guard
from server.doors.live import LiveDoor
from server.doors.streams import EventStreams
from server.doors.supervise import supervise
from server.doors.tap import tap_door
from server.doors.twilio.checked import proof
from server.doors.v1 import CallsDoor
from server.services import Services
from server.version import __version__

DOCUMENTS: Final = Path(__file__).parent / "protocol"


def create_app(services: Services) -> FastAPI:
    """The server's ASGI application."""
    app = FastAPI(title="Talkwire", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    guard = Guard(services)
    _http(app, services)
    _calls(app, services, guard)
    _supervision(app, services, guard)
    if services.settings.console:
        _console(app, services, guard)
    twilio.add_routes(app, services)
    audiosocket.add_routes(app, services)
    _browser(app, services)
    _live(app, services, guard)
    _sockets(app, services, guard)
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


def standing(services: Services) -> Literal["ready", "lagging", "draining"]:
    """Whether a load balancer should send calls here."""
    if services.calls.draining:
        return "draining"
    return "lagging" if services.calls.lagging() else "ready"


DOCS_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def _http(app: FastAPI, services: Services) -> None:
    documents = Files(DOCUMENTS, DOCS_HEADERS)

    @app.get("/healthz")
    async def healthz(nonce: str = "") -> dict[str, str]:
        told = {"status": "ok", "version": __version__}
        return {**told, "proof": proof(nonce, services)} if nonce else told

    @app.get("/readyz")
    async def readyz() -> Response:
        status = standing(services)
        cluster = services.cluster.health()
        # Without Redis this node serves on by itself: a load balancer is not to take all of them away.
        told = {"status": status, "database": services.kept.state} | ({"cluster": cluster} if cluster else {})
        return JSONResponse(told, 200 if status == "ready" else 503)

    @app.get("/openapi.json")
    @app.get("/asyncapi.json")
    @app.get("/schema.json")
    async def document(request: Request) -> Response:
        return await documents.get_response(request.url.path[1:], request.scope)

    @app.get("/docs")
    async def docs(request: Request) -> Response:
        return await documents.get_response("docs.html", request.scope)

    @app.get("/client")
    async def client() -> Response:
        return PlainTextResponse(
            "this is a WebSocket: see server/protocol/PROTOCOL.md", 426, {"Upgrade": "websocket"}
        )


def _calls(app: FastAPI, services: Services, guard: Guard) -> None:
    door = CallsDoor(services, guard)
    _directory(app, services, door)

    @app.get("/v1/stats")
    async def stats(request: Request) -> Response:
        return await door.answer(request, door.stats)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        return await door.answer(request, door.metrics)

    @app.get("/v1/agents")
    async def agents(request: Request) -> Response:
        return await door.answer(request, door.agents)

    @app.get("/v1/agents/{agent_id}/calls")
    async def calls_of_agent(request: Request) -> Response:
        return await door.answer_granted(request, door.calls_of_agent)

    @app.get("/v1/agents/{agent_id}/stream")
    async def agent_stream(request: Request) -> Response:
        return await door.answer_granted(request, door.agent_stream)

    @app.get("/v1/calls/{call_id}/stream")
    async def call_stream(request: Request) -> Response:
        return await door.answer_granted(request, door.call_stream)

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
        return await door.answer_granted(request, door.events)

    @app.get("/v1/calls/{call_id}/transcript")
    async def transcript(request: Request) -> Response:
        return await door.answer(request, door.transcript)

    @app.get("/v1/calls/{call_id}/waveform")
    async def waveform(request: Request) -> Response:
        return await door.answer(request, door.waveform)

    @app.api_route("/v1/calls/{call_id}/recording", methods=["GET", "HEAD"])
    async def call_recording(request: Request, call_id: str) -> Response:
        return await recording.recording(request, call_id, services, guard)


def _supervision(app: FastAPI, services: Services, guard: Guard) -> None:
    @app.post("/v1/calls/{call_id}/supervise")
    async def supervised(request: Request, call_id: str) -> Response:
        return await supervise(request, call_id, services, guard)


def _directory(app: FastAPI, services: Services, door: CallsDoor) -> None:
    directory = Directory(services)

    @app.get("/api/sdk/agents")
    async def agents(request: Request) -> Response:
        return await door.answer(request, directory.agents)

    @app.delete("/api/sdk/agents/{agent_id}")
    async def displace(request: Request) -> Response:
        return await door.answer(request, directory.displace)

    @app.get("/api/sdk/phone-numbers")
    async def phone_numbers(request: Request) -> Response:
        return await door.answer(request, directory.phone_numbers)

    @app.get("/api/sdk/voices")
    async def voices(request: Request) -> Response:
        return await directory.voices(request)

    @app.get("/api/sdk/voice-preview")
    async def voice_preview(request: Request) -> Response:
        return await door.answer(request, directory.preview)

    @app.get("/api/sdk/twilio-balance")
    async def twilio_balance(request: Request) -> Response:
        return await door.answer(request, directory.balance)


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


def _live(app: FastAPI, services: Services, guard: Guard) -> None:
    door = LiveDoor(services, guard)

    @app.get("/live/{call_id}/player")
    async def player(request: Request, call_id: str) -> Response:
        return await door.player(request, call_id)

    @app.websocket("/live/{call_id}/ws")
    async def listen(websocket: WebSocket, call_id: str) -> None:
        await door.listen(websocket, call_id)


NO_SOCKET = "there is no WebSocket at this path: agents connect to /client"
"""Else a mistyped path would be told as HTTP 403, and looked for in the key."""


def _sockets(app: FastAPI, services: Services, guard: Guard) -> None:
    verbs = services.supervising.asked if services.settings.supervising else None
    attached, streams = Attached(services, guard, verbs), EventStreams(services, guard)

    @app.websocket("/client")
    async def client(websocket: WebSocket) -> None:
        await agent_door(websocket, services)

    @app.websocket("/v1/tap")
    async def tap(websocket: WebSocket) -> None:
        await tap_door(websocket, services)

    @app.websocket("/v1/attach")
    async def attach(websocket: WebSocket) -> None:
        await attached.door(websocket)

    @app.websocket("/ws/stream")
    async def stream(websocket: WebSocket) -> None:
        await streams.door(websocket)

    @app.websocket("/{path:path}")
    async def elsewhere(websocket: WebSocket, path: str) -> None:
        await websocket.send_denial_response(PlainTextResponse(NO_SOCKET, 404))
