"""``talkwire serve --workers N``: several server processes on one port, each a node of its own.

The kernel deals new connections out to those that listen; whatever reaches the wrong process is passed on, as between
machines (``server.cluster``). One that dies is replaced.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from server.settings import Settings, SettingsError
from server.settings.values import MEMORY
from server.sockets import bind

log = structlog.get_logger(__name__)

BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 30.0
LIVED_S: Final = 60.0
"""A worker that lived so long is replaced at once."""
USAGE: Final = 2
"""What a process says at its end that cannot start with its settings: another one could not, either."""


def check(settings: Settings) -> None:
    """Raises ``SettingsError`` where several processes would not be one server."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise SettingsError(
            "TALKWIRE_WORKERS: this system cannot share a port between processes: leave it at 1"
        )
    if settings.redis_url is None:
        raise SettingsError(
            "TALKWIRE_WORKERS: several processes know each other by a Redis: set TALKWIRE_REDIS_URL (or REDIS_URL)"
        )
    if settings.database == MEMORY:
        raise SettingsError(
            "TALKWIRE_WORKERS: with TALKWIRE_DATABASE_URL=memory each process would know its own past calls only: leave "
            "it unset, which is SQLite in the data directory, or name a PostgreSQL"
        )


def supervise(settings: Settings) -> int:
    """Run the workers until a signal; returns the exit status. Raises ``SettingsError``."""
    check(settings)
    # Held, and never listened on: so a port in use is told before anything is loaded.
    with bind(settings, shared=True):
        return asyncio.run(_Supervisor(settings).run())


@dataclass(slots=True)
class _Worker:
    index: int
    process: asyncio.subprocess.Process | None = None
    backoff_s: float = BACKOFF_S


class _Supervisor:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers = [_Worker(index) for index in range(settings.workers)]
        self._stopping = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for which in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(which, self._pass_on, which)
        log.info("supervisor.started", workers=len(self._workers))
        async with asyncio.TaskGroup() as tasks:
            first, *others = self._workers
            tasks.create_task(self._keep(first), name="worker 0")
            # The first one makes the tables and the secrets.
            await self._listening()
            for worker in others:
                tasks.create_task(self._keep(worker), name=f"worker {worker.index}")
        return self._status

    def _pass_on(self, which: signal.Signals) -> None:
        self._stopping.set()
        self._each(lambda process: process.send_signal(which))

    def _each(self, do: Callable[[asyncio.subprocess.Process], None]) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                do(worker.process)

    async def _keep(self, worker: _Worker) -> None:
        """Run a worker, and another one in its place, until the end."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            # It ends with us, whatever ends us: by its input.
            worker.process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "server.cli", "serve", "--worker"),
                stdin=asyncio.subprocess.PIPE,
                process_group=0,
            )
            if self._stopping.is_set():
                process.terminate()
            status = await process.wait()
            if self._stopping.is_set():
                return
            if status == USAGE:
                self._status = status
                self._pass_on(signal.SIGTERM)
                return
            if loop.time() - began >= LIVED_S:
                worker.backoff_s = BACKOFF_S
            log.error("supervisor.worker_died", worker=worker.index, status=status, again_s=worker.backoff_s)
            await self._stopped_within(worker.backoff_s)
            worker.backoff_s = min(MAX_BACKOFF_S, 2 * worker.backoff_s)

    async def _stopped_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _listening(self) -> None:
        """Until somebody takes connections, or the end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)
        while not self._stopping.is_set():
            try:
                _, writer = await asyncio.open_connection(host, self._settings.port)
            except OSError:
                await self._stopped_within(0.1)
            else:
                writer.close()
                return
