"""``WS /v1/tap``: the events of calls, as their agents get them, for somebody who only watches."""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from server.doors.handshake import close, handshake, receive
from server.doors.readers import IDLE_S
from server.envelopes import SUMMARY
from server.frames import sending
from server.outbox import Outbox
from server.protocol import CloseCode
from server.recent import RecentReader
from server.ring import Entry
from server.services import Services


async def tap_door(websocket: WebSocket, services: Services) -> None:
    """``?call=<id>``: that call, also when it is yet to come; without it all calls, of all nodes. A watcher who does not
    keep up is closed."""
    if await handshake(websocket, services) is None:
        return
    outbox, followed = Outbox(), services.book.followed
    call_id = websocket.query_params.get("call")
    stop = services.calls.watch(outbox, call_id)
    try:
        with followed.reading("tap"):
            async with asyncio.TaskGroup() as tasks:
                elsewhere = tasks.create_task(_follow(services, outbox, call_id), name="tap of other nodes")
                reader = tasks.create_task(_wait_closed(websocket, outbox, elsewhere), name="tap reader")
                tasks.create_task(_write(websocket, outbox, reader), name="tap writer")
    finally:
        stop()
    if outbox.overflowed:
        followed.let_go("tap", "slow_consumer")


async def _wait_closed(websocket: WebSocket, outbox: Outbox, elsewhere: asyncio.Task[None]) -> None:
    try:
        while await receive(websocket) is not None:
            pass
    finally:
        elsewhere.cancel()
    outbox.close()


async def _follow(services: Services, outbox: Outbox, call_id: str | None) -> None:
    """Tell of the calls of other nodes, until cancelled."""
    if not services.cluster.node:
        return
    async with services.book.recent.following(None, None) as reader:
        told = _Told(outbox, call_id)
        for entry in services.cluster.firsts():
            told.tell(entry)
        for happened in services.book.recent.firsts():
            if happened.elsewhere and happened.place <= reader.after:
                told.begin(happened.entry)
        while await _told(reader, told):
            pass


async def _told(reader: RecentReader, told: _Told) -> bool:
    """False: the watcher takes no more."""
    for happened in reader.read().happened:
        if happened.elsewhere and not told.tell(happened.entry):
            return False
    await reader.bell.wait(IDLE_S)
    return True


class _Told:
    """What a watcher was told of the calls of other nodes. ``call_id``: of this one only."""

    def __init__(self, outbox: Outbox, call_id: str | None) -> None:
        self._outbox = outbox
        self._call_id = call_id
        self._last: dict[str, int] = {}

    def begin(self, entry: Entry) -> None:
        """How a call began, unless that was told."""
        if entry.call_id not in self._last:
            self.tell(entry)

    def tell(self, entry: Entry) -> bool:
        """Once. False: it is not taken."""
        if self._call_id not in (None, entry.call_id) or entry.seq <= self._last.get(entry.call_id, 0):
            return True
        if entry.event == SUMMARY:
            self._last.pop(entry.call_id, None)
            return True  # It is of the log only.
        self._last[entry.call_id] = entry.seq
        return self._outbox.offer(entry.data, entry)


async def _write(websocket: WebSocket, outbox: Outbox, reader: asyncio.Task[None]) -> None:
    try:
        await outbox.run(sending(websocket))
        if outbox.overflowed:
            await close(websocket, CloseCode.SLOW_CONSUMER, "slow_consumer")
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass  # The watcher is gone.
    reader.cancel()
