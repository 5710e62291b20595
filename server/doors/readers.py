"""Readers of what happens in calls, on sockets: let in, sent what comes, and let go with a reason.

Each kind of socket says what its readers want (``Reading``); all else they share. A refusal is told by the close code of
an open socket: browsers tell their pages no other. Whoever takes nothing of what he is sent is closed, and may come
back to where he was: nobody else waits for him.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.doors.browser import Refused
from server.doors.grants import Grant, granted
from server.doors.guard import Guard
from server.doors.handshake import close, receive
from server.followed import Door
from server.frames import Send, sending
from server.past import StoreUnavailable
from server.protocol import CloseCode
from server.services import Services

log = structlog.get_logger(__name__)

NORMAL: Final = 1000
TRY_AGAIN: Final = 1013
BAD_QUERY: Final = 4000
UNAUTHORIZED: Final = 4001
FORBIDDEN: Final = 4003
UNKNOWN: Final = 4004
CODES: Final = {400: BAD_QUERY, 401: UNAUTHORIZED, 403: FORBIDDEN, 404: UNKNOWN}
"""Close codes by the status that the same refusal has over HTTP."""
SLOW_S: Final = 10.0
"""Whoever takes nothing of what he is sent for so long is closed."""
IDLE_S: Final = 60.0
"""So often it is looked whether the token still holds."""
MAX_READERS: Final = 1000
"""Of one kind."""
MAX_REASON: Final = 120
"""Bytes of a close frame's reason (RFC 6455, 5.5), nearly."""

Ended = tuple[int, str]
"""Close code and reason."""
Answer = Callable[[Any], Awaitable[dict[str, Any] | None]]
"""What is answered to a message of a reader's, as JSON gave it (None: it is none); None: nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader gets."""

    tell: Callable[[Send], Awaitable[Ended]]
    """Send all that comes; returns how it ended. Raises ``StoreUnavailable``, and what ``Send`` raises."""
    answer: Answer | None = None
    """Beside the pings of readers, which are answered anyway."""


Wanted = Callable[[WebSocket, Grant], Awaitable[Reading]]
"""What somebody asks for, who may read so much. Raises ``Refused``, ``StoreUnavailable``."""


class Readers:
    """All readers on one kind of socket, which is called ``door``."""

    def __init__(self, door: Door, wanted: Wanted, services: Services, guard: Guard) -> None:
        self._door = door
        self._wanted = wanted
        self._services = services
        self._guard = guard
        self._followed = services.book.followed

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one to its end."""
        await websocket.accept()
        try:
            grant = granted(websocket, self._services, self._guard)
            if self._followed.by(self._door) >= MAX_READERS:
                self._followed.let_go(self._door, "full")
                raise Refused(503, f"{MAX_READERS} readers are attached, and no more are allowed")
            reading = await self._wanted(websocket, grant)
        except Refused as refused:
            peer = websocket.client.host if websocket.client else None
            log.warning("reader.refused", door=self._door, status=refused.status, peer=peer)
            await _refuse(websocket, refused)
            return
        except StoreUnavailable:
            self._followed.let_go(self._door, "unavailable")
            await close(websocket, TRY_AGAIN, "unavailable: come back with your cursor")
            return
        with self._followed.reading(self._door):
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(_hear(websocket, reading.answer), name=f"{self._door}: reader")
                telling = tasks.create_task(self._tell(websocket, reading), name=f"{self._door}: writer")
                await asyncio.wait((hearing, telling), return_when=asyncio.FIRST_COMPLETED)
                hearing.cancel()
                telling.cancel()

    async def _tell(self, websocket: WebSocket, reading: Reading) -> None:
        code: int
        try:
            code, reason = await reading.tell(sending(websocket, SLOW_S))
        except TimeoutError:
            code, reason = CloseCode.SLOW_CONSUMER, "slow_consumer"
            self._followed.let_go(self._door, "slow_consumer")
        except StoreUnavailable:
            code, reason = TRY_AGAIN, "unavailable"
            self._followed.let_go(self._door, "unavailable")
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # The reader is gone.
        await close(websocket, code, reason)


def over(services: Services, grant: Grant) -> Ended | None:
    """Why nobody with this grant is told anything any more; None: he is."""
    if services.book.closed:
        return CloseCode.RESTART, "server_stopped"
    if grant.until is not None and services.book.now() >= grant.until:
        return UNAUTHORIZED, "the token has expired"
    return None


async def _hear(websocket: WebSocket, answer: Answer | None) -> None:
    try:
        while (message := await receive(websocket)) is not None:
            answered = await _answered(message[0], answer)
            if answered is not None:
                async with asyncio.timeout(SLOW_S):
                    await websocket.send_text(orjson.dumps(answered).decode())
    except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        return  # He takes nothing, or is gone; whoever tells him finds that, too.


async def _answered(message: str | bytes, answer: Answer | None) -> dict[str, Any] | None:
    try:
        told = orjson.loads(message)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, dict) and told.get("action") == "ping":
        return {"event": "pong"}
    return await answer(told) if answer is not None else None


async def _refuse(websocket: WebSocket, refused: Refused) -> None:
    code = CODES.get(refused.status, TRY_AGAIN)
    await close(websocket, code, str(refused).encode()[:MAX_REASON].decode(errors="ignore"))
