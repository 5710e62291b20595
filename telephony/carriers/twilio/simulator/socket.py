"""The media WebSocket, from the carrier's side: the `websockets` protocol on a plain transport.

Its sans-I/O client is used rather than its connection, which has tasks and queues of its own: here a message
sent is a write, and a message received a function call, so that one core carries the far end of many calls.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from telephony.carriers.twilio.simulator.errors import StreamRefused

CONNECT_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
_MAX_MESSAGE: Final = 8 << 20
_ABNORMAL: Final = 1006


class MediaSocket(asyncio.Protocol):
    """One open media stream. Use ``open``."""

    def __init__(
        self,
        protocol: ClientProtocol,
        on_message: Callable[[str | bytes], None],
        on_closed: Callable[[int], None],
    ) -> None:
        self._protocol = protocol
        self._on_message = on_message
        self._on_closed = on_closed
        self._headers: Mapping[str, str] = {}
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._fragments: list[Frame] = []
        self._close_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        dial: str,
        headers: Mapping[str, str],
        on_message: Callable[[str | bytes], None],
        on_closed: Callable[[int], None],
    ) -> MediaSocket:
        """Connect to ``dial`` and ask for ``url`` there; they differ where a proxy is played.

        ``on_closed`` gets the close code, 1006 where there was no close frame, exactly once after a
        successful opening. Raises ``StreamRefused``.
        """
        try:
            protocol = ClientProtocol(parse_uri(dial), max_size=_MAX_MESSAGE)
        except InvalidURI as error:
            raise StreamRefused(f"the stream's URL is no WebSocket address: {error}", None, 31923) from None
        self = cls(protocol, on_message, on_closed)
        self._headers = {**headers, "Host": urlsplit(url).netloc}
        target = protocol.uri
        context = ssl.create_default_context() if target.secure else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: self, target.host, target.port, ssl=context)
                await self._opened
        except TimeoutError:
            self.drop()
            raise StreamRefused(f"no answer from {dial} within {CONNECT_TIMEOUT_S} s", None, 31901) from None
        except InvalidStatus as error:
            status = error.response.status_code
            raise StreamRefused(f"{dial} answered the upgrade with HTTP {status}", status, 31920) from None
        except InvalidHandshake as error:
            raise StreamRefused(f"{dial} is no WebSocket: {error}", None, 31920) from None
        except ssl.SSLError as error:
            raise StreamRefused(f"TLS with {dial} failed: {error}", None, 31910) from None
        except OSError as error:
            raise StreamRefused(f"cannot connect to {dial}: {error}", None, 31902) from None
        except asyncio.CancelledError:
            self.drop()
            raise
        return self

    @property
    def is_open(self) -> bool:
        return self._protocol.state is State.OPEN

    @property
    def backlog(self) -> int:
        """Bytes that the server has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, message: str | bytes) -> None:
        """One message, text or binary. After the close it goes nowhere, as on a real line."""
        if self._protocol.state is not State.OPEN:
            return
        if isinstance(message, str):
            self._protocol.send_text(message.encode("utf-8"))
        else:
            self._protocol.send_binary(message)
        self._flush()

    def close(self, code: int = 1000) -> None:
        """Begin the closing handshake, with an end to the server's time for it."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._flush()
            self._expect_close()

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        request = self._protocol.connect()
        for name, value in self._headers.items():
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            elif isinstance(event, Response) and not self._opened.done():
                self._on_response()
        self._flush()
        if self._protocol.close_expected():
            self._expect_close()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._protocol.receive_eof()
        if self._opened.done() and not self._opened.cancelled() and self._opened.exception() is None:
            self._on_closed(self._protocol.close_code or _ABNORMAL)
        elif not self._opened.done():
            refused = self._protocol.handshake_exc or exc or ConnectionResetError("closed in the handshake")
            self._opened.set_exception(refused)

    def _on_response(self) -> None:
        refused = self._protocol.handshake_exc
        if refused is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(refused)
            self.drop()

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments.append(frame)
            if frame.fin:
                fragments, self._fragments = self._fragments, []
                data = fragments[0].data if len(fragments) == 1 else b"".join(f.data for f in fragments)
                text = fragments[0].opcode is Opcode.TEXT
                self._on_message(bytes(data).decode("utf-8", "replace") if text else bytes(data))

    def _expect_close(self) -> None:
        if self._close_timer is None and self._transport is not None:
            self._close_timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.abort)

    def _flush(self) -> None:
        transport = self._transport
        chunks = self._protocol.data_to_send()
        if transport is None or transport.is_closing():
            return
        for chunk in chunks:
            if chunk:
                transport.write(chunk)
            elif transport.can_write_eof():
                transport.write_eof()
