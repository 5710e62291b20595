"""Worker processes: where everything that computes longer than a frame may take is done.

Workers are forked by the standard library's fork server, never from the server itself (which has threads,
sockets and a loop); the fork server imports the ``preload`` modules once, so that a model loaded there is
shared by all workers through copy-on-write memory. A worker speaks to the server over a socket pair, in
frames of our own: a little-endian u32 length, then the payload. It ignores SIGINT and SIGTERM and ends when
its socket closes, so that it cannot outlive a killed server.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
import struct
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess

_LENGTH = struct.Struct("<I")
MAX_FRAME = 8 << 20

WorkerMain = Callable[["WorkerSocket"], None]

_preload: list[str] = ["pipeline.forkserver"]


def context(preload: str | None = None) -> ForkServerContext:
    """The fork server's context. A ``preload`` named before the first worker starts is imported there."""
    ctx = multiprocessing.get_context("forkserver")
    if preload is not None and preload not in _preload:
        _preload.append(preload)
    ctx.set_forkserver_preload(_preload)
    return ctx


class WorkerSocket:
    """The worker's end: blocking, since a worker does one thing at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    def receive(self, timeout_s: float | None = None) -> bytes | None:
        """The next frame; None where the server has closed. Raises ``TimeoutError``."""
        while True:
            frame = self._take()
            if frame is not None:
                return frame
            self._sock.settimeout(timeout_s)
            data = self._sock.recv(1 << 16)
            if not data:
                return None
            self._buffer += data

    def pending(self) -> bool:
        """A frame is waiting: used to notice a cancel between two pieces of work."""
        if self._has_frame():
            return True
        self._sock.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            data = self._sock.recv(1 << 16)
            self._buffer += data
            return not data or self._has_frame()
        return False

    def send(self, payload: bytes) -> None:
        self._sock.settimeout(None)
        self._sock.sendall(_LENGTH.pack(len(payload)) + payload)

    def _has_frame(self) -> bool:
        return len(self._buffer) >= 4 and len(self._buffer) - 4 >= _LENGTH.unpack_from(self._buffer)[0]

    def _take(self) -> bytes | None:
        if not self._has_frame():
            return None
        size = _LENGTH.unpack_from(self._buffer)[0]
        frame = bytes(self._buffer[4 : 4 + size])
        del self._buffer[: 4 + size]
        return frame


def ignore_signals() -> None:
    """A terminal and many supervisors signal the whole process group; only the server decides when it ends,
    and its workers must last until its calls have finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _run(target: WorkerMain, sock: socket.socket) -> None:
    ignore_signals()
    with sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        target(WorkerSocket(sock))


class Worker:
    """The server's end of one worker process."""

    def __init__(
        self, process: ForkServerProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, target: WorkerMain, *, name: str, preload: str | None = None) -> Worker:
        """Fork a worker that runs ``target``, a function at the top of its module."""
        ours, theirs = socket.socketpair()
        process = context(preload).Process(target=_run, args=(target, theirs), name=name, daemon=True)
        # Starting talks to the fork server, which may still be loading: not on the loop.
        starting = asyncio.get_running_loop().run_in_executor(None, process.start)
        try:
            await asyncio.shield(starting)
            ours.setblocking(False)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 20)
        except BaseException:
            ours.close()
            # A thread cannot be cancelled: without this wait its process would be nobody's.
            with contextlib.suppress(Exception):
                await starting
                process.kill()
                await asyncio.to_thread(process.join, 1.0)
            raise
        finally:
            theirs.close()
        return cls(process, reader, writer)

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def send(self, payload: bytes) -> None:
        """Queue a frame. What the worker does not read in time piles up in the transport: whoever sends
        without bound must ask ``backlog``. To a dead worker nothing is sent: that it died is heard from
        ``receive``, which may be a few turns of the loop later."""
        if not self._writer.is_closing():  # uvloop raises where asyncio's own loop drops what is written
            self._writer.write(_LENGTH.pack(len(payload)) + payload)

    @property
    def backlog(self) -> int:
        """Bytes that the worker has not yet taken; none of a dead one."""
        return 0 if self._writer.is_closing() else self._writer.transport.get_write_buffer_size()

    async def receive(self) -> bytes | None:
        """The next frame of the worker; None where it is dead."""
        try:
            size = _LENGTH.unpack(await self._reader.readexactly(4))[0]
            if size > MAX_FRAME:
                return None
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def aclose(self, timeout_s: float = 1.0) -> None:
        """Close the socket, which ends the worker; kill it where it does not end in time."""
        self._writer.close()
        reaping = asyncio.get_running_loop().run_in_executor(None, self._reap, timeout_s)
        try:
            await asyncio.shield(reaping)
        except asyncio.CancelledError:
            await reaping  # whoever is cancelled while he closes must not leave a process behind either
            raise
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def kill(self) -> None:
        """Stop it this instant, whatever it computes."""
        with contextlib.suppress(ProcessLookupError, ValueError):
            self._process.kill()

    def _reap(self, timeout_s: float) -> None:
        self._process.join(timeout_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(timeout_s)
        with contextlib.suppress(ValueError):
            self._process.close()
