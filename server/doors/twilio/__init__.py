"""Twilio's doors: the webhooks of calls, and the sockets of their audio."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response, WebSocket

from server.doors.twilio import dialled, forwarded
from server.doors.twilio import voice as incoming
from server.doors.twilio.media import media as carry
from server.doors.twilio.request import MEDIA_PATH
from server.services import Services
from telephony.carriers.twilio.carrier import (
    ANSWER_PATH,
    FORWARD_STATUS_PATH,
    FORWARDED_PATH,
    MACHINE_PATH,
    RESUME_PATH,
    STATUS_PATH,
    WHISPER_PATH,
)


def add_routes(app: FastAPI, services: Services) -> None:
    """Put them all into ``app``."""

    @app.post("/twilio/voice")
    async def voice(request: Request) -> Response:
        return await incoming.voice(request, services)

    @app.post(RESUME_PATH)
    async def resume(request: Request) -> Response:
        return await incoming.resume(request, services)

    @app.post("/twilio/status")
    async def status(request: Request) -> Response:
        return await incoming.number_status(request, services)

    @app.post(ANSWER_PATH + "{dial_id}")
    async def answered(request: Request, dial_id: str) -> Response:
        return await dialled.answered(request, dial_id, services)

    @app.post(STATUS_PATH + "{dial_id}")
    async def progress(request: Request, dial_id: str) -> Response:
        return await dialled.progress(request, dial_id, services)

    @app.post(MACHINE_PATH + "{dial_id}")
    async def machine(request: Request, dial_id: str) -> Response:
        return await dialled.machine(request, dial_id, services)

    @app.post(FORWARDED_PATH + "{call_id}")
    async def forward_done(request: Request, call_id: str) -> Response:
        return await forwarded.done(request, call_id, services)

    @app.post(FORWARD_STATUS_PATH + "{call_id}")
    async def forward_progress(request: Request, call_id: str) -> Response:
        return await forwarded.progress(request, call_id, services)

    @app.post(WHISPER_PATH + "{call_id}")
    async def whisper(request: Request, call_id: str) -> Response:
        return await forwarded.whisper(request, call_id, services)

    @app.websocket(MEDIA_PATH + "{token}")
    async def media(websocket: WebSocket, token: str) -> None:
        await carry(websocket, token, services)
