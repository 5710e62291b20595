"""The TCP connection of one AudioSocket call: its bytes to messages, and who it says it is."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, cast
from uuid import UUID

import numpy as np

from telephony.carriers.audiosocket import wire
from telephony.carriers.audiosocket.leg import Reader

IDENTIFY_S: Final = 5.0
"""A connection that does not say which call it is for so long is no PBX's."""
FIRST_AUDIO_S: Final = 0.5
"""What the first audio is waited for, which says its rate."""
LINGER_S: Final = 2.0
"""What a peer may take to read the rest."""
MAX_WAITING: Final = 200
"""Messages that are kept until the call is taken."""
MAX_BEFORE: Final = 256 << 10
"""Bytes that are kept until it is known where the call is."""
SEND_BUFFER: Final = 16 << 10
"""Bytes, about a second at 8 kHz: what the system takes for a PBX that reads no more is late when that does again."""

_SILENCE: Final = np.zeros(160, dtype=np.int16)


class NotIdentified(Exception):
    """The connection did not begin as one of AudioSocket does; ``str()`` says how it did."""


class Connection(asyncio.Protocol):
    """One connection of a PBX; also the ``Line`` of its leg."""

    def __init__(self, on_open: Callable[[Connection], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_open = on_open
        self._parser = wire.Parser()
        self._reader: Reader | None = None
        self._waiting: deque[wire.Message] = deque(maxlen=MAX_WAITING)
        self._transport: asyncio.Transport | None = None
        self._uuid: asyncio.Future[UUID] = loop.create_future()
        self._rate_hz: asyncio.Future[int] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._before: bytearray | None = bytearray()
        """What came before it was known where the call is. None: that is known, or it is too much."""
        self._onward: asyncio.Transport | None = None
        self.peer = ""
        """The other side's address."""

    # --- what asyncio calls -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # As which uvloop's is not registered.
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if name else ""
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        if self._onward is not None:
            self._onward.write(data)
            return
        if self._before is not None:
            self._before += data
            if len(self._before) > MAX_BEFORE:
                self._before = None
        for message in self._parser.feed(data):
            if self._reader is not None:
                self._reader.on_message(message)
            else:
                self._begin(message)

    def _begin(self, message: wire.Message) -> None:
        if not self._uuid.done():
            if isinstance(message, wire.Identify):
                self._uuid.set_result(message.uuid)
            else:
                self._refuse(f"the first message is {type(message).__name__.lower()}, not a UUID")
            return
        self._waiting.append(message)
        if isinstance(message, wire.Audio) and not self._rate_hz.done():
            self._rate_hz.set_result(message.rate_hz)

    def connection_lost(self, error: Exception | None) -> None:
        self._refuse("it was closed before it said which call it is")
        if not self._gone.done():
            self._gone.set_result(None)
        if self._reader is not None:
            self._reader.on_gone()
        if self._onward is not None:
            self._onward.close()

    def pause_writing(self) -> None:
        if self._onward is not None:
            self._onward.pause_reading()

    def resume_writing(self) -> None:
        if self._onward is not None:
            self._onward.resume_reading()

    # --- what the door does -------------------------------------------------------------------------------

    async def identified(self) -> UUID:
        """Which call it is. Raises ``NotIdentified``."""
        try:
            async with asyncio.timeout(IDENTIFY_S):
                return await asyncio.shield(self._uuid)
        except TimeoutError:
            raise NotIdentified(f"no UUID came within {IDENTIFY_S:g} s") from None

    def pass_on(self, onward: asyncio.Transport) -> None:
        """The call is in another process: all that came, and comes, goes there."""
        if self._before is None or self._gone.done() or self._transport is None:
            onward.close()
            self.close()
            return
        self._onward = onward
        self._transport.set_write_buffer_limits(SEND_BUFFER)
        onward.write(bytes(self._before))
        self._before = None
        self._waiting.clear()

    async def rate_hz(self) -> int:
        """The rate of the caller's audio. Where none comes it is 8 kHz, what the application ``AudioSocket()`` has."""
        # An Asterisk that waits for us, and we for it, would be silent for ever.
        self.write(wire.audio(_SILENCE, 8_000))
        await asyncio.wait((self._rate_hz, self._gone), timeout=FIRST_AUDIO_S, return_when="FIRST_COMPLETED")
        return self._rate_hz.result() if self._rate_hz.done() else 8_000

    def end(self) -> None:
        """Say that it is over, and end it."""
        self.write(wire.hangup())
        self.close()

    @property
    def gone(self) -> bool:
        return self._gone.done()

    async def let_go(self) -> None:
        """Have it gone, whether or not its peer reads the rest."""
        try:
            async with asyncio.timeout(LINGER_S):
                await self.closed()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the leg does --------------------------------------------------------------------------------

    def deliver(self, reader: Reader) -> None:
        self._reader, self._before = reader, None
        while self._waiting:
            reader.on_message(self._waiting.popleft())
        if self._gone.done():
            reader.on_gone()

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def closed(self) -> None:
        await asyncio.shield(self._gone)

    def _refuse(self, why: str) -> None:
        if not self._uuid.done():
            self._uuid.set_exception(NotIdentified(why))
            self._uuid.exception()  # Nobody may be waiting for it yet.
