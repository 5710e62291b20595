"""What happens in the calls of all nodes, in one order: a stream in Redis to which each node adds, and which is read
where somebody follows it.

Its ids are the places, so a cursor is good at any node: microseconds of Redis's clock, or one more than the last. While
Redis is away a node tells its own calls by itself, at places behind all that it knows, and adds them later, for others.

Here: `PREFIX:feed`, the events, and `PREFIX:followed`, that somebody reads them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import structlog

from server.cluster.directory import RedisAway, answered
from server.past import place_of
from server.recent import MAX_EVENTS, Recent
from server.ring import Entry

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

GATHER_S: Final = 0.02
"""What happens within it is told at once."""
UNREAD_S: Final = 0.2
"""The same while nobody reads anywhere."""
FOLLOWED_S: Final = 5.0
"""So long somebody reads, from the last time that he said so."""
LINGER_S: Final = 30.0
"""It is read on for so long without a reader: he may come back."""
MAX_BATCH: Final = 256
MAX_BATCH_BYTES: Final = 1 << 20
MAX_WAITING: Final = MAX_EVENTS
"""Of more, while Redis is away, the oldest are not told to others. The logs have them."""
MAX_CALLS: Final = 10_000
READ: Final = 100
BLOCK_MS: Final = 1000
AGAIN_S: Final = 0.3
KEPT_S: Final = 3600

_ADD: Final = """
local last = tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 1 then
  local told = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then
      last = math.max(last, tonumber(string.match(told[i + 1], '^%d+')))
    end
  end
