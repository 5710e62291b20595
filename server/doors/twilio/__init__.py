"""Twilio's doors: the webhooks of calls, and the sockets of their audio."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response, WebSocket

from server.doors.twilio import dialled, forwarded, transferred
from server.doors.twilio import voice as incoming
from server.doors.twilio.checked import CHECK_PATH, CHECK_STREAM_PATH, check, check_stream, no_upgrade
from server.doors.twilio.media import media as carry
from server.doors.twilio.request import MEDIA_PATH
from server.services import Services
from telephony.carriers.twilio.carrier import (
    ANSWER_PATH,
    FORWARD_STATUS_PATH,
    FORWARDED_PATH,
    INVITED_MACHINE_PATH,
    INVITED_PATH,
    INVITED_STATUS_PATH,
    JOIN_PATH,
    LEFT_PATH,
    MACHINE_PATH,
    MUSIC_PATH,
    RESUME_PATH,
    ROOM_PATH,
    STATUS_PATH,
    WAIT_PATH,
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
        return await dialled.progress(request, dial_id, services.dialling, services)

    @app.post(MACHINE_PATH + "{dial_id}")
    async def machine(request: Request, dial_id: str) -> Response:
        return await dialled.machine(request, dial_id, services.dialling, services)

    @app.post(FORWARDED_PATH + "{call_id}")
    async def forward_done(request: Request, call_id: str) -> Response:
        return await forwarded.done(request, call_id, services)

    @app.post(FORWARD_STATUS_PATH + "{call_id}")
    async def forward_progress(request: Request, call_id: str) -> Response:
        return await forwarded.progress(request, call_id, services)

    @app.post(WHISPER_PATH + "{call_id}")
    async def whisper(request: Request, call_id: str) -> Response:
        return await forwarded.whisper(request, call_id, services)

    @app.post(CHECK_PATH)
    async def checked(request: Request) -> Response:
        return await check(request, services)

    @app.get(MEDIA_PATH + "{token}")
    async def plain(token: str) -> Response:
        return await no_upgrade()

    @app.websocket(CHECK_STREAM_PATH)
    async def checked_stream(websocket: WebSocket) -> None:
        await check_stream(websocket, services)

    @app.post(WAIT_PATH + "{reference}")
    async def transfer_wait(request: Request, reference: str) -> Response:
        return await transferred.wait(request, reference, services)

    @app.get(MUSIC_PATH + "{token}.wav")
    async def transfer_music(token: str) -> Response:
        return await transferred.music(token, services)

    @app.post(ROOM_PATH + "{reference}")
    async def transfer_room(request: Request, reference: str) -> Response:
        return await transferred.room(request, reference, services)

    @app.post(LEFT_PATH + "{reference}")
    async def transfer_left(request: Request, reference: str) -> Response:
        return await transferred.left(request, reference, services)

    @app.post(INVITED_PATH + "{reference}")
    async def transfer_invited(request: Request, reference: str) -> Response:
        return await transferred.invited(request, reference, services)

    @app.post(JOIN_PATH + "{reference}")
    async def transfer_join(request: Request, reference: str) -> Response:
        return await transferred.join(request, reference, services)

    @app.post(INVITED_STATUS_PATH + "{reference}")
    async def transfer_progress(request: Request, reference: str) -> Response:
        return await dialled.progress(request, reference, services.transfers, services)

    @app.post(INVITED_MACHINE_PATH + "{reference}")
    async def transfer_machine(request: Request, reference: str) -> Response:
        return await dialled.machine(request, reference, services.transfers, services)

    @app.websocket(MEDIA_PATH + "{token}")
    async def media(websocket: WebSocket, token: str) -> None:
        await carry(websocket, token, services)
