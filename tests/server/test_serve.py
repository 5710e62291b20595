"""The listening socket."""

from __future__ import annotations

import asyncio
import resource
import socket
from pathlib import Path

from server.serve import bind, raise_file_limit
from server.settings import Settings
from tests.e2e.harness import free_port


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
