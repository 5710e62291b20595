"""A small HTTP/1.1 server on a bare asyncio protocol, since a fixture must do what no framework lets it do:
cut a connection in the middle of a body, and close one that is kept alive.

Requests of one connection are answered one after another, in the order in which they came.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, cast

import httptools

MAX_BODY_BYTES = 26 << 20
MAX_PIPELINED = 16
_LINGER_S = 0.01
"""Between what was sent and a reset, so that it has arrived and can be read."""

After = Literal["keep", "close", "silent", "trap"]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    """What the client wants of the connection afterwards."""
    connection: int
    began_s: float
    complete_s: float


class Exchange:
    """One request and the answer to it. Once the connection is gone, sending does nothing."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._transport = connection.transport
        self._chunked = False
        self.request = request
        self.after: After = "keep" if request.keep_alive else "close"

    @property
    def gone(self) -> bool:
        """The client has left."""
        return self._connection.gone

    def head(self, status: int, headers: Iterable[tuple[str, str]], length: int | None) -> None:
        """``length`` in bytes; None: the body is sent in chunks."""
        self._chunked = length is None
        lines = [f"HTTP/1.1 {status} {_reason(status)}", *(f"{name}: {value}" for name, value in headers)]
        lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
        if self.after == "close":
            lines.append("connection: close")
        self._transport.write("\r\n".join([*lines, "\r\n"]).encode("latin-1"))

    def piece(self, data: bytes) -> None:
        if not data:
            return  # an empty chunk would end the body
        if self._chunked:
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            self._transport.write(data)

    @property
    def writable(self) -> bool:
        """The client takes what is sent to it."""
        return self._connection.writable

    def when_writable(self, resume: Callable[[], None]) -> None:
        """Call once the client has taken most of what was sent. One at a time."""
        self._connection.resume = resume

    def end(self) -> None:
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")

    async def cut(self, *, reset: bool) -> None:
        """End the connection here and now."""
        self.after = "silent"
        if reset:
            await asyncio.sleep(_LINGER_S)
            sock = cast(socket.socket, self._transport.get_extra_info("socket"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()  # what was written still goes out


Serve = Callable[[Exchange], Coroutine[Any, Any, None]]


class Connection(asyncio.Protocol):
    """One client. ``serve`` is run for each of its requests, and cancelled when the client leaves."""

    def __init__(self, number: int, serve: Serve, live: set[Connection], faults: list[BaseException]) -> None:
        self._number = number
        self._serve = serve
        self._live = live
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._target, self._headers, self._body = b"", dict[str, str](), list[bytes]()
        self._size = 0
        self._began_s: float | None = None
        self._waiting: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._trap = False
        self.transport: asyncio.Transport
        self.gone = False
        self.writable = True
        self.resume: Callable[[], None] | None = None

    @property
    def idle(self) -> bool:
        """Nothing is being received or answered."""
        return self._task is None and self._began_s is None

    # --- what the transport calls -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._live.add(self)

    def data_received(self, data: bytes) -> None:
        if self._trap:
            self.transport.abort()
            return
        if self._began_s is None:
            self._began_s = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:  # also an upgrade, and a callback of ours that refused
            self._refuse(413 if self._size > MAX_BODY_BYTES else 400)

    def eof_received(self) -> None:
        self.transport.abort()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        resume, self.resume = self.resume, None
        if resume is not None:
            resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._waiting.clear()
        self._live.discard(self)
        if self._task is not None:
            self._task.cancel()

    # --- what the parser calls ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body, self._size = b"", {}, [], 0
        if self._began_s is None:  # pipelined behind another one
            self._began_s = self._loop.time()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            raise ValueError("too large")
        self._body.append(body)

    def on_message_complete(self) -> None:
        now = self._loop.time()
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=self._target.decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            keep_alive=self._parser.should_keep_alive(),
            connection=self._number,
            began_s=self._began_s if self._began_s is not None else now,
            complete_s=now,
        )
        self._began_s = None
        self._waiting.append(request)
        if len(self._waiting) > MAX_PIPELINED:
            raise ValueError("too many requests at once")
        self._next()

    # --- one request after another ------------------------------------------------------------------------

    def _next(self) -> None:
        if self._task is None and self._waiting and not self.transport.is_closing():
            exchange = Exchange(self, self._waiting.popleft())
            self._task = self._loop.create_task(self._serve(exchange))
            self._task.add_done_callback(lambda task: self._done(task, exchange))

    def _done(self, task: asyncio.Task[None], exchange: Exchange) -> None:
        self._task = None
        if task.cancelled():
            return
        fault = task.exception()
        if fault is not None:
            self._faults.append(fault)
            self.transport.abort()
        elif exchange.after in ("close", "silent"):
            self.transport.close()
        elif exchange.after == "trap":
            self._trap = True
            if self._waiting:
                self.transport.abort()
        else:
            self._next()

    def _refuse(self, status: int) -> None:
        head = f"HTTP/1.1 {status} {_reason(status)}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()

    async def aclose(self) -> None:
        """End it, whatever is under way."""
        task = self._task
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        self.transport.abort()


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
