"""Who lives: this node says so with each beat, hears who else does, and tells which of them is dead.

It judges those only that it could have heard: whoever was cut off himself judges nobody.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson
import structlog

from server.cluster.directory import BEAT_S, DEAD_S, RedisAway
from server.cluster.messages import Message
from server.cluster.mirror import Mirror
from server.settings import SettingsError
from server.version import __version__

if TYPE_CHECKING:
    from server.agents import Owner
    from server.cluster.node import RedisCluster
    from server.cluster.peers import Peer

log = structlog.get_logger(__name__)

SILENT_S: Final = 2.5
"""Silence after which a node is asked whether it lives."""
ASK_S: Final = 1.0
AWAY_S: Final = 0.5
"""Between two attempts to reach a Redis that is away."""


class Beats:
    """Of this node. ``secret`` and ``keys`` are those that all nodes have to share."""

    def __init__(self, cluster: RedisCluster, secret: str, keys: Iterable[str]) -> None:
        self._cluster = cluster
        self._signs = {"secret": _digest(secret, "secret"), "keys": _digest(secret, *sorted(keys))}
        self._loop = asyncio.get_running_loop()
        self.address = ""
        """Where others reach this node."""
        self._well_since: float | None = None
        """Since when Redis has answered each beat."""
        self._beaten = 0.0
        self.why = "it has not answered yet"
        """What is wrong with Redis, while it is not well."""

    @property
    def well(self) -> bool:
        """Redis answers."""
        return self._well_since is not None

    async def keep(self) -> None:
        while True:
            try:
                await self.beat()
            except RedisAway as away:
                self.fell(away)
                await asyncio.sleep(AWAY_S)
            else:
                await asyncio.sleep(BEAT_S)

    def fell(self, away: RedisAway) -> None:
        if self._well_since is not None or not self._beaten:
            log.error("cluster.redis_away", reason=str(away), instead="each node serves by itself")
        self._well_since, self.why = None, away.why
        self._beaten = self._beaten or -1.0

    async def beat(self) -> None:
        cluster, signs = self._cluster, self._signs
        said = self.said()
        record = orjson.dumps({**said, "version": __version__, **signs})
        known = await cluster.directory.beat(record, said["store"])
        now = self._loop.time()
        silent_s = now - self._beaten
        first, shaken = self._beaten <= 0, self._well_since is None or cluster.links.shaken
        if shaken:
            cluster.links.shaken = False
            self._well_since = now
            if not first:
                log.warning("cluster.redis_back")
            await cluster.directory.put_calls([call.call_id for call in cluster.services.calls.all()])
        self._beaten = now
        records = {node: orjson.loads(told) for node, told in known.items() if told and node != cluster.node}
        if first:
            _same_secrets(records.values(), signs)
        await self._claim_again()
        if shaken or silent_s > DEAD_S:
            # What was told meanwhile may be lost, and this node may have been taken for dead.
            for node in list(cluster.peers.all):
                cluster.peers.part(node)
        for node, told in records.items():
            cluster.peers.there(node, told)
        self._look_for_dead(known, records, now)
        self._ask_the_silent(now)
        self._acknowledge()

    def said(self) -> dict[str, Any]:
        kept = self._cluster.services.kept.node
        store = kept.name if kept is not None else ""
        return {"url": self.address, "store": store, "audio": self._cluster.audio_port}

    def _look_for_dead(self, known: Iterable[str], records: Mapping[str, Any], now: float) -> None:
        """Of those only that could have been heard: whoever was cut off himself judges nobody."""
        if self._well_since is None or now - self._well_since < DEAD_S:
            return
        for node in {*self._cluster.peers.all, *known} - {*records, self._cluster.node}:
            self._cluster.peers.died(node)

    def _ask_the_silent(self, now: float) -> None:
        """A node whose process is gone refuses connections: that is told sooner than by its silence."""
        for node, peer in self._cluster.peers.all.items():
            if now - peer.heard_at > SILENT_S and not peer.asked and self._well_since is not None:
                peer.asked = True
                self._cluster.apart(self._ask(node, peer), f"ask {node}")

    def suspect(self, owner: Owner | None) -> bool:
        """Somebody asks for what a connection holds. False: that is no connection at another node."""
        peer = self._cluster.peers.all.get(owner.node) if isinstance(owner, Mirror) else None
        if isinstance(owner, Mirror) and peer is not None and not peer.asked:
            peer.asked = True
            self._cluster.apart(self._ask(owner.node, peer), f"ask {owner.node}")
        return isinstance(owner, Mirror)

    async def _ask(self, node: str, peer: Peer) -> None:
        parts = urlsplit(peer.url)
        try:
            async with asyncio.timeout(ASK_S):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            writer.close()
        except ConnectionRefusedError:
            if self._cluster.peers.all.get(node) is peer:
                self._cluster.peers.died(node)
        except (OSError, TimeoutError):
            pass  # It may be the network between the two.
        finally:
            peer.asked = False

    async def _claim_again(self) -> None:
        """Claims hold as long as they are repeated. Whoever lost one meanwhile, to another node, gives way."""
        held = [
            (home, what, holder) for home in self._cluster.peers.homes for what, holder in home.claims.items()
        ]
        holders = await self._cluster.directory.claim_all([(what, holder) for _, what, holder in held])
        for (home, what, ours), holder in zip(held, holders, strict=True):
            if holder != ours:
                log.error("cluster.claim_lost", claim=what)
                home.lost(what)

    def _acknowledge(self) -> None:
        told: dict[str, list[Message]] = {node: [] for node in self._cluster.peers.all}
        for home in self._cluster.peers.homes:
            for node, ack in home.acks().items():
                if node in told:
                    told[node].append(ack)
        room = self._cluster.services.calls.room
        for node, acks in told.items():
            self._cluster.send(node, {"t": "acks", "a": acks, "room": room}, 60 * len(acks) + 60)


def _digest(secret: str, *words: str) -> str:
    """What shows that two nodes have the same, and does not tell it."""
    return hmac.new(secret.encode(), "\0".join(("cluster", *words)).encode(), sha256).hexdigest()[:16]


def _same_secrets(others: Iterable[Mapping[str, Any]], ours: Mapping[str, str]) -> None:
    for other in others:
        if other["secret"] != ours["secret"]:
            raise SettingsError(
                f"TALKWIRE_SECRET: the node at {other['url']} has another one. Give all nodes the same, or one data "
                "directory"
            )
        if other["keys"] != ours["keys"]:
            raise SettingsError(
                f"TALKWIRE_API_KEYS: the node at {other['url']} has others. Give all nodes the same"
            )
