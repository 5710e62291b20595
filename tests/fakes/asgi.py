"""Requests to an ASGI application without a server: nothing waits, and a reader may be as slow as it likes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message

ELSEWHERE = "203.0.113.9"


@dataclass
class Reply:
    """What came back; of a stream, so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        return str(self.json()["detail"])

    def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            pairs = [(k.decode().lower(), v.decode()) for k, v in message["headers"]]
            self.headers = dict(pairs)
            self.cookies = [value for key, value in pairs if key == "set-cookie"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)

    def events(self) -> list[tuple[str, Any, int | None]]:
        """Server-sent events that are whole: name, data, id."""
        return events_in(self.body)


def events_in(body: bytes) -> list[tuple[str, Any, int | None]]:
    found = []
    for block in body.split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
        if b"event" in fields:
            seq = int(fields[b"id"]) if b"id" in fields else None
            found.append((fields[b"event"].decode(), json.loads(fields[b"data"]), seq))
    return found


class Stream:
    """An answer that goes on. ``hold`` keeps the reader from taking anything."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._disconnected = asyncio.Event()

    def hold(self) -> None:
        self.flowing.clear()

    def disconnect(self) -> None:
        self._disconnected.set()

    async def send(self, message: Message) -> None:
        await self.flowing.wait()
        self.reply.take(message)

    async def receive_end(self) -> Message:
        await self._disconnected.wait()
        return {"type": "http.disconnect"}


class Socket:
    """A WebSocket as its client has it. ``hold`` keeps it from taking anything."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        """JSON that came."""
        self.texts: list[str] = []
        self.heard: list[bytes] = []
        """Binary frames."""
        self.accepted = False
        self.status = 0
        """Of an upgrade that was refused."""
        self.body = b""
        self.closed: tuple[int, str] | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._news = asyncio.Event()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._said.put_nowait({"type": "websocket.connect"})

    def hold(self) -> None:
        self.flowing.clear()

    def say(self, told: Any) -> None:
        text = told if isinstance(told, str) else json.dumps(told)
        self._said.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        self.flowing.set()
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1005})

    async def receive(self) -> Message:
        return await self._said.get()

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.accept":
                self.accepted = True
            case "websocket.http.response.start":
                self.status = message["status"]
            case "websocket.http.response.body":
                self.body += message.get("body", b"")
            case "websocket.send" if message.get("text") is None:
                await self.flowing.wait()
                self.heard.append(message["bytes"])
            case "websocket.send":
                await self.flowing.wait()
                if self.closed is None:
                    self.texts.append(message["text"])
                    self.frames.append(json.loads(message["text"]))
            case "websocket.close":
                # As the web server has it: the last that is sent does not wait for room.
                self.closed = (message["code"], message.get("reason") or "")
        self._news.set()

    @property
    def detail(self) -> str:
        return str(json.loads(self.body)["detail"])

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._news.clear()
            await self._news.wait()

    async def wait(self, kind: str) -> Any:
        """The first frame of this type."""
        await self.until(lambda: any(frame.get("type") == kind for frame in self.frames))
        return next(frame for frame in self.frames if frame.get("type") == kind)

    async def end(self) -> tuple[int, str]:
        await self.until(lambda: self.closed is not None)
        assert self.closed is not None
        return self.closed


@dataclass
class Web:
    """An application, and where its requests come from."""

    app: ASGIApp
    client: str = "127.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        """Header names with underscores for hyphens."""
        stream = Stream()
        await self._run(stream, path, method, body, headers)
        return stream.reply

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask(path, "GET", b"", **headers)

    async def post(self, path: str, told: Any = None, **headers: str) -> Reply:
        return await self.ask(path, "POST", b"" if told is None else json.dumps(told).encode(), **headers)

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        """Read server-sent events; whoever leaves is gone."""
        stream = Stream()
        asked = {"accept": "text/event-stream", **headers}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run(stream, path, "GET", b"", asked), name="reader of a stream")
            try:
                yield stream
            finally:
                stream.disconnect()
                stream.flowing.set()

    @asynccontextmanager
    async def socket(self, path: str, **headers: str) -> AsyncIterator[Socket]:
        """A WebSocket; whoever leaves is gone."""
        made = Socket()
        scope = {
            **self._scope(path, headers),
            "type": "websocket",
            "scheme": "ws",
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._serve(scope, made), name="server of a socket")
            try:
                yield made
            finally:
                made.leave()

    async def _serve(self, scope: dict[str, Any], socket: Socket) -> None:
        await self.app(scope, socket.receive, socket.send)

    async def _run(
        self, stream: Stream, path: str, method: str, body: bytes, headers: Mapping[str, str]
    ) -> None:
        scope = {**self._scope(path, headers), "type": "http", "http_version": "1.1", "method": method}
        asked: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return asked.pop() if asked else await stream.receive_end()

        await self.app(scope, receive, stream.send)

    def _scope(self, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        target, _, query = path.partition("?")
        named = {"host": "127.0.0.1:8080", **self.headers, **headers}
        return {
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "scheme": "http",
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (key.replace("_", "-").lower().encode(), value.encode()) for key, value in named.items()
            ],
            "client": (self.client, 5555),
            "server": ("127.0.0.1", 8080),
        }
