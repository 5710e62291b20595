"""How every socket of an API key's holder begins: one ``connect`` message, within its time."""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from server.protocol import (
    CloseCode,
    Connect,
    Connected,
    ErrorCode,
    ErrorEvent,
    ProtocolError,
    error_event,
    parse_command,
    to_json,
)
from server.services import Services
from server.version import __version__

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
        await _refuse(websocket, error_event(error), "malformed connect message")
        return None
    if not isinstance(command, Connect):
        text = f"the first message must be connect with an api_key, not {command.event}"
        await _refuse(websocket, ErrorEvent(error=text, code=ErrorCode.UNAUTHORIZED), "connect first")
        return None
    if not services.keys.check(command.api_key.get_secret_value()):
        text = (
            "wrong API key: use one of TALKWIRE_API_KEYS, or where that is unset the one in the file "
            "'api-key' of the server's data directory"
        )
        await _refuse(websocket, ErrorEvent(error=text, code=ErrorCode.UNAUTHORIZED), "wrong API key")
        return None
    await websocket.send_text(to_json(Connected(version=__version__)).decode())
    return command


async def _refuse(websocket: WebSocket, error: ErrorEvent, reason: str) -> None:
    await websocket.send_text(to_json(error).decode())
    await close(websocket, CloseCode.POLICY, reason)
