"""Whoever follows all calls: the sockets of watchers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import websockets

from tests.e2e.harness import KEY, Agent
from tests.e2e.test_nodes import Node


@asynccontextmanager
async def tapped(node: Node, query: str = "") -> AsyncIterator[Agent]:
    """A watcher, which keeps what it is told."""
    async with websockets.connect(f"{node.ws}/v1/tap{query}", compression=None) as socket:
        tap = Agent(socket, on={})
        await tap.send("connect", api_key=KEY, protocol="talkwire/1")
        reader = asyncio.create_task(tap.read())
        try:
            await tap.wait("connected")
            yield tap
        finally:
            await socket.close()
            await reader


@asynccontextmanager
async def streamed(node: Node, query: str = "") -> AsyncIterator[Agent]:
    """A reader of ``/ws/stream``, whose entries have their type as ``event``."""
    address = f"{node.ws}/ws/stream?token={KEY}{query}"
    async with websockets.connect(address, compression=None) as socket:
        stream = Agent(socket, on={})

        async def read() -> None:
            async for text in socket:
                entry = json.loads(text)
                stream.frames.append({**entry, "event": entry["type"]})
                stream._news.set()

        reader = asyncio.create_task(read())
        try:
            yield stream
        finally:
            await socket.close()
            await reader
