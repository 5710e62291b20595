"""Readers of the call log on real sockets: the server's doors in a process of their own, the readers in this one.

As a program it is that server: it has calls happen for so long and prints what that cost.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from server.serve import listener, settle
from tests.server.site import KEY, site

SETTLE_S = 1.0
"""For readers to attach, and for what is left at the end."""


TEXT: Final = 1


@dataclass(frozen=True, slots=True)
class Fanout:
    what: str
    cpu: float
    """Share of a core, of the server."""
    late_ms: Sequence[float]
    """From the making of an event to a reader that has it; of all readers."""
    last_ms: Sequence[float]
    """The same of the reader that has it last, where several read one call."""
    told: int


async def measured(what: str, calls: int, rate: float, seconds: float, readers: int, spread: int) -> Fanout:
    """``spread``: over so many of the calls the readers are divided."""
    arguments = ["--calls", str(calls), "--rate", str(rate), "--seconds", str(seconds)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks._fanout", *arguments, stdin=-1, stdout=-1
    )
    assert child.stdin is not None
    assert child.stdout is not None
    port = json.loads(await child.stdout.readline())["port"]
    following = [_Following(f"/v1/attach?call=CA{n % spread}") for n in range(readers)]
    for each in following:
        await each.attach(port)
    gc.collect()
    gc.disable()
    child.stdin.write(b"go\n")
    used = json.loads(await child.stdout.readline())
    gc.enable()
    child.stdin.close()
    await child.wait()
    got: dict[tuple[str, int], list[float]] = {}
    for each in following:
        for at, entry in each.entries():
            if entry["type"] in ("bot.word", "user.message"):
                got.setdefault((entry["call"], entry["seq"]), []).append(1000 * (at - entry["ts"]))
    late = [ms for times in got.values() for ms in times]
    return Fanout(what, used["cpu"], late, [max(times) for times in got.values()], used["told"])


class _Following(asyncio.Protocol):
    """A reader that does next to nothing while it is measured: what came when is looked at afterwards."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._came: list[tuple[float, bytes]] = []

    async def attach(self, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {self._path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {KEY}",
        )
        transport.write("\r\n".join((*head, "", "")).encode())

    def data_received(self, data: bytes) -> None:
        self._came.append((time.time(), data))

    def entries(self) -> Iterator[tuple[float, Any]]:
        """Of each its arrival, which is that of its last byte. Frames of a server are not masked (RFC 6455, 5.1)."""
        rest = b""
        answered = False
        for at, data in self._came:
            rest += data
            if not answered:
                head, found, rest = rest.partition(b"\r\n\r\n")
                answered = bool(found)
                rest = rest if answered else head
            while answered and len(rest) >= 4:
                length, begin = rest[1], 2
                if length == 126:
                    length, begin = int.from_bytes(rest[2:4], "big"), 4
                if len(rest) < begin + length:
                    break
                if rest[0] & 0x0F == TEXT:
                    yield at, orjson.loads(rest[begin : begin + length])
                rest = rest[begin + length :]


# --- the server -------------------------------------------------------------------------------------------


async def serve(calls: int, rate: float, seconds: float) -> None:
    from benchmarks.journal import happen

    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        async with site(Path(folder)) as made, asyncio.TaskGroup() as tasks:
            server = listener(made.web.app)  # type: ignore[arg-type]
            sock = socket.create_server(("127.0.0.1", 0))
            serving = tasks.create_task(server.serve(sockets=[sock]))
            live = [made.begin(f"CA{index}") for index in range(calls)]
            print(json.dumps({"port": sock.getsockname()[1]}), flush=True)
            await loop.run_in_executor(None, sys.stdin.readline)
            await asyncio.sleep(SETTLE_S)
            settle()
            used = time.process_time()
            told = await happen(live, rate, seconds, [])
            cpu = (time.process_time() - used) / seconds
            await asyncio.sleep(SETTLE_S)
            print(json.dumps({"cpu": cpu, "told": told}), flush=True)
            for call in live:
                made.end(call)
            made.book.close()
            server.should_exit = True
            await serving


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    import uvloop

    uvloop.run(serve(given.calls, given.rate, given.seconds))
