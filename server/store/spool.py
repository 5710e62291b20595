"""What could not be written to the database yet, in a file beside the server. All of it blocks: not for the event loop.

The file is this process's for as long as it lives: a lock says so, and with it that the process lives. One that no lock
holds was left by a process that was killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from server.store.ops import Op, from_line, to_line

if sys.platform != "win32":
    import fcntl

log = structlog.get_logger(__name__)

SUFFIX = ".spool"


class Spool:
    """One file of lines. It is made, empty, at once. Raises ``OSError``; where it is another process's
    ``BlockingIOError``."""

    def __init__(self, folder: Path, node: str, max_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{node}{SUFFIX}"
        self.node = node
        self._max_bytes = max_bytes
        self._fd = _opened(self.path)
        self.size = os.fstat(self._fd).st_size
        self._read_to = 0

    def append(self, ops: Sequence[Op]) -> list[Op]:
        """Add to its end; returns those for which there is no room. Raises ``OSError``; then nothing was added."""
        lines: list[bytes] = []
        room = self._max_bytes - self.size
        for op in ops:
            line = to_line(op)
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
        data = b"".join(lines)
        written = 0
        while written < len(data):
            # What stands behind ``size`` does not count, and is written over.
            written += os.pwrite(self._fd, data[written:], self.size + written)
        self.size += written
        return list(ops[len(lines) :])

    def read(self, count: int) -> list[Op]:
        """The next ones, in order; none: all were read. Raises ``OSError``."""
        ops: list[Op] = []
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            while len(ops) < count and self._read_to < self.size:
                line = file.readline()
                if not line:
                    break
                self._read_to += len(line)
                try:
                    ops.append(from_line(line))
                except ValueError:
                    # What a killed process wrote last may be half a line.
                    log.warning("journal.line_unreadable", path=str(self.path), bytes=len(line))
        return ops

    @property
    def unread(self) -> bool:
        """There is more to be read."""
        return self._read_to < self.size

    def skip(self, to: int) -> None:
        """What lies before this place need not be read."""
        self._read_to = max(self._read_to, to)

    def rewind(self) -> None:
        """Begin anew with reading."""
        self._read_to = 0

    def clear(self) -> None:
        """All of it is in the database."""
        os.ftruncate(self._fd, 0)
        self.size = self._read_to = 0

    def close(self) -> None:
        """One that holds nothing goes."""
        if not self.size:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)


def left_in(folder: Path, own: Spool) -> Iterator[Path]:
    """The files of processes that are no more."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path != own.path and not _is_live(path):
            yield path


def _opened(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(fd)
            if _same(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # Somebody took it for an old one and away, before it was locked.


def _same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _lock(fd: int) -> None:
    if sys.platform != "win32":
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_live(path: Path) -> bool:
    if sys.platform == "win32":
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True  # Or another server was quicker.
    return False
