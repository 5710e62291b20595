"""How every socket of an API key's holder begins: one ``connect`` message, within its time."""

from __future__ import annotations

import asyncio

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.protocol import (
    DONE,
    Ack,
    AnyCommand,
    CloseCode,
    Connect,
    Connected,
    ErrorCode,
    ErrorEvent,
    Event,
    ProtocolError,
    ack_of,
    ack_of_refused,
    error_event,
    outcome_of,
    parse_command,
    to_json,
)
from server.services import Services
from server.version import __version__

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 10.0


async def receive(websocket: WebSocket) -> tuple[str | bytes, bool] | None:
    """The next message and whether it came in a binary frame; None when the peer has closed."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        return None
    text = message.get("text")
    return (text, False) if text is not None else (message["bytes"], True)


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close, without waiting for a peer that does not read."""
    try:
        async with asyncio.timeout(2.0):
            await websocket.close(code, reason)
    except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
        return  # It is gone, or closed already; the server drops the connection when the door returns.


async def handshake(websocket: WebSocket, services: Services) -> Connect | None:
    """Accept the socket and its key; None where it was refused and closed."""
    await websocket.accept()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            first = await receive(websocket)
    except TimeoutError:
        await close(websocket, CloseCode.POLICY, f"no connect message within {CONNECT_TIMEOUT_S:g} s")
        return None
    if first is None:
        return None
    try:
        command = parse_command(first[0], binary=first[1])
    except ProtocolError as error:
        await _refuse(websocket, error_event(error), "malformed connect message", ack_of_refused(error))
        return None
    if not isinstance(command, Connect):
        text = f"the first message must be connect with an api_key, not {command.event}"
        await _unauthorized(websocket, command, text, "connect first")
        return None
    if not services.keys.check(command.api_key.get_secret_value()):
        text = (
            "wrong API key: use one of TALKWIRE_API_KEYS, or where that is unset the one in the file "
            "'api-key' of the server's data directory"
        )
        await _unauthorized(websocket, command, text, "wrong API key")
        return None
    await _tell(websocket, Connected(version=__version__), ack_of(command, DONE))
    return command


async def _unauthorized(websocket: WebSocket, command: AnyCommand, text: str, reason: str) -> None:
    error = ErrorEvent(error=text, code=ErrorCode.UNAUTHORIZED)
    await _refuse(websocket, error, reason, ack_of(command, outcome_of(error)))


async def _refuse(websocket: WebSocket, error: ErrorEvent, reason: str, ack: Ack | None) -> None:
    log.warning("agent.refused", reason=reason, peer=websocket.client.host if websocket.client else None)
    await _tell(websocket, error, ack)
    await close(websocket, CloseCode.POLICY, reason)


async def _tell(websocket: WebSocket, *events: Event | None) -> None:
    for event in events:
        if event is not None:
            await websocket.send_text(to_json(event).decode())
