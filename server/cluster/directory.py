"""What the nodes know in common, in Redis: who lives, which has a call, who answers what, and which tokens are used.

All of it can be made again out of what the nodes have in memory: a Redis that comes back empty is filled by their next
beats. Names:

    PREFIX:nodes               sorted set: node -> when it said last that it lives (Redis's clock, seconds)
    PREFIX:node:NODE           what it says of itself, JSON; gone a few seconds after its last word
    PREFIX:stores              hash: node -> what the database calls it, until it is buried
    PREFIX:inbox:NODE          stream: what others tell it
    PREFIX:call:CALL           the node that has the call
    PREFIX:claim:WHAT          who answers an agent's id, a number or a line: "NODE/NAME"
    PREFIX:token:ID            a token that is good once, and was used
    PREFIX:lock:NAME           the node that does a thing that one has to do
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from socket import gaierror
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from redis.asyncio import Redis

BEAT_S: Final = 1.5
DEAD_S: Final = 6.0
"""Silence after which a node is dead."""
CLAIM_S: Final = 10.0
"""How long a claim holds without its holder's beat."""
CALL_S: Final = 26 * 3600
"""A call lasts no longer than a day."""
OVER_S: Final = 300
"""So long a call that is over is still asked for where it was."""
PATIENCE_S: Final = 3.0
"""For any answer of Redis."""

T = TypeVar("T")


class RedisAway(Exception):
    """Redis does not answer; ``str()`` says how, for the log, and ``why`` what that means, without its address."""

    def __init__(self, text: str, why: str = "") -> None:
        super().__init__(text)
        self.why = why or text


_BEAT: Final = """
local now = redis.call('TIME')
redis.call('SET', KEYS[2] .. ARGV[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], now[1], ARGV[1])
redis.call('EXPIRE', KEYS[3], ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[4], ARGV[1], ARGV[5]) end
local told = {}
for _, node in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  told[#told + 1] = node
  told[#told + 1] = redis.call('GET', KEYS[2] .. node) or ''
end
return told
"""
"""Says that a node lives; tells of all that did and have not been buried, with what they say of themselves."""

_CLAIM: Final = """
local held = redis.call('GET', KEYS[1])
if held then
  local node, name = string.match(held, '^([^/]+)/(.*)$')
  if name ~= ARGV[2] and name ~= ARGV[3] and redis.call('EXISTS', KEYS[2] .. node) == 1 then return name end
end
redis.call('SET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], 'PX', ARGV[4])
return ARGV[2]
"""
"""Whoever answers from now on: the one that asks, unless another one does, whose node lives, and that is not the
one that it may displace."""

_RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class Directory:
    """As one node sees it. Each method raises ``RedisAway``."""

    def __init__(self, client: Redis, prefix: str, node: str) -> None:
        self._client: Any = client
        self._prefix = prefix
        self.node = node
        self._stores = f"{prefix}:stores"
        self._beat = client.register_script(_BEAT)
        self._claim = client.register_script(_CLAIM)
        self._release = client.register_script(_RELEASE)

    def key(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}:{name}"

    # --- nodes --------------------------------------------------------------------------------------------

    async def beat(self, record: bytes, store: str = "") -> dict[str, bytes]:
        """Say that this node lives, and what it is; ``store``: what the database calls it. Returns all that did, with
        what they say; empty: it is silent."""
        keys = [f"{self._prefix}:nodes", self.key("node", ""), self.key("inbox", self.node), self._stores]
        args: list[Any] = [self.node, record, int(DEAD_S * 1000), int(DEAD_S * 20), store]
        told: list[bytes] = await answered(self._beat(keys=keys, args=args))
        return {told[i].decode(): told[i + 1] for i in range(0, len(told), 2)}

    async def silence(self, node: str) -> None:
        """It is dead: what it has claimed is free."""
        await answered(self._client.delete(self.key("node", node)))

    async def bury(self, node: str) -> None:
        """It left, or is dead and all is done that its death asks for."""
        pipe = self._client.pipeline(transaction=False)
        pipe.zrem(f"{self._prefix}:nodes", node)
        pipe.hdel(self._stores, node)
        pipe.delete(self.key("node", node), self.key("inbox", node))
        await answered(pipe.execute())

    async def stores(self) -> dict[str, str]:
        """Of the nodes that were not buried: which the database calls what, by that."""
        told: dict[bytes, bytes] = await answered(self._client.hgetall(self._stores))
        return {store.decode(): node.decode() for node, store in told.items()}

    async def lock(self, name: str, seconds: float) -> bool:
        """True: this node does it."""
        taken = self._client.set(self.key("lock", name), self.node, nx=True, px=int(seconds * 1000))
        return bool(await answered(taken))

    # --- calls --------------------------------------------------------------------------------------------

    async def put_calls(self, call_ids: Iterable[str]) -> None:
        """They are here."""
        pipe = self._client.pipeline(transaction=False)
        for call_id in call_ids:
            pipe.set(self.key("call", call_id), self.node, ex=CALL_S)
        await answered(pipe.execute())

    async def end_call(self, call_id: str) -> None:
        await answered(self._client.expire(self.key("call", call_id), OVER_S))

    async def node_of(self, call_id: str) -> str | None:
        found = await answered(self._client.get(self.key("call", call_id)))
        return found.decode() if found is not None else None

    async def nodes_of(self, call_ids: Sequence[str]) -> dict[str, str]:
        if not call_ids:
            return {}
        found = await answered(self._client.mget([self.key("call", call_id) for call_id in call_ids]))
        return {call_id: node.decode() for call_id, node in zip(call_ids, found, strict=True) if node}

    # --- who answers --------------------------------------------------------------------------------------

    async def claim(self, what: str, holder: str, displaced: str = "") -> str:
        """Have ``holder`` answer; ``displaced``: who may lose it. Returns who answers now."""
        keys = [self.key("claim", what), self.key("node", "")]
        args: list[Any] = [self.node, holder, displaced, int(CLAIM_S * 1000)]
        told: bytes = await answered(self._claim(keys=keys, args=args))
        return told.decode()

    async def claim_all(self, claims: Sequence[tuple[str, str]]) -> list[str]:
        """The same for several: what, and by whom."""
        if not claims:
            return []
        pipe = self._client.pipeline(transaction=False)
        for what, holder in claims:
            keys = [self.key("claim", what), self.key("node", "")]
            await self._claim(keys=keys, args=[self.node, holder, "", int(CLAIM_S * 1000)], client=pipe)
        told: list[bytes] = await answered(pipe.execute())
        return [holder.decode() for holder in told]

    async def release(self, what: str, holder: str) -> None:
        await answered(self._release(keys=[self.key("claim", what)], args=[f"{self.node}/{holder}"]))

    # --- tokens -------------------------------------------------------------------------------------------

    async def spend(self, token_id: str, lifetime_s: float) -> bool:
        """False: it was used before."""
        spent = self._client.set(
            self.key("token", token_id), self.node, nx=True, ex=max(1, int(lifetime_s) + 1)
        )
        return bool(await answered(spent))


async def answered(asked: Awaitable[T]) -> T:
    """What Redis answers, in time. Raises ``RedisAway``."""
    from redis.exceptions import RedisError

    task = asyncio.current_task()
    assert task is not None
    cancelled = task.cancelling()
    try:
        async with asyncio.timeout(PATIENCE_S):
            told = await asked
        if task.cancelling() > cancelled:
            # The client swallows that, where its answer is there in the same moment.
            raise asyncio.CancelledError
        return told
    except TimeoutError:
        raise RedisAway(f"no answer within {PATIENCE_S:g} s") from None
    except (RedisError, OSError) as error:
        raise RedisAway(str(error) or type(error).__name__, _meaning(error)) from None


def _meaning(error: Exception) -> str:
    """For those who may not know where Redis is."""
    from redis.exceptions import AuthenticationError, ConnectionError, ResponseError

    below = error.__cause__ or error.__context__
    match error:
        case AuthenticationError():
            return "it refuses the user or password of TALKWIRE_REDIS_URL"
        case ResponseError():
            return f"it answers {str(error)[:200]}"
        case ConnectionError() if isinstance(below, ConnectionRefusedError):
            return "nothing listens at the address of TALKWIRE_REDIS_URL"
        case ConnectionError() if isinstance(below, gaierror):
            return "the host of TALKWIRE_REDIS_URL is not found"
        case ConnectionError() if "connecting to" in str(error):
            return "it cannot be reached at the address of TALKWIRE_REDIS_URL"
    return "the connection broke" if isinstance(error, ConnectionError) else type(error).__name__
