"""The listening socket."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from pipeline.events import TurnRef, UserMessage
from server import serve
from server.doors import handshake, readers
from server.serve import listener
from server.settings import Settings
from server.sockets import bind, raise_file_limit
from tests.e2e.harness import free_port
from tests.server.site import KEY, site


async def test_small_messages_are_not_held_back(tmp_path: Path) -> None:
    """Nagle's algorithm would keep the second of two events for 40 ms."""
    sock = bind(Settings(port=free_port(), data_dir=tmp_path))
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = writer.get_extra_info("socket")
        accepted.set_result(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(serve, sock=sock):
        _, writer = await asyncio.open_connection(*sock.getsockname())
        assert await accepted == 1
        writer.close()


def test_more_sockets_than_a_shell_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raise_file_limit()
        raised, kept = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised > 1024 or raised == hard
        assert kept == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_reader_of_the_log_that_never_reads_is_let_go_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real socket, where the system's buffers have to be full first."""
    monkeypatch.setattr(readers, "SLOW_S", 0.3)
    closed: list[tuple[int, str]] = []

    async def close(websocket: WebSocket, code: int, reason: str) -> None:
        closed.append((code, reason))
        await handshake.close(websocket, code, reason)

    monkeypatch.setattr(readers, "close", close)
    async with site(tmp_path) as made, asyncio.TaskGroup() as tasks:
        sock = bind(Settings(port=free_port(), data_dir=tmp_path))
        server = listener(made.web.app)  # type: ignore[arg-type]
        serving = tasks.create_task(server.serve(sockets=[sock]))
        call = made.begin()
        address = sock.getsockname()
        while not server.started:
            await asyncio.sleep(0.01)
        _, deaf = await asyncio.open_connection(*address, limit=1)  # More than two bytes are not fetched.
        deaf.write(
            b"GET /v1/attach?call=CA1 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n"
        )
        url = f"ws://127.0.0.1:{address[1]}/v1/attach?call=CA1&token={KEY}"
        async with connect(url, compression=None, max_size=None) as quick, asyncio.timeout(30):
            texts = [json.loads(await quick.recv()) for _ in range(2)]
            told, longest = 1, 0.0
            while not closed:
                at = time.perf_counter()
                call.journal.append(UserMessage(TurnRef(1, "c0ffee"), "m1", "x" * 200_000, 1.0, (1,)))
                longest = max(longest, time.perf_counter() - at)
                told += 1
                assert json.loads(await quick.recv())["seq"] == told
                await asyncio.sleep(0.001)
        assert closed == [(1013, "slow_consumer")]
        assert [text["type"] for text in texts] == ["call.started", "log.caught_up"]
        assert longest < 0.25, "whoever tells waits for nobody"
        deaf.close()
        made.book.close()
        server.should_exit = True
        await serving


async def test_a_stream_whose_reader_never_reads_is_cut_off_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "STALLED_S", 0.3)
    async with site(tmp_path) as made, asyncio.TaskGroup() as tasks:
        sock = bind(Settings(port=free_port(), data_dir=tmp_path))
        server = listener(made.web.app)  # type: ignore[arg-type]
        serving = tasks.create_task(server.serve(sockets=[sock]))
        call = made.begin()
        while not server.started:
            await asyncio.sleep(0.01)
        _, deaf = await asyncio.open_connection(*sock.getsockname(), limit=1)
        deaf.write(
            b"GET /v1/calls/CA1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
            b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n"
        )
        followed = made.book.followed
        async with asyncio.timeout(30):
            while not followed.by("events"):
                await asyncio.sleep(0.01)
            while not followed.gone["events", "slow_consumer"]:
                call.journal.append(UserMessage(TurnRef(1, "c0ffee"), "m1", "x" * 200_000, 1.0, (1,)))
                await asyncio.sleep(0.001)
        deaf.close()
        made.book.close()
        server.should_exit = True
        await serving


def test_an_idle_connection_outlives_those_who_keep_it() -> None:
    """Or a webhook that is sent at that very moment would now and then be lost."""
    proxies_s, clients_s = 60, 5
    assert listener(FastAPI()).config.timeout_keep_alive > max(proxies_s, clients_s)
