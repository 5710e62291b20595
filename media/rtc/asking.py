"""Ask STUN and TURN servers whether they would do what calls will want of them.

Source: RFC 8489 (binding), RFC 8656 (allocation), RFC 7065 (``turn:`` addresses).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aioice import stun
from aioice.turn import create_turn_endpoint

UDP_PORT, TLS_PORT = 3478, 5349
AGAIN_S = 0.5


class NotServed(Exception):
    """The server did not do it; ``str()`` says why."""

    def __init__(self, text: str, *, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        """The error of STUN; None: there was no answer."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A TURN server: ``turn:host:port?transport=udp``, taken apart."""

    host: str
    port: int
    transport: str
    tls: bool

    @classmethod
    def of(cls, url: str) -> Relay:
        scheme, _, rest = url.partition(":")
        place, _, query = rest.partition("?")
        tls = scheme == "turns"
        host, port = _place(place, TLS_PORT if tls else UDP_PORT)
        # TLS is spoken over TCP; DTLS is not spoken here.
        return cls(host, port, query.removeprefix("transport=") or ("tcp" if tls else "udp"), tls)


def _place(text: str, usual: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), usual
    return host.strip("[]"), int(port)


class _Binding(asyncio.DatagramProtocol):
    def __init__(self, wanted: bytes, told: asyncio.Future[tuple[str, int]]) -> None:
        self._wanted, self._told = wanted, told

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            message = stun.parse_message(data)
        except ValueError:
            return
        address = message.attributes.get("XOR-MAPPED-ADDRESS")
        if message.transaction_id == self._wanted and address and not self._told.done():
            self._told.set_result((address[0], address[1]))

    def error_received(self, exc: Exception) -> None:
        if not self._told.done():
            self._told.set_exception(NotServed(f"no answer: {exc}"))


async def seen_from(server: tuple[str, int], timeout_s: float) -> tuple[str, int]:
    """The address and port that a STUN server sees us come from. Raises ``NotServed``."""
    loop = asyncio.get_running_loop()
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    told: asyncio.Future[tuple[str, int]] = loop.create_future()
    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Binding(request.transaction_id, told), remote_addr=server
            )
            try:
                while not told.done():
                    transport.sendto(bytes(request))
                    await asyncio.wait([told], timeout=AGAIN_S)
                return told.result()
            finally:
                transport.close()
    except TimeoutError:
        raise NotServed(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise NotServed(f"{error.strerror or error}") from None


class _Silent(asyncio.DatagramProtocol):
    """Is told nothing: nobody is let through to the allocation."""


async def allocated(
    relay: Relay,
    username: str,
    password: str,
    timeout_s: float,
    *,
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> tuple[str, int]:
    """Have a TURN server relay for us, and let go of it again. Returns the address and port that it gave. Raises
    ``NotServed``."""
    encrypted = await asyncio.to_thread(context) if relay.tls else None
    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await create_turn_endpoint(
                _Silent,
                server_addr=(relay.host, relay.port),
                username=username,
                password=password,
                ssl=encrypted,
                transport=relay.transport,
            )
            address: tuple[str, int] = transport.get_extra_info("sockname")
            transport.close()
            return address
    except TimeoutError:
        raise NotServed(f"no answer within {timeout_s:g} s") from None
    except stun.TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (None, str(error)))
        raise NotServed(f"{reason or 'refused'} ({code})", code=code) from None
    except stun.TransactionError:
        raise NotServed("no answer") from None
    except OSError as error:
        raise NotServed(f"{error.strerror or error}") from None
