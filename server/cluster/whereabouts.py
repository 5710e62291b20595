"""Which node has a call, who answers what on all nodes, and which tokens are used: asked of Redis, with what holds while
it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from server.cluster.directory import RedisAway
from server.cluster.mirror import Mirror
from server.doors.agent import AgentConnection

if TYPE_CHECKING:
    from server.agents import Owner
    from server.cluster.node import RedisCluster

log = structlog.get_logger(__name__)


class Whereabouts:
    """As this node knows them."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster
        self._news = asyncio.Event()
        self._rang: set[str] = set()
        self._over: set[str] = set()

    def rang(self, call_id: str) -> None:
        self._rang.add(call_id)
        self._news.set()

    def over(self, call_id: str) -> None:
        self._over.add(call_id)
        self._news.set()

    async def keep(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            rang, self._rang = self._rang, set()
            over, self._over = self._over, set()
            try:
                await self._cluster.directory.put_calls(rang)
                for call_id in over:
                    await self._cluster.directory.end_call(call_id)
            except RedisAway:
                # When it is back it is told of all that are live then.
                self._cluster.links.shaken = True

    async def node_of(self, call_id: str) -> str | None:
        try:
            node = await self._cluster.directory.node_of(call_id)
        except RedisAway:
            return None
        return node if node in self._cluster.peers.all else None

    async def elsewhere(self, call_ids: list[str]) -> frozenset[str]:
        """Of these calls those that other nodes have, or had until a moment ago."""
        try:
            found = await self._cluster.directory.nodes_of(call_ids)
        except RedisAway:
            return frozenset(call_ids)  # Nobody knows: they are not said to be gone.
        peers = self._cluster.peers
        return frozenset(
            call_id for call_id, node in found.items() if node in peers.all or peers.burial.goes_on(node)
        )

    def is_here(self, call_id: str) -> bool:
        calls = self._cluster.services.calls
        here = calls.get(call_id) is not None or calls.is_over(call_id)
        return here or self._cluster.services.dialling.owner_of(call_id) is not None

    def roomier(self) -> str | None:
        if not self._cluster.services.calls.is_full:
            return None
        room, node = max(
            ((peer.room, node) for node, peer in self._cluster.peers.all.items()), default=(0, "")
        )
        if room <= 0:
            return None
        self._cluster.peers.all[node].room -= 1  # Until it says itself.
        return node

    async def spend(self, claims: Mapping[str, Any]) -> bool:
        lifetime_s = float(claims["exp"]) - self._cluster.services.clock.epoch()
        try:
            return await self._cluster.directory.spend(str(claims.get("jti")), lifetime_s)
        except RedisAway:
            # Whoever made it knows whether it was used.
            return claims.get("node") == self._cluster.node

    async def claim(self, what: str, holder: str, displaced: Owner | None) -> str | None:
        """Who answers from now on; None: that cannot be known now."""
        name = ""
        if isinstance(displaced, Mirror):
            name = displaced.name.partition(":")[0]
        elif isinstance(displaced, AgentConnection):
            name = next((home.name for home in self._cluster.peers.homes if home.connection is displaced), "")
        try:
            return await self._cluster.directory.claim(what, holder, name)
        except RedisAway as away:
            log.warning("cluster.not_claimed", claim=what, reason=str(away))
            return None

    def release(self, claims: Mapping[str, str]) -> None:
        async def give_up() -> None:
            with suppress(RedisAway):
                for what, holder in claims.items():
                    await self._cluster.directory.release(what, holder)

        if claims:
            self._cluster.apart(give_up(), "release claims")
