"""This server as one of several: it says that it lives, hears who else does, and does what a death asks for."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson
import structlog
from redis import DriverInfo
from redis.asyncio import Redis

from server.cluster import forward
from server.cluster.address import own_address
from server.cluster.burial import Burial
from server.cluster.directory import BEAT_S, DEAD_S, Directory, RedisAway
from server.cluster.exchange import Exchange
from server.cluster.home import Home, Line
from server.cluster.links import Links
from server.cluster.listing import Listing
from server.cluster.messages import Message
from server.cluster.mirror import Mirror
from server.doors.agent import AgentConnection
from server.settings import Settings, SettingsError
from server.version import __version__

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from server.agents import Owner
    from server.services import Services
    from server.summary import PastSummary

log = structlog.get_logger(__name__)

FLUSH_S: Final = 1.0
"""For what is still to be told when a node stops."""
SILENT_S: Final = 2.5
"""Silence after which a node is asked whether it lives."""
ASK_S: Final = 1.0
AWAY_S: Final = 0.5
"""Between two attempts to reach a Redis that is away."""


@dataclass(slots=True)
class Peer:
    """Another node that lives."""

    url: str
    store: str
    """By which name the database knows it."""
    heard_at: float
    room: int = 0
    """Calls that it takes besides those that it has."""
    """When something came from it, on the loop's clock."""
    met: bool = False
    """It was told what is here."""
    asked: bool = False
    """It is being asked whether it lives."""
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    """With its connections, which outlive the links that their mirrors hang on."""


