"""A client that knows nothing but bytes, for what no HTTP library lets a test see or send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.fakes.openai_endpoint.server import Endpoint


@dataclass
class Raw:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, method: str, path: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
        self.writer.write("\r\n".join(lines).encode() + body)

    def post(self, path: str, value: object, *headers: str) -> None:
        self.send("POST", path, json.dumps(value).encode(), "content-type: application/json", *headers)

    async def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.head()
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return status, headers, body

    async def closed(self) -> bytes:
        """What still came before the server closed."""
        async with asyncio.timeout(2):
            return await self.reader.read()


@asynccontextmanager
async def raw(server: Endpoint) -> AsyncIterator[Raw]:
    host, _, port = server.base_url.removeprefix("http://").removesuffix("/v1").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
