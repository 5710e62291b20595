"""Requests for a call at another node go there: as they came, answered by the node that has the call.

Each node asks for the same signatures, keys and tokens, so nothing is checked here. What is added tells the other node
who asked, and is signed, so that nobody else can say so: its private address lets nobody further than the public one.
"""

from __future__ import annotations

import asyncio
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.cluster.paths import Belongs, belongs, belongs_by_body

if TYPE_CHECKING:
    import httpx
    from websockets.asyncio.client import ClientConnection

    from server.cluster.node import RedisCluster

log = structlog.get_logger(__name__)

HEADER: Final = b"x-talkwire-node"
VALID_S: Final = 30.0
MAX_BODY: Final = 128 << 10
"""Of a body that is looked at."""
CONNECT_S: Final = 3.0
READ_S: Final = 90.0
"""Silence of the other node in the middle of an answer; a stream has a ping each few seconds."""
_HOPS: Final = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
_OF_SOCKETS: Final = {b"host", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions"}
_OF_SOCKETS_TOO: Final = {b"sec-websocket-protocol", b"content-length"}

Headers = list[tuple[bytes, bytes]]


class Pass:
    """Shows a node that another one passes a request on, and for whom. ``key``: what all nodes share."""

    def __init__(self, key: bytes, epoch: Callable[[], float]) -> None:
        self._key = key
        self._epoch = epoch

    def make(self, scope: Scope) -> bytes:
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        told = {"at": self._epoch(), "client": scope.get("client"), "host": host, "path": scope["path"]}
        words = urlsafe_b64encode(orjson.dumps(told))
        return words + b"." + self._sign(words)

    def read(self, given: bytes, path: str) -> dict[str, Any] | None:
        """What it says; None: it is not ours, or not for this."""
        words, _, signature = given.partition(b".")
        if not hmac.compare_digest(signature, self._sign(words)):
            return None
        told: dict[str, Any] = orjson.loads(urlsafe_b64decode(words))
        return told if abs(self._epoch() - told["at"]) <= VALID_S and told["path"] == path else None

    def _sign(self, words: bytes) -> bytes:
        return hmac.new(self._key, words, sha256).hexdigest().encode()


def client() -> httpx.AsyncClient:
    """By which one node asks others."""
    import httpx

    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=50)
    return httpx.AsyncClient(
        limits=limits, timeout=httpx.Timeout(READ_S, connect=CONNECT_S), trust_env=False, verify=True
    )


