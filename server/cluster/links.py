"""What nodes tell each other goes by Redis streams: one for each node, which it reads, and to which the others add.

Telling never waits. What has gathered while Redis took the last batches goes as the next ones, in one round trip.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from server.cluster.directory import Directory, RedisAway, answered
from server.cluster.messages import MAX_BATCH, MAX_BATCH_BYTES, Ahead, Message, pack, unpack

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 50_000
MAX_WAITING_BYTES: Final = 32 << 20
"""What may wait for one node while Redis is away or slow; of more nothing is kept, and the link begins anew."""
INBOX: Final = 20_000
"""Batches that a node's stream holds, about; one that is further behind has lost some."""
READ: Final = 64
BLOCK_MS: Final = 1000
AGAIN_S: Final = 0.3
"""Between two attempts while Redis is away."""


class _Out:
    """What is on its way to one node."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(6)
        self.first = 1
        """The number of the first that waits."""
        self.waiting: deque[tuple[Message, int]] = deque()
        self.size = 0

    def batch(self) -> list[Message]:
        taken: list[Message] = []
        size = 0
        for message, its_size in self.waiting:
            if taken and (len(taken) == MAX_BATCH or size + its_size > MAX_BATCH_BYTES):
                break
            taken.append(message)
            size += its_size
        return taken

    def sent(self, count: int) -> None:
        for _ in range(count):
            self.size -= self.waiting.popleft()[1]
        self.first += count


class Links:
    """Of one node to all others. ``take`` is given each message in its order; ``broke`` is told of a node whose messages
    are incomplete, ``overflowed`` of one that cannot be told any more: both have to begin anew."""

    def __init__(
        self,
        writing: Redis,
        reading: Redis,
        directory: Directory,
        take: Callable[[str, Message], None],
        broke: Callable[[str], None],
        overflowed: Callable[[str], None],
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._directory = directory
        self._take = take
        self._broke = broke
        self._overflowed = overflowed
        self._out: dict[str, _Out] = {}
        self._in: dict[str, Ahead] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.shaken = False
        """Redis was away since somebody last looked."""

    # --- telling ------------------------------------------------------------------------------------------

    def begin(self, node: str) -> None:
        """What is told from here on stands for itself."""
        self._out[node] = _Out()

    def send(self, node: str, message: Message, size: int = 200) -> bool:
        """False: there is no such node. ``size``: about, in bytes."""
        out = self._out.get(node)
        if out is None:
            return False
        if len(out.waiting) >= MAX_WAITING or out.size + size > MAX_WAITING_BYTES:
            log.error("cluster.overflow", to=node, waiting=len(out.waiting), bytes=out.size)
            del self._out[node]
            self._overflowed(node)
            return False
        out.waiting.append((message, size))
        out.size += size
        self._wake.set()
        self._idle.clear()
        return True

    def end(self, node: str) -> None:
        """Nothing is told to it until it is begun anew."""
        self._out.pop(node, None)

    def forget(self, node: str) -> None:
        """It is not there any more."""
        self._out.pop(node, None)
        self._in.pop(node, None)

    @property
    def waiting(self) -> int:
        return sum(len(out.waiting) for out in self._out.values())

    async def flushed(self, patience_s: float) -> None:
        """Until all is told, or for so long."""
        try:
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("cluster.not_told", messages=self.waiting)

    async def write(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._write_some():
                    pass
            except RedisAway:
                self.shaken = True
                self._wake.set()
                await asyncio.sleep(AGAIN_S)
            else:
                if not self.waiting:
                    self._idle.set()

    async def _write_some(self) -> bool:
        pipe = self._writing.pipeline(transaction=False)
        told: list[tuple[str, _Out, int]] = []
        for node, out in self._out.items():
            if batch := out.batch():
                fields: dict[Any, Any] = {
                    "f": self._directory.node,
                    "e": out.epoch,
                    "n": out.first,
                    "b": pack(batch),
                }
                pipe.xadd(self._directory.key("inbox", node), fields, maxlen=INBOX, approximate=True)
                told.append((node, out, len(batch)))
        if not told:
            return False
        await answered(pipe.execute())
        for node, out, count in told:
            if self._out.get(node) is out:
                out.sent(count)
        return True

    # --- hearing ------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Until cancelled."""
        inbox, last = self._directory.key("inbox", self._directory.node), b"0"
        trimmed = asyncio.get_running_loop().time()
        while True:
            try:
                read = self._reading.xread({inbox: last}, count=READ, block=BLOCK_MS)
                told: Any = await answered(read)
            except RedisAway:
                self.shaken = True
                await asyncio.sleep(AGAIN_S)
                continue
            for entry, fields in _entries(told):
                last = entry
                self._heard(fields)
                # A burst must not stall the calls.
                await asyncio.sleep(0)
            now = asyncio.get_running_loop().time()
            if told and now - trimmed > 1.0:
                trimmed = now
                try:
                    await answered(self._writing.xtrim(inbox, minid=last.decode(), approximate=True))
                except RedisAway:
                    self.shaken = True

    def _heard(self, fields: dict[bytes, bytes]) -> None:
        try:
            node, epoch, first = fields[b"f"].decode(), fields[b"e"].decode(), int(fields[b"n"])
            messages = unpack(fields[b"b"])
        except (KeyError, ValueError):
            log.error("cluster.not_understood")
            return
        ahead = self._in.setdefault(node, Ahead())
        was_broken = ahead.broken
        for message in ahead.take(epoch, first, messages):
            try:
                self._take(node, message)
            except Exception:
                # Whatever one message meets, the next ones are to be heard.
                log.exception("cluster.message_failed", kind=message.get("t"), node=node)
        if ahead.broken and not was_broken:
            log.warning("cluster.link_broken", node=node)
            self._broke(node)


def _entries(told: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Of the one stream that is read."""
    return [entry for _, entries in told or () for entry in entries]
