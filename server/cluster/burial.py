"""What is left of a node that died: its calls, which end as failed, and those who are to be told.

Of the nodes that live one does it. It asks the others how far agents were told the calls of the dead one, so that the end
comes behind all that any of them has heard, and closes them in the store; where there is none, or it did not have them
yet, out of what the nodes knew of each other's calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import structlog

from server.cluster.directory import RedisAway
from server.cluster.messages import Message
from server.past import StoreUnavailable
from server.ring import Entry
from server.store.closing import closed
from server.summary import PastSummary
from server.wire import CallFacts

if TYPE_CHECKING:
    from server.cluster.node import RedisCluster

log = structlog.get_logger(__name__)

ANSWERS_S: Final = 2.0
"""For the others to tell what they know."""
LOCK_S: Final = 20.0
MAX_BURIED: Final = 1000


class _Dead:
    """A node that died."""

    def __init__(self, store: str, calls: Iterable[PastSummary]) -> None:
        self.store = store
        self.calls = {call.call_id: call for call in calls}
        self.told: dict[str, tuple[str, int]] = {}
        """How far agents were told its calls, with the key of whoever had them."""
        self.answers: set[str] = set()
        self.news = asyncio.Event()


class Burial:
    """Done by this node, or with its help."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster
        self._dead: dict[str, _Dead] = {}

    def begin(self, node: str, store: str, calls: Iterable[PastSummary], told: list[list[Any]]) -> None:
        """``told``: how far agents here were told its calls."""
        if node in self._dead:
            return
        while len(self._dead) >= MAX_BURIED:
            del self._dead[next(iter(self._dead))]
        dead = self._dead[node] = _Dead(store, calls)
        cluster = self._cluster
        cluster.peers.tell_others({"t": "died", "node": node})
        cluster.peers.tell_all({"t": "told", "node": node, "calls": told})
        cluster.services.tasks.create_task(self._bury(node, dead), name=f"bury {node}")

    def told(self, by: str, message: Message) -> None:
        dead = self._dead.get(message["node"])
        if dead is None:
            return
        dead.answers.add(by)
        for call_id, key, seq in message["calls"]:
            _, known = dead.told.get(call_id, ("", 0))
            if seq >= known:
                dead.told[call_id] = key, seq
        dead.news.set()

    async def _bury(self, node: str, dead: _Dead) -> None:
        try:
            await self._cluster.directory.silence(node)
            if await self._cluster.directory.lock(f"bury:{node}", LOCK_S):
                await self._answered(dead)
                await self._close(dead)
                await self._cluster.directory.bury(node)
        except RedisAway as away:
            log.warning("cluster.not_buried", node=node, reason=str(away))
        except Exception:
            log.exception("cluster.not_buried", node=node)
        finally:
            # Should that have failed, the next beat begins anew; a node of this id does not come back to life.
            asyncio.get_running_loop().call_later(LOCK_S, self._dead.pop, node, None)

    async def _answered(self, dead: _Dead) -> None:
        try:
            async with asyncio.timeout(ANSWERS_S):
                while not {*self._cluster.peers.all, self._cluster.node} <= dead.answers:
                    dead.news.clear()
                    await dead.news.wait()
        except TimeoutError:
            return  # They are away themselves.

    async def _close(self, dead: _Dead) -> None:
        services = self._cluster.services
        ends: dict[str, tuple[str, Entry]] = {}

        def ended(summary: PastSummary, end: Entry) -> None:
            ends[summary.call_id] = summary.slug, end

        kept = services.kept.node
        if kept is not None and dead.store:
            try:
                await kept.close_calls_of(
                    [dead.store], {call: seq for call, (_, seq) in dead.told.items()}, ended
                )
            except StoreUnavailable as error:
                log.error("cluster.not_closed", reason=str(error), instead="told, and closed when it is back")
        for call_id in (dead.told.keys() | dead.calls.keys()) - ends.keys():
            key, seq = dead.told.get(call_id, ("", 0))
            call = dead.calls.get(call_id) or _unknown(call_id, key)
            added, _ = closed(call, (), services.clock.epoch(), None, after=seq)
            ends[call_id] = call.slug, added[0]
        for call_id, (key, end) in ends.items():
            key = dead.told.get(call_id, (key, 0))[0] or key
            self._cluster.peers.tell_all(
                {"t": "ended", "i": call_id, "k": key, "s": end.seq, "d": end.data.decode()}
            )
        if ends:
            log.warning("cluster.calls_closed", calls=len(ends))


def _unknown(call_id: str, key: str) -> PastSummary:
    """A call of which nothing is known but that somebody was told of it."""
    facts = CallFacts(call_id, key, "", "")
    return PastSummary(facts, key, {"created_at": 0.0, "state": "live", "reason": None, "last_seq": 0})
