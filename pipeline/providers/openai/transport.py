"""HTTP beneath the ``openai`` package, by aiohttp: its parser is native, which halves what a call's tokens and
audio cost the core.

The package brings such a transport itself (``DefaultAioHttpClient``). This one adds what a call needs: it
tells apart how a connection failed, asks once more where a connection kept alive turned out to be dead, and
closes an answer that nobody wants within the same turn of the loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from types import SimpleNamespace
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from multidict import CIMultiDict
from yarl import URL

CONNECT_S = 2.5
POOL_S = 5.0
"""For a place in the pool, the name and the connection together."""
READ_S = 30.0
"""Between two pieces of an answer, and before the first one."""
KEEP_ALIVE_S = 90.0
"""Longer than callers are silent, so that the second turn of a call finds a connection."""
MAX_CONNECTIONS = 256
"""100 calls of which each speaks, listens and has a cancelled request behind it."""
MAX_ERROR_BYTES = 1 << 16
_STALE_S = 1.0
"""A dead connection is known sooner than this; later it was the answer that failed."""
_ATTEMPTS = 3
"""Dead connections in a row before it is the server's fault."""
BODY = "talkwire.body"
"""Extension of a response: its ``Body``, to be read without the layers in between."""
_LOOPBACK = ("localhost", "127.", "::1")


class _Course:
    """What is known of one request while it goes on."""

    __slots__ = ("reused",)

    def __init__(self) -> None:
        self.reused = False


class Idle:
    """The connections of a pool that wait for a request, as far as one can know: what the far end closes is
    noticed when a request finds none."""

    def __init__(self) -> None:
        self.count = 0
        self.since = float("-inf")
        """When the last one came back, by the loop's clock."""

    def returned(self, now: float) -> None:
        self.count += 1
        self.since = now

    def taken(self) -> None:
        self.count = max(0, self.count - 1)

    def missed(self) -> None:
        self.count = 0


class PooledTransport(httpx2.AsyncBaseTransport):
    """One pool of connections to one endpoint. Made on the loop that uses it. ``tls`` says whom to trust."""

    def __init__(self, base_url: str, tls: ssl.SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.idle = Idle()
        self._proxy = proxy_for(base_url)
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(self._reused)
        trace.on_connection_create_start.append(self._created)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS,
                keepalive_timeout=KEEP_ALIVE_S,
                ssl=tls or True,  # also where an http address redirects to https
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=POOL_S, sock_connect=CONNECT_S, sock_read=READ_S
            ),
            trace_configs=[trace],
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises ``httpx2.TransportError`` of the kind that fits."""
        headers = CIMultiDict(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
        )
        body = await request.aread()  # of a form, too: a body that is whole can be sent again
        for attempt in range(_ATTEMPTS):
            course = _Course()
            began_at = self._loop.time()
            try:
                response = await self._session.request(
                    request.method,
                    _address(str(request.url)),
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    proxy=self._proxy,
                    trace_request_ctx=course,
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                stale = course.reused and isinstance(error, aiohttp.ServerDisconnectedError | OSError)
                early = self._loop.time() - began_at < _STALE_S
                if stale and early and attempt + 1 < _ATTEMPTS:
                    continue
                raise _translated(error) from error
            stream = Body(response, self._returned)
            return httpx2.Response(
                response.status,
                headers=response.raw_headers,
                stream=stream,
                extensions={"http_version": b"HTTP/1.1", BODY: stream},
            )
        raise AssertionError("the last attempt returns or raises")

    async def aclose(self) -> None:
        await self._session.close()

    def _returned(self) -> None:
        self.idle.returned(self._loop.time())

    async def _reused(
        self,
        session: aiohttp.ClientSession,
        trace: SimpleNamespace,
        params: aiohttp.TraceConnectionReuseconnParams,
    ) -> None:
        trace.trace_request_ctx.reused = True
        self.idle.taken()

    async def _created(
        self,
        session: aiohttp.ClientSession,
        trace: SimpleNamespace,
        params: aiohttp.TraceConnectionCreateStartParams,
    ) -> None:
        trace.trace_request_ctx.reused = False
        self.idle.missed()


class Body(httpx2.AsyncByteStream):
    """What an answer holds, as it comes. The text of an error is read within a bound."""

    def __init__(self, response: aiohttp.ClientResponse, on_idle: Callable[[], None]) -> None:
        self._response = response
        self._on_idle = on_idle
        self._left = MAX_ERROR_BYTES if response.status >= 400 else None

    @property
    def whole(self) -> bool:
        """All of it has been read."""
        return self._response.content.at_eof() and self._response.content.exception() is None

    async def read(self) -> bytes:
        """What has come since; empty at the end. Raises ``httpx2.TransportError``."""
        if self._left is not None and self._left <= 0:
            return b""
        try:
            data = await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error) from error
        if self._left is not None:
            self._left -= len(data)
        return data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def aclose(self) -> None:
        """A whole answer gives its connection back, any other closes it."""
        if not self.whole:
            self._response.close()
            return
        self._response.release()
        if self._response.headers.get("connection", "").lower() != "close":
            self._on_idle()


_address = lru_cache(maxsize=64)(URL)


def proxy_for(base_url: str) -> str | None:
    """As the environment says; never for this machine itself."""
    url = URL(base_url)
    host = url.host or ""
    if host.startswith(_LOOPBACK) or proxy_bypass(host):
        return None
    return getproxies().get(url.scheme)


def _translated(error: Exception) -> httpx2.TransportError:
    """In the words that the ``openai`` package understands."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx2.ConnectTimeout(f"no connection within {CONNECT_S:g} s")
        case TimeoutError():
            return httpx2.ReadTimeout(f"nothing came for {READ_S:g} s")
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return httpx2.ProxyError("the proxy cannot be reached")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return httpx2.ConnectError(f"TLS: {error}")
        case aiohttp.ClientConnectorDNSError():
            return httpx2.ConnectError("its name is not known (DNS)")
        case aiohttp.ClientConnectorError():
            return httpx2.ConnectError(error.strerror or str(error))
        case aiohttp.InvalidURL():
            return httpx2.UnsupportedProtocol("it is not an http or https address")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return httpx2.ReadError("the connection was cut")
    return httpx2.RemoteProtocolError("what it sends is not HTTP")