class RedisCluster:
    """Of this node."""

    def __init__(self, settings: Settings, secret: str, keys: Iterable[str]) -> None:
        assert settings.redis_url is not None
        self.node = secrets.token_hex(4)
        self._settings = settings
        self._url = settings.redis_url.get_secret_value()
        self._signs = _digest(secret, "secret"), _digest(secret, *sorted(keys))

        def client() -> Redis:
            # What it calls itself is said, for else that is looked up in files at each connection.
            driver = DriverInfo(name="talkwire", lib_version=__version__)
            made: Redis = Redis.from_url(
                self._url, socket_connect_timeout=2.0, protocol=2, driver_info=driver
            )
            return made

        self._clients = client(), client(), client()
        self.http: httpx.AsyncClient
        """By which requests are passed on."""
        writing, reading, asking = self._clients
        self.directory = Directory(asking, settings.redis_prefix, self.node)
        self._links = Links(writing, reading, self.directory, self._take, self._broke, self._overflowed)
        self.services: Services
        self._loop = asyncio.get_running_loop()
        self.peers: dict[str, Peer] = {}
        self._homes: dict[str, Home] = {}
        self._lines: dict[str, tuple[Home, Line]] = {}
        self._opened = 0
        self._well_since: float | None = None
        """Since when Redis has answered each beat."""
        self._beaten = 0.0
        self._news = asyncio.Event()
        self._rang: set[str] = set()
        self._over: set[str] = set()
        self._address = ""
        self._listing: Listing
        self._burial: Burial

    # --- life ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def opened(self, services: Services) -> AsyncIterator[None]:
        """Be one of the nodes. Raises ``SettingsError`` where the others have other secrets."""
        self.services = services
        self.http = await asyncio.to_thread(forward.client)
        self._address = await asyncio.to_thread(own_address, self._settings)
        self._listing = Listing(self.node, services.book, self._tell_all)
        self._burial = Burial(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self._beat()
                except RedisAway as away:
                    self._fell(away)
                running = [
                    tasks.create_task(self._forever(work), name=f"cluster {work.__name__}")
                    for work in (
                        self._keep_beating,
                        self._links.read,
                        self._links.write,
                        self._keep_directory,
                    )
                ]
                running.append(tasks.create_task(self._forever(self._listing.keep), name="cluster list"))
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

    async def _forever(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                # The calls do not depend on it.
                log.exception("cluster.crashed")
                await asyncio.sleep(AWAY_S)

    async def _leave(self) -> None:
        for home in list(self._homes.values()):
            home.leave()
        self._tell_all({"t": "bye"})
        await self._links.flushed(FLUSH_S)
        with suppress(RedisAway):
            await self.directory.bury(self.node)

    # --- beats --------------------------------------------------------------------------------------------

    async def _keep_beating(self) -> None:
        while True:
            try:
                await self._beat()
            except RedisAway as away:
                self._fell(away)
                await asyncio.sleep(AWAY_S)
            else:
                await asyncio.sleep(BEAT_S)

    def _fell(self, away: RedisAway) -> None:
        if self._well_since is not None or not self._beaten:
            log.error("cluster.redis_away", reason=str(away), instead="each node serves by itself")
        self._well_since = None
        self._beaten = self._beaten or -1.0

    async def _beat(self) -> None:
        signs = {"secret": self._signs[0], "keys": self._signs[1]}
        record = {**self._said(), "version": __version__}
        known = await self.directory.beat(orjson.dumps({**record, **signs}))
        now = self._loop.time()
        silent_s = now - self._beaten
        first, shaken = self._beaten <= 0, self._well_since is None or self._links.shaken
        if shaken:
            self._links.shaken = False
            self._well_since = now
            if not first:
                log.warning("cluster.redis_back")
            await self.directory.put_calls([call.call_id for call in self.services.calls.all()])
        self._beaten = now
        records = {node: orjson.loads(told) for node, told in known.items() if told and node != self.node}
        if first:
            _same_secrets(records.values(), signs)
        await self._claim_again()
        if shaken or silent_s > DEAD_S:
            # What was told meanwhile may be lost, and this node may have been taken for dead.
            for node in list(self.peers):
                self._part(node)
        for node, told in records.items():
            self._there(node, told)
        self._look_for_dead(known, records, now)
        self._ask_the_silent(now)
        self._acknowledge()

    def _said(self) -> dict[str, str]:
        kept = self.services.kept.node
        return {"url": self._address, "store": kept.name if kept is not None else ""}

    def _there(self, node: str, told: Mapping[str, Any]) -> None:
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Peer(told["url"], told["store"], self._loop.time())
            log.info("cluster.node_came", node=node, url=peer.url)
        peer.url, peer.store = told["url"], told["store"]
        if not peer.met:
            self._greet(node, ask=True)

    def _look_for_dead(self, known: Iterable[str], records: Mapping[str, Any], now: float) -> None:
        """Of those only that could have been heard: whoever was cut off himself judges nobody."""
        if self._well_since is None or now - self._well_since < DEAD_S:
            return
        for node in {*self.peers, *known} - {*records, self.node}:
            self.died(node)

    def _ask_the_silent(self, now: float) -> None:
        """A node whose process is gone refuses connections: that is told sooner than by its silence."""
        for node, peer in self.peers.items():
            if now - peer.heard_at > SILENT_S and not peer.asked and self._well_since is not None:
                peer.asked = True
                self._apart(self._ask(node, peer), f"ask {node}")

    def suspect(self, owner: Owner | None) -> bool:
        """Somebody asks for what a connection holds. False: that is no connection at another node."""
        peer = self.peers.get(owner.node) if isinstance(owner, Mirror) else None
        if isinstance(owner, Mirror) and peer is not None and not peer.asked:
            peer.asked = True
            self._apart(self._ask(owner.node, peer), f"ask {owner.node}")
        return isinstance(owner, Mirror)

    def _apart(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin something that is no call's, whatever call it was noticed in: what is logged of it names none."""
        self.services.tasks.create_task(work, name=name, context=Context())

    async def _ask(self, node: str, peer: Peer) -> None:
        parts = urlsplit(peer.url)
        try:
            async with asyncio.timeout(ASK_S):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            writer.close()
        except ConnectionRefusedError:
            if self.peers.get(node) is peer:
                self.died(node)
        except (OSError, TimeoutError):
            pass  # It may be the network between the two.
        finally:
            peer.asked = False

    async def _claim_again(self) -> None:
        """Claims hold as long as they are repeated. Whoever lost one meanwhile, to another node, gives way."""
        held = [(home, what, holder) for home in self._homes.values() for what, holder in home.claims.items()]
        holders = await self.directory.claim_all([(what, holder) for _, what, holder in held])
        for (home, what, ours), holder in zip(held, holders, strict=True):
            if holder != ours:
                log.error("cluster.claim_lost", claim=what)
                home.lost(what)

    def _acknowledge(self) -> None:
        told: dict[str, list[Message]] = {node: [] for node in self.peers}
        for home in self._homes.values():
            for node, ack in home.acks().items():
                if node in told:
                    told[node].append(ack)
        room = self.services.calls.room
        for node, acks in told.items():
            self.send(node, {"t": "acks", "a": acks, "room": room}, 60 * len(acks) + 60)

    # --- the directory of calls ---------------------------------------------------------------------------

    def rang(self, call_id: str) -> None:
        self._rang.add(call_id)
        self._news.set()

    def over(self, call_id: str) -> None:
        self._over.add(call_id)
        self._news.set()

    async def _keep_directory(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            rang, self._rang = self._rang, set()
            over, self._over = self._over, set()
            try:
                await self.directory.put_calls(rang)
                for call_id in over:
                    await self.directory.end_call(call_id)
            except RedisAway:
                # When it is back it is told of all that are live then.
                self._links.shaken = True

    async def node_of(self, call_id: str) -> str | None:
        try:
            node = await self.directory.node_of(call_id)
        except RedisAway:
            return None
        return node if node in self.peers else None

    async def elsewhere(self, call_ids: list[str]) -> frozenset[str]:
        """Of these calls those that other nodes have."""
        try:
            found = await self.directory.nodes_of(call_ids)
        except RedisAway:
            return frozenset(call_ids)  # Nobody knows: they are not said to be gone.
        return frozenset(call_id for call_id, node in found.items() if node in self.peers)

    def is_here(self, call_id: str) -> bool:
        calls = self.services.calls
        here = calls.get(call_id) is not None or calls.is_over(call_id)
        return here or self.services.dialling.owner_of(call_id) is not None

    def roomier(self) -> str | None:
        if not self.services.calls.is_full:
            return None
        room, node = max(((peer.room, node) for node, peer in self.peers.items()), default=(0, ""))
        if room <= 0:
            return None
        self.peers[node].room -= 1  # Until it says itself.
        return node

    def url_of(self, node: str) -> str | None:
        peer = self.peers.get(node)
        return peer.url if peer is not None else None

    async def spend(self, claims: Mapping[str, Any]) -> bool:
        lifetime_s = float(claims["exp"]) - self.services.clock.epoch()
        try:
            return await self.directory.spend(str(claims.get("jti")), lifetime_s)
        except RedisAway:
            # Whoever made it knows whether it was used.
            return claims.get("node") == self.node

    async def claim(self, what: str, holder: str, displaced: Owner | None) -> str | None:
        """Who answers from now on; None: that cannot be known now."""
        name = ""
        if isinstance(displaced, Mirror):
            name = displaced.name.partition(":")[0]
        elif isinstance(displaced, AgentConnection):
            name = next((home.name for home in self._homes.values() if home.connection is displaced), "")
        try:
            return await self.directory.claim(what, holder, name)
        except RedisAway as away:
            log.warning("cluster.not_claimed", claim=what, reason=str(away))
            return None

    def release(self, claims: Mapping[str, str]) -> None:
        async def give_up() -> None:
            with suppress(RedisAway):
                for what, holder in claims.items():
                    await self.directory.release(what, holder)

        if claims:
            self._apart(give_up(), "release claims")

    def front(self, app: FastAPI) -> None:
        services = self.services
        passing = forward.Pass(services.tokens.derived("pass on between nodes"), services.clock.epoch)
        app.add_middleware(forward.Forwarding, cluster=self, passing=passing)

    # --- connections here ---------------------------------------------------------------------------------

    def home(self, connection: AgentConnection, client: str) -> Home:
        self._opened += 1
        home = Home(self, connection, f"{self.node}.{self._opened}", client)
        self._homes[home.name] = home
        for node, peer in self.peers.items():
            if peer.met:
                line = self._line(home, node)
                self.send(node, {"t": "open", **self._connection(home, line, connection.resume)})
        return home

    def left(self, home: Home) -> None:
        """It is closed, and the others were told."""
        if self._homes.pop(home.name, None) is not None:
            for line in home.lines.values():
                self._lines.pop(line.name, None)
            self.release(home.claims)

    def _line(self, home: Home, node: str) -> Line:
        old = home.lines.get(node)
        if old is not None:
            self._lines.pop(old.name, None)
        self._opened += 1
        line = home.lines[node] = Line(f"{home.name}:{self._opened}", node)
        self._lines[line.name] = home, line
        return line

    def _connection(self, home: Home, line: Line, resume: Mapping[str, int] | None) -> Message:
        connection, heard = home.connection, home.exchange(line.node).received.last
        told = {"c": line.name, "m": connection.modern, "r": resume, "cl": home.client, "h": heard}
        return {**told, "max": connection.largest}

    # --- telling ------------------------------------------------------------------------------------------

    def send(self, node: str, message: Message, size: int = 200) -> bool:
        return self._links.send(node, message, size)

    def _tell_all(self, message: Message, size: int = 200) -> None:
        for node, peer in list(self.peers.items()):
            if peer.met:
                self.send(node, message, size)

    def tell_others(self, message: Message) -> None:
        self._tell_all(message)

    def tell_all(self, message: Message) -> None:
        """Also this node itself."""
        self._tell_all(message)
        self._take(self.node, message)

    def _greet(self, node: str, *, ask: bool) -> None:
        """Begin anew with a node: tell all that it has to know. ``ask``: it is to do the same."""
        self._links.begin(node)
        self.peers[node].met = True
        known = []
        for home in self._homes.values():
            line = self._line(home, node)
            conn = self._connection(home, line, home.cursors(node))
            known.append({**conn, "regs": home.registered.all(), "p": self._pauses(home)})
        size = 1000 + 2000 * len(known)
        told: Message = {"t": "hello", "ask": ask, **self._said()}
        self.send(node, {**told, "conns": known, "calls": self._listing.own()}, size)
        for home in self._homes.values():
            home.ask_again(node)

    def _pauses(self, home: Home) -> list[Message]:
        pausing = self.services.calls.pausing
        return [
            {"k": key, "all": held.all_calls, "who": sorted(held.contacts)}
            for key in home.registered.agents
            if (held := pausing.of(key)) is not None
        ]

    def _broke(self, node: str) -> None:
        """Some of what it told is missing."""
        if node in self.peers:
            self._part(node)
            self._greet(node, ask=True)

    def _overflowed(self, node: str) -> None:
        """It cannot be told any more, for Redis is away or too slow."""
        self._loop.call_soon(self._part, node, context=Context())

    def _part(self, node: str) -> None:
        """Nothing is told to a node, and for it, until both begin anew."""
        peer = self.peers.get(node)
        if peer is None:
            return
        peer.met = False
        self._links.end(node)
        mirrors, peer.mirrors = peer.mirrors, {}
        for mirror in mirrors.values():
            mirror.gone(None, [])

    # --- hearing ------------------------------------------------------------------------------------------

    def _take(self, node: str, message: Message) -> None:
        if (peer := self.peers.get(node)) is not None:
            peer.heard_at = self._loop.time()
        match message["t"]:
            case "ev" | "say" | "did" | "slow":
                self._for_connection(message)
            case "cmd" | "reg" | "gone" | "acks" | "open" | "hello":
                self._from_home(node, message)
            case "call":
                self._listing.told(node, message)
            case "died":
                self.died(message["node"])
            case "told":
                self._burial.told(node, message)
            case "ended":
                for home in list(self._homes.values()):
                    home.ended(message)
            case "bye":
                self._gone(node)
            case other:
                log.warning("cluster.unknown_message", kind=str(other)[:20], node=node)

    def _for_connection(self, message: Message) -> None:
        home, line = self._lines.get(message["c"], (None, None))
        if home is None or line is None:
            return  # It is closed, which is on its way to the other node.
        match message["t"]:
            case "ev":
                home.event(line, message)
            case "say":
                home.say(line, message)
            case "did":
                home.exchange(line.node).sent.arrived(message["q"])
            case _:
                home.slow()

    def _from_home(self, node: str, message: Message) -> None:
        if message["t"] == "hello":
            self._met(node, message)
            return
        peer = self.peers.get(node)
        if peer is None:
            return
        match message["t"]:
            case "open":
                self._mirror(node, peer, message)
            case "acks":
                peer.room = message["room"]
                for ack in message["a"]:
                    if (acked := peer.mirrors.get(ack["c"])) is not None:
                        acked.acked(ack["n"], ack["q"])
                        acked.heard(ack["h"])
            case "gone":
                peer.exchanges.pop(message["c"].partition(":")[0], None)
                if (gone := peer.mirrors.pop(message["c"], None)) is not None:
                    gone.gone(message["n"], message["u"])
            case kind:
                mirror = peer.mirrors.get(message["c"])
                if mirror is not None and kind == "reg":
                    mirror.register(message["m"])
                elif mirror is not None:
                    mirror.command(message["q"], message["m"])

    def _met(self, node: str, message: Message) -> None:
        """It begins anew, with all that it has."""
        peer = self.peers.get(node)
        if peer is None:
            peer = self.peers[node] = Peer(message["url"], message["store"], self._loop.time())
            log.info("cluster.node_came", node=node, url=peer.url)
        old, peer.mirrors = peer.mirrors, {}
        for mirror in old.values():
            mirror.gone(None, [])
        live = {told["c"].partition(":")[0] for told in message["conns"]}
        peer.exchanges = {name: held for name, held in peer.exchanges.items() if name in live}
        if message["ask"] or not peer.met:
            # First, for what follows belongs behind it.
            self._greet(node, ask=False)
        for told in message["conns"]:
            made = self._mirror(node, peer, told)
            made.repeat(told["h"])
            for fields in told["regs"]:
                made.register(fields)
            self._apply_pauses(told["p"])
        self._listing.replace(node, message["calls"])

    def _mirror(self, node: str, peer: Peer, told: Message) -> Mirror:
        def send(message: Message, size: int) -> bool:
            return self.send(node, message, size)

        exchange = peer.exchanges.setdefault(told["c"].partition(":")[0], Exchange())
        how = {"modern": told["m"], "resume": told["r"], "client": told["cl"], "exchange": exchange}
        mirror = Mirror(node, told["c"], self.services, send, **how)
        mirror.largest = told.get("max")
        peer.mirrors[told["c"]] = mirror
        return mirror

    def _apply_pauses(self, told: list[Message]) -> None:
        calls = self.services.calls
        for pauses in told:
            with suppress(ValueError):  # More than are remembered.
                if pauses["all"]:
                    calls.pausing.pause(pauses["k"], None, None)
                for contact in pauses["who"]:
                    calls.pausing.pause(pauses["k"], None, contact)

    # --- nodes that are gone ------------------------------------------------------------------------------

    def died(self, node: str) -> None:
        """It was silent for too long."""
        if node == self.node:
            return
        peer = self.peers.get(node)
        store = peer.store if peer is not None else ""
        told = [known for home in self._homes.values() for known in home.told(node)]
        self._burial.begin(node, store, self._listing.of(node), told)
        if peer is not None:
            log.error("cluster.node_died", node=node, url=peer.url)
            self._gone(node)

    def _gone(self, node: str) -> None:
        peer = self.peers.pop(node, None)
        self._links.forget(node)
        if peer is None:
            return
        for home in self._homes.values():
            if (line := home.forget(node)) is not None:
                self._lines.pop(line.name, None)
        for mirror in peer.mirrors.values():
            mirror.gone(None, [])
        self._listing.replace(node, [])

    # --- looking ------------------------------------------------------------------------------------------

    def listed(self) -> list[PastSummary]:
        return self._listing.all()

    def health(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "redis": self._well_since is not None,
            "nodes": 1 + len(self.peers),
            "others": sorted(self.peers),
            "room": sum(peer.room for peer in self.peers.values()),
            "waiting": self._links.waiting,
        }


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
