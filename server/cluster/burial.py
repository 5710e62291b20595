"""What is left of a node that died: its calls, which end as failed, and those who are to be told.

Of the nodes that live one does it: that it is dead is told by its silence, or by the spool that it has left. Whoever does
it asks the others how far its calls were told, so that the end comes behind all that anybody has heard, and closes them
in the store. Where there is none, or it did not have them yet, they end out of what the nodes knew of each other's calls;
where another server has closed them, which it does while Redis is away, that end is the one that is told.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

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

    def __init__(self, calls: Iterable[PastSummary]) -> None:
        self.calls = {call.call_id: call for call in calls}
        self.told: dict[str, tuple[str, int]] = {}
        """How far agents were told its calls, with the key of whoever had them."""
        self.heard: dict[str, int] = {}
        """How far anybody was told calls that may be its."""
        self.answers: set[str] = set()
        self.news = asyncio.Event()

    def after(self, call_id: str) -> int:
        """The last ``seq`` that anybody knows."""
        return max(self.told.get(call_id, ("", 0))[1], self.heard.get(call_id, 0))


class Burial:
    """Done by this node, or with its help."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster
        self._dead: dict[str, _Dead] = {}
        self._ends: OrderedDict[tuple[str, str], Message] = OrderedDict()

    def goes_on(self, node: str) -> bool:
        """It is dead, and the ends of its calls are told these seconds."""
        return node in self._dead

    def ended(self, message: Message) -> None:
        """The end of one of its calls is told: whoever had it may come back a moment later."""
        self._ends[message["i"], message["k"]] = message
        while len(self._ends) > MAX_BURIED:
            self._ends.popitem(last=False)

    def end_of(self, call_id: str, key: str) -> Message | None:
        """As it was told. None: it was not, or long ago."""
        return self._ends.get((call_id, key))

    def begin(self, node: str) -> None:
        if node in self._dead:
            return
        while len(self._dead) >= MAX_BURIED:
            del self._dead[next(iter(self._dead))]
        cluster = self._cluster
        dead = self._dead[node] = _Dead(cluster.peers.listing.of(node))
        told = [known for home in cluster.peers.homes for known in home.told(node)]
        said = {call_id: seq for home in cluster.peers.homes for call_id, seq in home.said().items()}
        cluster.peers.tell_others({"t": "died", "node": node})
        cluster.peers.tell_all({"t": "told", "node": node, "calls": told, "said": said})
        cluster.apart(self._bury(node, dead), f"bury {node}")

    def told(self, by: str, message: Message) -> None:
        dead = self._dead.get(message["node"])
        if dead is None:
            return
        dead.answers.add(by)
        for call_id, key, seq in message["calls"]:
            if seq >= dead.told.get(call_id, ("", 0))[1]:
                dead.told[call_id] = key, seq
        for call_id, seq in message["said"].items():
            dead.heard[call_id] = max(seq, dead.heard.get(call_id, 0))
        dead.news.set()

    async def of_stores(self, stores: Sequence[str]) -> None:
        """Servers are dead, by their names in the database. Raises ``StoreUnavailable``."""
        try:
            nodes = await self._cluster.directory.stores() if stores else {}
        except RedisAway:
            nodes = {}
        for store in stores:
            if store in nodes:
                self._cluster.peers.died(nodes[store])
            elif (kept := self._cluster.services.kept.node) is not None:
                # It was never one of the nodes; or Redis is away: whoever was told its calls is told their end later.
                await kept.close_calls_of([store])

    async def _bury(self, node: str, dead: _Dead) -> None:
        directory = self._cluster.directory
        try:
            await directory.silence(node)
            if await directory.lock(f"bury:{node}", LOCK_S):
                stores = {node: store for store, node in (await directory.stores()).items()}
                await self._answered(dead)
                await self._close(dead, stores.get(node))
                await directory.bury(node)
        except RedisAway as away:
            log.warning("cluster.not_buried", node=node, reason=str(away))
        except Exception:
            log.exception("cluster.not_buried", node=node)
        finally:
            # Should that have failed, the next beat begins anew; a node of this id does not come back to life.
            asyncio.get_running_loop().call_later(LOCK_S, self._dead.pop, node, None)

    async def _answered(self, dead: _Dead) -> None:
        for call_id, seq in (await self._cluster.feed.heard()).items():
            dead.heard[call_id] = max(seq, dead.heard.get(call_id, 0))
        try:
            async with asyncio.timeout(ANSWERS_S):
                while not {*self._cluster.peers.all, self._cluster.node} <= dead.answers:
                    dead.news.clear()
                    await dead.news.wait()
        except TimeoutError:
            return  # They are away themselves.

    async def _close(self, dead: _Dead, store: str | None) -> None:
        """``store``: what the database calls it. None: nothing."""
        services = self._cluster.services
        ends: dict[str, tuple[str, Entry]] = {}

        def ended(summary: PastSummary, end: Entry) -> None:
            ends[summary.call_id] = summary.slug, end

        kept = services.kept.node
        if kept is not None and store is not None:
            try:
                # What it had written on this machine, and not in the database, belongs before the end.
                await services.kept.adopt()
                after = {call_id: dead.after(call_id) for call_id in {*dead.told, *dead.heard}}
                await kept.close_calls_of([store], after, ended)
            except StoreUnavailable as error:
                log.error("cluster.not_closed", reason=str(error), instead="told, and closed when it is back")
        for call_id in (dead.told.keys() | dead.calls.keys()) - ends.keys():
            ends[call_id] = await self._ended(dead, call_id)
        for call_id, (key, end) in ends.items():
            key = dead.told.get(call_id, (key, 0))[0] or key
            self._cluster.peers.tell_all(
                {"t": "ended", "i": call_id, "k": key, "s": end.seq, "d": end.data.decode()}
            )
        if ends:
            log.warning("cluster.calls_closed", calls=len(ends))

    async def _ended(self, dead: _Dead, call_id: str) -> tuple[str, Entry]:
        """The end of a call that was not closed now: as another server has closed it, or out of what is known."""
        key, _ = dead.told.get(call_id, ("", 0))
        call = dead.calls.get(call_id) or _unknown(call_id, key)
        book = self._cluster.services.book
        try:
            known = await book.told(call_id, ("call.ended",))
        except StoreUnavailable:
            known = []
        if known:
            return call.slug, known[-1]
        added, _ = closed(call, (), book.now(), None, after=dead.after(call_id))
        for entry in added:
            book.recent.add(call.slug, entry, elsewhere=True)
        return call.slug, added[0]


def _unknown(call_id: str, key: str) -> PastSummary:
    """A call of which nothing is known but that somebody was told of it."""
    facts = CallFacts(call_id, key, "", "")
    return PastSummary(facts, key, {"created_at": 0.0, "state": "live", "reason": None, "last_seq": 0})