class Forwarding:
    """In front of an application that serves the calls of this node."""

    def __init__(self, app: ASGIApp, cluster: RedisCluster, passing: Pass) -> None:
        self._app = app
        self._cluster = cluster
        self._pass = passing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == HEADER]
        told = self._pass.read(given[0], scope["path"]) if given else None
        if told is not None:
            await self._app(_as_it_came(scope, told), receive, send)
            return
        node, receive = await self._whose(scope, receive)
        url = self._cluster.url_of(node) if node else None
        if url is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send, url)
        else:
            await self._socket(scope, receive, send, url)

    async def _whose(self, scope: Scope, receive: Receive) -> tuple[str, Receive]:
        """The other node that has its call; empty: this one serves it."""
        method = scope.get("method", "WS")
        found = belongs(method, scope["path"], scope.get("query_string", b"").decode("latin-1"))
        if found is None or found.node == self._cluster.node:
            return "", receive
        if found.in_body and not found.node:
            body, receive = await _looked_at(receive)
            found = belongs_by_body(scope["path"], body)
        if not found.node and found.call_id:
            found = Belongs(node=await self._cluster.node_of(found.call_id[:200]) or "", new=found.new)
        if not found.node and found.new:
            # A call that nobody has yet, and that would be refused here.
            return self._cluster.roomier() or "", receive
        return found.node, receive

    # --- requests -----------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send, url: str) -> None:
        import httpx

        headers = [*_kept(scope["headers"], _HOPS | {HEADER}), (HEADER, self._pass.make(scope))]
        known = {name for name, _ in scope["headers"]}
        read = asyncio.Event()
        content = None
        if known & {b"content-length", b"transfer-encoding"}:
            content = _body(receive, read)
        else:
            read.set()
        request = httpx.Request(scope["method"], url + _target(scope), headers=headers, content=content)
        began = False

        async def begun(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        async with asyncio.TaskGroup() as tasks:
            passing = tasks.create_task(self._passed(request, begun), name="pass on a request")
            # Whoever asked may not wait for the answer: then the other node need not, either.
            watching = tasks.create_task(_gone(receive, read), name="watch who asked")
            await asyncio.wait([passing, watching], return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            passing.cancel()
        if not began and not passing.cancelled():
            await _unavailable(send, "http.response", 502)

    async def _passed(self, request: httpx.Request, send: Send) -> None:
        import httpx

        try:
            response = await self._cluster.http.send(request, stream=True)
            try:
                headers = _kept(response.headers.raw, _HOPS)
                await send(
                    {"type": "http.response.start", "status": response.status_code, "headers": headers}
                )
                async for chunk in response.aiter_raw():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                await response.aclose()
        except (httpx.HTTPError, OSError) as error:
            log.warning(
                "cluster.not_passed_on", to=request.url.host, error=str(error) or type(error).__name__
            )

    # --- sockets ------------------------------------------------------------------------------------------

    async def _socket(self, scope: Scope, receive: Receive, send: Send, url: str) -> None:
        from websockets.exceptions import InvalidStatus, WebSocketException

        if (await receive())["type"] != "websocket.connect":
            return
        try:
            async with self._connected(scope, url) as other:
                accept: Message = {
                    "type": "websocket.accept",
                    "subprotocol": other.subprotocol,
                    "headers": [],
                }
                await send(accept)
                await _carry(other, receive, send)
        except InvalidStatus as refusal:
            response = refusal.response
            kept = [
                (name.lower().encode(), value.encode())
                for name, value in response.headers.raw_items()
                if name.lower().encode() not in _HOPS
            ]
            await _refuse(send, response.status_code, kept, bytes(response.body or b""))
        except (WebSocketException, OSError, TimeoutError) as error:
            log.warning("cluster.not_passed_on", to=url, error=str(error) or type(error).__name__)
            await _unavailable(send, "websocket.http.response", 502)

    @asynccontextmanager
    async def _connected(self, scope: Scope, url: str) -> AsyncIterator[ClientConnection]:
        from websockets.asyncio.client import connect

        headers = _kept(scope["headers"], _HOPS | _OF_SOCKETS | _OF_SOCKETS_TOO | {HEADER})
        headers.append((HEADER, self._pass.make(scope)))
        async with connect(
            "ws" + url.removeprefix("http") + _target(scope),
            additional_headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
            subprotocols=scope.get("subprotocols") or None,
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=CONNECT_S,
            close_timeout=2.0,
            max_size=None,
            max_queue=64,
        ) as other:
            yield other


async def _carry(other: ClientConnection, receive: Receive, send: Send) -> None:
    """Both ways, until one side is over."""
    async with asyncio.TaskGroup() as tasks:
        outwards = tasks.create_task(_outwards(other, receive), name="pass on what a socket sends")
        inwards = tasks.create_task(_inwards(other, send), name="pass on what a socket is told")
        await asyncio.wait([outwards, inwards], return_when=asyncio.FIRST_COMPLETED)
        outwards.cancel()
        inwards.cancel()


async def _outwards(other: ClientConnection, receive: Receive) -> None:
    from websockets.exceptions import ConnectionClosed

    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or 1005
            await other.close(code if code in (1000, 1001, 1003) or code >= 1007 else 1001)
            return
        text = message.get("text")
        try:
            await other.send(text if text is not None else message["bytes"])
        except ConnectionClosed:
            # How it ended is told by who listens to it.
            await asyncio.Event().wait()


async def _inwards(other: ClientConnection, send: Send) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            told = await other.recv()
            part = {"text": told} if isinstance(told, str) else {"bytes": told}
            await send({"type": "websocket.send", **part})
    except ConnectionClosed:
        code, reason = other.close_code or 1006, other.close_reason or ""
        if code in (1005, 1006):
            code, reason = (1000, "") if code == 1005 else (1011, "the node that has the call is gone")
        with suppress(OSError, RuntimeError):  # It has closed, too.
            await send({"type": "websocket.close", "code": code, "reason": reason})


# --- what goes as it came -----------------------------------------------------------------------------------


def _target(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _kept(headers: Iterable[tuple[bytes, bytes]], without: set[bytes]) -> Headers:
    return [(name.lower(), value) for name, value in headers if name.lower() not in without]


def _as_it_came(scope: Scope, told: dict[str, Any]) -> Scope:
    """As the first node had it."""
    headers = _kept(scope["headers"], {HEADER, b"host"})
    client = told["client"]
    return {
        **scope,
        "headers": [*headers, (b"host", told["host"].encode("latin-1"))],
        "client": tuple(client) if client is not None else None,
    }


async def _looked_at(receive: Receive) -> tuple[bytes, Receive]:
    """The beginning of a body, and what gives it once more."""
    read: list[Message] = []
    body = b""
    while len(body) <= MAX_BODY:
        message = await receive()
        read.append(message)
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break

    async def again() -> Message:
        return read.pop(0) if read else await receive()

    return body, again


async def _body(receive: Receive, read: asyncio.Event) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("whoever asked is gone")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            read.set()
            return


async def _gone(receive: Receive, read: asyncio.Event) -> None:
    """Until whoever asked is gone, of whose request all has come."""
    await read.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _unavailable(send: Send, kind: str, status: int) -> None:
    body = b"the node that has this call cannot be reached: try again"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


async def _refuse(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
