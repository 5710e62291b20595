"""``WS /live/{call_id}/ws``: what both sides of a live call hear, as it goes on; and a page that plays it."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.call import Call
from server.doors.browser import Refused
from server.doors.console import FOLDER, INDEX, PAGE_HEADERS, Files
from server.doors.guard import Guard, denied
from server.doors.handshake import close, receive
from server.doors.scoped import live_call
from server.live import Beginning, LiveAudio
from server.protocol import CloseCode
from server.services import Services

log = structlog.get_logger(__name__)

KEEPALIVE: Final = b"\0\0"
KEEPALIVE_S: Final = 5.0
SEND_S: Final = 5.0
"""Who does not take a chunk for so long is let go."""
CALL_ENDED: Final = 1000
MAX_LISTENERS: Final = 200


class LiveDoor:
    """Of one server."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self._pages = Files(FOLDER, PAGE_HEADERS)
        self.listeners = 0

    async def player(self, request: Request, call_id: str) -> Response:
        """A page that plays one call, for those who may listen to it."""
        try:
            self._allowed(request, call_id)
        except Refused as refused:
            return denied(refused)
        return await self._pages.get_response(INDEX, request.scope)

    async def listen(self, websocket: WebSocket, call_id: str) -> None:
        """``metadata``, then chunks of 50 ms; in silence two bytes now and then; an empty frame, and the end."""
        try:
            call = self._allowed(websocket, call_id)
            if self.listeners >= MAX_LISTENERS:
                raise Refused(503, f"{MAX_LISTENERS} people are listening, and no more can")
        except Refused as refused:
            return await websocket.send_denial_response(denied(refused))
        await websocket.accept()
        self.listeners += 1
        log.info("live.joined", call_id=call_id)
        try:
            async with asyncio.TaskGroup() as tasks:
                playing = tasks.create_task(self._play(websocket, call), name=f"listen to {call_id}")
                gone = tasks.create_task(_gone(websocket), name=f"listener of {call_id}")
                await asyncio.wait([playing, gone], return_when=asyncio.FIRST_COMPLETED)
                playing.cancel()
                gone.cancel()
        finally:
            self.listeners -= 1
            log.info("live.left", call_id=call_id)

    def _allowed(self, connection: Request | WebSocket, call_id: str) -> Call:
        if not self._services.settings.live_listening:
            raise Refused(404, "nobody listens to calls on this server (TALKWIRE_LIVE_LISTENING)")
        call, _ = live_call(connection, call_id, self._services, self._guard)
        if not call.config.live:
            raise Refused(403, "the agent does not let this call be listened to (media.live)")
        return call

    async def _play(self, websocket: WebSocket, call: Call) -> None:
        try:
            audio = await Beginning(call).wait()
            overflowed = audio is not None and await _tell(websocket, call, audio)
            if overflowed:
                return await close(websocket, CloseCode.SLOW_CONSUMER, "slow_consumer")
            await _send(websocket, b"")
        except TimeoutError:
            return await close(websocket, CloseCode.SLOW_CONSUMER, "slow_consumer")
        except (WebSocketDisconnect, RuntimeError, OSError):
            return None  # He is gone.
        return await close(websocket, CALL_ENDED, "call_ended")


async def _tell(websocket: WebSocket, call: Call, audio: LiveAudio) -> bool:
    """Until the end of the call. True: he does not keep up."""
    ear = audio.join()
    try:
        about = {"type": "metadata", "sampleRate": audio.sample_rate_hz, "channels": 1, "bitDepth": 16}
        async with asyncio.timeout(SEND_S):
            await websocket.send_text(orjson.dumps({**about, "sessionId": call.call_id}).decode())
        while not (ear.over and ear.empty):
            chunk = await ear.take(KEEPALIVE_S)
            if ear.overflowed:
                return True
            if chunk is not None or not ear.over:
                await _send(websocket, KEEPALIVE if chunk is None else chunk)
    finally:
        audio.leave(ear)
    return False


async def _send(websocket: WebSocket, data: bytes) -> None:
    async with asyncio.timeout(SEND_S):
        await websocket.send_bytes(data)


async def _gone(websocket: WebSocket) -> None:
    """What a listener says is not listened to."""
    while await receive(websocket) is not None:
        pass