end
local now = redis.call('TIME')
local place = math.max(last, now[1] * 1000000 + now[2] - 1)
for i = 4, #ARGV, 2 do
  place = place + 1
  local id = string.format('%.0f-0', place)
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], id, 'h', ARGV[i], 'd', ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {string.format('%.0f', place), redis.call('EXISTS', KEYS[2])}
"""
"""Adds events behind all that are there, and behind a place. Returns the place of the last, and whether anybody reads."""


class _Told(NamedTuple):
    node: str
    """That has the call; empty: one that has died had it."""
    key: str
    entry: Entry


class RedisFeed:
    """Of this node, for its ``recent``. ``forgotten`` is told of calls that are to be forgotten everywhere."""

    def __init__(
        self,
        writing: Redis,
        reading: Redis,
        prefix: str,
        node: str,
        recent: Recent,
        forgotten: Callable[[list[str]], None],
    ) -> None:
        self._writing: Any = writing
        self._reading: Any = reading
        self._node = node
        self._recent = recent
        self._forgotten = forgotten
        self._stream, self._followed = f"{prefix}:feed", f"{prefix}:followed"
        self._add = writing.register_script(_ADD)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Told] = deque()
        self._sending: list[_Told] = []
        """On its way; it is sent again where it is not known to have come."""
        self._wake, self._written = asyncio.Event(), asyncio.Event()
        self._last = 0
        """The place of the last that was added from here."""
        self._anybody = False
        self._away = False
        self._readers = 0
        self._wanted = asyncio.Event()
        self._there = asyncio.Event()
        """What is kept was read."""
        self._idle: asyncio.TimerHandle | None = None
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Of each call the last that was told here: ``seq`` and ``ts``."""

    # --- told by the calls --------------------------------------------------------------------------------

    def tell(self, key: str, entry: Entry, *, elsewhere: bool) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
        told = _Told("" if elsewhere else self._node, key, entry)
        self._waiting.append(told)
        self._wake.set()
        self._written.clear()
        if self._away:
            self._tell_here(told)

    def forget(self, call_ids: Collection[str]) -> None:
        gone = frozenset(call_ids)
        self._waiting = deque(told for told in self._waiting if told.entry.call_id not in gone)
        self._forgotten(sorted(gone))

    async def delete(self, call_ids: Collection[str]) -> None:
        """Nothing of these calls is kept in Redis. Raises ``RedisAway``."""
        gone = frozenset(call_ids)
        async for place, call_id, _ in self._all():
            if call_id in gone:
                await answered(self._writing.xdel(self._stream, place))

    async def heard(self) -> dict[str, int]:
        """How far each call was told to whoever follows all, as far as that is kept. Raises ``RedisAway``."""
        return {call_id: seq async for _, call_id, seq in self._all()}

    async def _all(self) -> AsyncIterator[tuple[bytes, str, int]]:
        behind = "-"
        while True:
            page = await answered(self._writing.xrange(self._stream, behind, "+", count=READ))
            for place, fields in page:
                _, _, call_id, seq, _, _ = _head(fields)
                yield place, call_id, seq
            if len(page) < READ:
                return
            behind = "(" + page[-1][0].decode()

    async def flushed(self, patience_s: float) -> None:
        """Until all is with Redis, or for so long."""
        if self._sending or self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._written.wait()

    async def write(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S if self._anybody or self._readers else UNREAD_S)
            self._wake.clear()
            try:
                while self._sending or self._waiting:
                    await self._write_some()
                self._written.set()
            except RedisAway:
                self._fell()
                self._wake.set()
                await asyncio.sleep(AGAIN_S)

    async def _write_some(self) -> None:
        size = sum(len(told.entry.data) for told in self._sending)
        while self._waiting and len(self._sending) < MAX_BATCH and size < MAX_BATCH_BYTES:
            self._sending.append(self._waiting.popleft())
            size += len(self._sending[-1].entry.data)
        behind = max(self._last, self._recent.last)
        args: list[Any] = [MAX_EVENTS, behind, KEPT_S]
        for node, key, entry in self._sending:
            head = [node, key, entry.call_id, entry.seq, entry.ts, entry.event]
            args += (orjson.dumps(head), entry.data)
        last, anybody = await answered(self._add(keys=[self._stream, self._followed], args=args))
        self._last, self._anybody = int(last), bool(anybody)
        self._sending.clear()
        self._away = False

    def _fell(self) -> None:
        """Redis does not take it: whoever reads here is told of the calls here nevertheless."""
        if not self._away:
            self._away = True
            self._tell_what_waits()

    def _tell_what_waits(self) -> None:
        for told in (*self._sending, *self._waiting):
            self._tell_here(told)

    def _tell_here(self, told: _Told) -> None:
        node, key, entry = told
        if self._wanted.is_set() and self._is_new(entry):
            self._recent.put(key, entry, place_of(entry), elsewhere=node != self._node)

    # --- read ---------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        self._readers += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._wanted.set()
        await self._there.wait()

    def end(self) -> None:
        self._readers -= 1
        if not self._readers:
            self._idle = self._loop.call_later(LINGER_S, self._wanted.clear)

    async def read(self) -> None:
        """Until cancelled."""
        while True:
            await self._wanted.wait()
            self._recent.begin_anew()
            self._seen.clear()
            try:
                await self._read_on()
            finally:
                self._there.clear()

    async def _read_on(self) -> None:
        last, said_at = "0", 0.0
        while self._wanted.is_set():
            try:
                if self._loop.time() - said_at > FOLLOWED_S / 2:
                    await answered(self._reading.set(self._followed, 1, px=int(FOLLOWED_S * 1000)))
                    said_at = self._loop.time()
                block = BLOCK_MS if self._there.is_set() else None
                told = await answered(self._reading.xread({self._stream: last}, count=READ, block=block))
            except RedisAway:
                if not self._there.is_set() and self._away:
                    self._tell_what_waits()
                self._there.set()
                await asyncio.sleep(AGAIN_S)
                continue
            entries = [entry for _, entries in told or () for entry in entries]
            for place, fields in entries:
                last = place.decode()
                self._heard(int(last.partition("-")[0]), fields)
            if len(entries) < READ:
                self._there.set()
            # A burst must not stall the calls.
            await asyncio.sleep(0)

    def _heard(self, place: int, fields: dict[bytes, bytes]) -> None:
        node, key, call_id, seq, ts, event = _head(fields)
        entry = Entry(call_id, seq, ts, event, fields[b"d"])
        if self._is_new(entry):
            self._recent.put(key, entry, place, elsewhere=node != self._node)

    def _is_new(self, entry: Entry) -> bool:
        """It was not told here before: what was on its way when Redis went away may come twice."""
        seq, ts = self._seen.get(entry.call_id, (0, 0.0))
        if entry.seq <= seq and not (entry.seq == 1 and entry.ts > ts):  # An id may come once more.
            return False
        self._seen[entry.call_id] = entry.seq, entry.ts
        self._seen.move_to_end(entry.call_id)
        if len(self._seen) > MAX_CALLS:
            self._seen.popitem(last=False)
        return True


def _head(fields: dict[bytes, bytes]) -> tuple[str, str, str, int, float, str]:
    """Its node, the key of its agent, its call, ``seq``, ``ts`` and name."""
    node, key, call_id, seq, ts, event = orjson.loads(fields[b"h"])
    return node, key, call_id, seq, ts, event
