"""``WS /v1/tap``: the events of calls, as their agents get them, for somebody who only watches."""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from server.doors.handshake import close, handshake, receive
from server.frames import sending
from server.outbox import Outbox
from server.protocol import CloseCode
from server.services import Services


async def tap_door(websocket: WebSocket, services: Services) -> None:
    """``?call=<id>``: that call, also when it is yet to come; without it all calls. A watcher who does not
    keep up is closed."""
    if await handshake(websocket, services) is None:
        return
    outbox, followed = Outbox(), services.book.followed
    stop = services.calls.watch(outbox, websocket.query_params.get("call"))
    try:
        with followed.reading("tap"):
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(_wait_closed(websocket, outbox), name="tap reader")
                tasks.create_task(_write(websocket, outbox, reader), name="tap writer")
    finally:
        stop()
    if outbox.overflowed:
        followed.let_go("tap", "slow_consumer")


async def _wait_closed(websocket: WebSocket, outbox: Outbox) -> None:
    while await receive(websocket) is not None:
        pass
    outbox.close()


async def _write(websocket: WebSocket, outbox: Outbox, reader: asyncio.Task[None]) -> None:
    try:
        await outbox.run(sending(websocket))
        if outbox.overflowed:
            await close(websocket, CloseCode.SLOW_CONSUMER, "slow_consumer")
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass  # The watcher is gone.
    reader.cancel()
