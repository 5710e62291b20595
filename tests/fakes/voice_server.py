"""The doors of a voice server in a few lines, for tests of the far end: a webhook, a media socket, a tap."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from telephony.carriers.twilio import twiml, wire


class StubServer:
    """The two doors of a voice server: a webhook, and a media socket run by ``answer``."""

    def __init__(self) -> None:
        self.forms: list[list[tuple[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.content_type = twiml.CONTENT_TYPE
        self.body: str | None = None
        self.public_url = ""
        self.upgrade_status = 101
        self.upgrades: list[tuple[str, str | None, str]] = []
        self.messages: list[Any] = []
        self.closed: asyncio.Future[tuple[int | None, bool]] = asyncio.get_running_loop().create_future()
        self.answer: Callable[[ServerConnection], Any] | None = None
        self.url = ""
        self.media_url = ""
        self.tap_events: list[dict[str, Any]] = []
        self.tap_requests: list[tuple[str, Any]] = []

    async def start(self) -> contextlib.AsyncExitStack:
        stack = contextlib.AsyncExitStack()
        http = await asyncio.start_server(self._http, "127.0.0.1", 0)
        await stack.enter_async_context(http)
        media: Server = await serve(
            self._media, "127.0.0.1", 0, process_request=self._upgrade, compression=None
        )
        await stack.enter_async_context(media)
        self.url = f"http://127.0.0.1:{http.sockets[0].getsockname()[1]}"
        self.media_url = f"ws://127.0.0.1:{next(iter(media.sockets)).getsockname()[1]}/media/token"
        return stack

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        form = parse_qsl((await reader.readexactly(int(headers["content-length"]))).decode(), True)
        self.headers.append(headers)
        self.forms.append(form)
        body = self.body
        if body is None:
            body = twiml.connect_stream(self.media_url, dict(form)["CallSid"], {"agent": "demo"})
        writer.write(
            f"HTTP/1.1 {self.status} X\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()
        writer.close()

    def _upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
        headers = request.headers
        self.upgrades.append((request.path, headers.get("x-twilio-signature"), headers["Host"]))
        return None if self.upgrade_status == 101 else connection.respond(self.upgrade_status, "no\n")

    async def _media(self, connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path.startswith("/v1/tap"):
            await self._tap(connection)
            return
        worker = asyncio.ensure_future(self.answer(connection)) if self.answer else None
        async for text in connection:
            self.messages.append(text)
        if worker is not None:
            await worker
        stopped = any(isinstance(m, wire.Stop) for m in self.parsed())
        if not self.closed.done():
            self.closed.set_result((connection.close_code, stopped))

    async def _tap(self, connection: ServerConnection) -> None:
        first = json.loads(await connection.recv())
        assert connection.request is not None
        self.tap_requests.append((connection.request.path, first))
        good = first == {"event": "connect", "api_key": "tw_key"}
        await connection.send(json.dumps({"event": "connected"} if good else {"event": "error"}))
        for event in self.tap_events:
            await connection.send(json.dumps(event))
        await connection.wait_closed()

    def parsed(self) -> list[wire.Message]:
        return [wire.parse(m) for m in self.messages if isinstance(m, str)]

    def media(self) -> list[wire.Media]:
        return [m for m in self.parsed() if isinstance(m, wire.Media)]

    async def stream_sid(self) -> str:
        async with asyncio.timeout(5):
            while True:
                for message in self.parsed()[:2]:
                    if isinstance(message, wire.Start):
                        return message.stream_sid
                await asyncio.sleep(0.002)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)
