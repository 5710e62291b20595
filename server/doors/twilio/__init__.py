"""Twilio's doors: the webhooks of calls, and the sockets of their audio."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response, WebSocket

from server.doors.twilio import voice as incoming
from server.doors.twilio.media import media as carry
from server.doors.twilio.request import MEDIA_PATH
from server.services import Services


def add_routes(app: FastAPI, services: Services) -> None:
    """Put them all into ``app``."""

    @app.post("/twilio/voice")
    async def voice(request: Request) -> Response:
        return await incoming.voice(request, services)

    @app.post("/twilio/status")
    async def status(request: Request) -> Response:
        return await incoming.number_status(request, services)

    @app.websocket(MEDIA_PATH + "{token}")
    async def media(websocket: WebSocket, token: str) -> None:
        await carry(websocket, token, services)
