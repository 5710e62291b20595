"""A WebSocket and an HTTP client that may break every rule: what they are given goes out as it is."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from dataclasses import dataclass, field

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
TIMEOUT_S = 20.0


class Closed(Exception):
    """The server closed; ``code`` is 0 where it said nothing."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, reserved: int = 0) -> bytes:
    """A frame of a client. Its mask is zero, which is a mask like any other."""
    size = len(payload)
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


@dataclass
class RawSocket:
    """A WebSocket whose frames are written by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    broke_rules: bool = False
    """Something went out that no WebSocket may send."""

    @classmethod
    async def open(cls, port: int, path: str) -> RawSocket:
        """Raises ``Closed`` where the upgrade is refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        async with asyncio.timeout(TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            writer.close()
            raise Closed(int(head.split(b" ")[1]), "upgrade")
        return cls(reader, writer)

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        self.writer.write(frame(payload, opcode))

    async def drain(self) -> None:
        try:
            await self.writer.drain()
        except OSError:
            raise Closed(0, "reset") from None

    async def receive(self) -> tuple[int, bytes]:
        """The next frame of the server, but for its pings, which are answered. Raises ``Closed``."""
        while (told := await self._receive())[0] == PING:
            self.send(told[1], PONG)
        return told

    async def _receive(self) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size > 125:
                    width = 2 if size == 126 else 8
                    size = int.from_bytes(await self.reader.readexactly(width), "big")
                payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            raise Closed(0, "no close frame") from None
        if first & 0x0F == CLOSE:
            self.writer.close()
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            raise Closed(code, payload[2:].decode("utf-8", "replace"))
        return first & 0x0F, payload

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass
class RawHttp:
    """One connection that is kept as long as the server keeps it."""

    port: int
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = field(default=None, repr=False)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; 0 where the server closed without an answer."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        assert self._reader is not None
        self._writer.write(request)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                size = head.partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
                known = size.isdigit() and not request.startswith(b"HEAD")
                body = await self._reader.readexactly(int(size)) if known else b""
        except (asyncio.IncompleteReadError, OSError):
            self.close()
            return 0, b""
        if b"connection: close" in head or not known:
            self.close()
        return int(head.split(b" ")[1]), body

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A well-formed request of whatever is given."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
