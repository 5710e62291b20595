"""This server as one of several: what it is made of, and what the rest of the server asks of it.

Who lives is judged by ``beats.py``, what the others are told and what they tell goes by ``peers.py``, and which of them
has what is known by ``whereabouts.py``.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog
from redis import DriverInfo
from redis.asyncio import Redis

from server.cluster import forward
from server.cluster.address import own_address
from server.cluster.beats import AWAY_S, Beats
from server.cluster.directory import Directory, RedisAway
from server.cluster.feed import RedisFeed
from server.cluster.home import Home
from server.cluster.links import Links
from server.cluster.messages import Message
from server.cluster.peers import Peers
from server.cluster.whereabouts import Whereabouts
from server.past import StoreUnavailable
from server.settings import Settings
from server.version import __version__

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from server.doors.agent import AgentConnection
    from server.ring import Entry
    from server.services import Services
    from server.summary import PastSummary

log = structlog.get_logger(__name__)

FLUSH_S: Final = 1.0
"""For what is still to be told when a node stops."""


class RedisCluster:
    """Of this node."""

    http: httpx.AsyncClient
    """By which requests are passed on."""
    services: Services
    peers: Peers
    links: Links
    feed: RedisFeed

    def __init__(self, settings: Settings, secret: str, keys: Iterable[str]) -> None:
        assert settings.redis_url is not None
        self.node = secrets.token_hex(4)
        self._settings = settings
        url = settings.redis_url.get_secret_value()

        def client() -> Redis:
            # What it calls itself is said, for else that is looked up in files at each connection.
            driver = DriverInfo(name="talkwire", lib_version=__version__)
            made: Redis = Redis.from_url(url, socket_connect_timeout=2.0, protocol=2, driver_info=driver)
            return made

        self._clients = client(), client(), client()
        self.directory = Directory(self._clients[2], settings.redis_prefix, self.node)
        self.audio_port = 0
        self.beats = Beats(self, secret, keys)
        self.where = Whereabouts(self)

    # --- life ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def opened(self, services: Services) -> AsyncIterator[None]:
        """Be one of the nodes. Raises ``SettingsError`` where the others have other secrets."""
        self.services = services
        self.http = await asyncio.to_thread(forward.client)
        self.beats.address = await asyncio.to_thread(own_address, self._settings)
        self.peers = peers = Peers(self)
        writing, reading, _ = self._clients
        self.links = Links(writing, reading, self.directory, peers.take, peers.broke, peers.overflowed)
        recent, prefix = services.book.recent, self._settings.redis_prefix
        recent.feed = self.feed = RedisFeed(writing, reading, prefix, self.node, recent, self._forgotten)
        work: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "beats": self.beats.keep,
            "hears": self.links.read,
            "tells": self.links.write,
            "directory": self.where.keep,
            "list": peers.listing.keep,
            "feed": self.feed.write,
            "follows": self.feed.read,
        }
        kept = services.kept
        if kept.node is not None:
            kept.node.bury = peers.burial.of_stores
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self.beats.beat()
                except RedisAway as away:
                    self.beats.fell(away)
                running = [
                    tasks.create_task(_forever(does), name=f"cluster {what}") for what, does in work.items()
                ]
                with suppress(StoreUnavailable):  # They are dead in an hour, too.
                    await peers.burial.of_stores(kept.dead)
                try:
                    yield
                finally:
                    await self._leave()
                    for task in running:
                        task.cancel()
        finally:
            await self.http.aclose()
            for client in self._clients:
                await client.aclose()

    async def _leave(self) -> None:
        for home in list(self.peers.homes):
            home.leave()
        self.peers.tell_others({"t": "bye"})
        await self.links.flushed(FLUSH_S)
        await self.feed.flushed(FLUSH_S)
        with suppress(RedisAway):
            await self.directory.bury(self.node)

    def front(self, app: FastAPI) -> None:
        services = self.services
        passing = forward.Pass(services.tokens.derived("pass on between nodes"), services.clock.epoch)
        app.add_middleware(forward.Forwarding, cluster=self, passing=passing)

    # --- calls and connections ----------------------------------------------------------------------------

    def send(self, node: str, message: Message, size: int = 200) -> bool:
        """Tell a node something; ``size``: of it, about, in bytes. False: it is not there."""
        return self.links.send(node, message, size)

    def home(self, connection: AgentConnection, client: str) -> Home:
        return self.peers.home(connection, client)

    def rang(self, call_id: str) -> None:
        self.where.rang(call_id)

    def over(self, call_id: str) -> None:
        self.where.over(call_id)

    async def node_of(self, call_id: str) -> str | None:
        return await self.where.node_of(call_id)

    def roomier(self) -> str | None:
        return self.where.roomier()

    def url_of(self, node: str) -> str | None:
        peer = self.peers.all.get(node)
        return peer.url if peer is not None else None

    def audio_port_of(self, node: str) -> int:
        peer = self.peers.all.get(node)
        here = urlsplit(self.beats.address).hostname
        return peer.audio_port if peer is not None and urlsplit(peer.url).hostname == here else 0

    async def announced(self, call_id: str) -> None:
        with suppress(RedisAway):
            await self.directory.put_calls([call_id])

    async def spend(self, claims: Mapping[str, Any]) -> bool:
        return await self.where.spend(claims)

    def _forgotten(self, call_ids: list[str]) -> None:
        """What is kept of these calls for those who follow all."""

        async def delete() -> None:
            try:
                await self.feed.delete(call_ids)
            except RedisAway as away:
                log.error("cluster.not_forgotten", calls=len(call_ids), reason=str(away))

        self.peers.tell_others({"t": "forget", "calls": call_ids}, 40 * len(call_ids) + 100)
        self.apart(delete(), "forget calls")

    def apart(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin something that is no call's, whatever call it was noticed in: what is logged of it names none."""
        self.services.tasks.create_task(work, name=name, context=Context())

    def noted(self, slugs: Collection[str]) -> None:
        self.peers.tell_others({"t": "noted", "slugs": sorted(slugs)})

    def wakes(self) -> bool | None:
        return self.beats.well

    # --- looking ------------------------------------------------------------------------------------------

    def listed(self) -> list[PastSummary]:
        return self.peers.listing.all()

    def firsts(self) -> list[Entry]:
        return self.peers.listing.firsts()

    def health(self) -> dict[str, Any]:
        others = self.peers.all
        return {
            "node": self.node,
            "redis": self.beats.well,
            **({} if self.beats.well else {"why": self.beats.why}),
            "nodes": 1 + len(others),
            "others": sorted(others),
            "room": sum(peer.room for peer in others.values()),
            "waiting": self.links.waiting,
        }


async def _forever(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            # The calls do not depend on it.
            log.exception("cluster.crashed")
            await asyncio.sleep(AWAY_S)
