"""The way on to the process that has a call: the PBX's connection came to another one that shares its port.

Bytes go both ways as they came. Little is kept on the way, so that whoever has the call sees what a PBX does not read.
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from telephony.carriers.audiosocket.connection import SEND_BUFFER, Connection


class Onward(asyncio.Protocol):
    """Of one connection of a PBX."""

    def __init__(self, pbx: Connection) -> None:
        self._pbx = pbx

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)  # As which uvloop's is not registered.
        made.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SEND_BUFFER)
        self._pbx.pass_on(made)

    def data_received(self, data: bytes) -> None:
        self._pbx.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._pbx.close()
