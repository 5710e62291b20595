"""The other nodes that live: what each was told of this one, what it has told, and what goes with it when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from server.cluster.burial import Burial
from server.cluster.exchange import Exchange
from server.cluster.home import Home, Line
from server.cluster.listing import Listing
from server.cluster.messages import Message
from server.cluster.mirror import Mirror

if TYPE_CHECKING:
    from server.cluster.node import RedisCluster
    from server.doors.agent import AgentConnection

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Peer:
    """Another node that lives."""

    url: str
    audio_port: int
    """Where it takes connections of AudioSocket from this machine; 0: nowhere."""
    heard_at: float
    """When something came from it, on the loop's clock."""
    room: int = 0
    """Calls that it takes besides those that it has."""
    met: bool = False
    """It was told what is here."""
    asked: bool = False
    """It is being asked whether it lives."""
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    """With its connections, which outlive the links that their mirrors hang on."""


class Peers:
    """As this node knows them, with the connections of agents here that they are told of."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self.all: dict[str, Peer] = {}
        self.listing = Listing(cluster.node, cluster.services.book, self.tell_others)
        self.burial = Burial(cluster)
        self._homes: dict[str, Home] = {}
        self._lines: dict[str, tuple[Home, Line]] = {}
        self._opened = 0

    @property
    def homes(self) -> Collection[Home]:
        """The connections of agents here."""
        return self._homes.values()

    # --- connections here ---------------------------------------------------------------------------------

    def home(self, connection: AgentConnection, client: str) -> Home:
        self._opened += 1
        home = Home(self._cluster, connection, f"{self._cluster.node}.{self._opened}", client)
        self._homes[home.name] = home
        for node, peer in self.all.items():
            if peer.met:
                line = self._line(home, node)
                self._cluster.send(node, {"t": "open", **self._connection(home, line, connection.resume)})
        return home

    def left(self, home: Home) -> None:
        """It is closed, and the others were told."""
        if self._homes.pop(home.name, None) is not None:
            for line in home.lines.values():
                self._lines.pop(line.name, None)
            self._cluster.where.release(home.claims)

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

    def tell_others(self, message: Message, size: int = 200) -> None:
        for node, peer in list(self.all.items()):
            if peer.met:
                self._cluster.send(node, message, size)

    def tell_all(self, message: Message) -> None:
        """Also this node itself."""
        self.tell_others(message)
        self.take(self._cluster.node, message)

    def _greet(self, node: str, *, ask: bool) -> None:
        """Begin anew with a node: tell all that it has to know. ``ask``: it is to do the same."""
        self._cluster.links.begin(node)
        self.all[node].met = True
        known = []
        for home in self._homes.values():
            line = self._line(home, node)
            conn = self._connection(home, line, home.cursors(node))
            known.append({**conn, "regs": home.registered.all(), "p": self._pauses(home)})
        size = 1000 + 2000 * len(known)
        told: Message = {"t": "hello", "ask": ask, **self._cluster.beats.said()}
        self._cluster.send(node, {**told, "conns": known, "calls": self.listing.own()}, size)
        for home in self._homes.values():
            home.ask_again(node)

    def _pauses(self, home: Home) -> list[Message]:
        pausing = self._cluster.services.calls.pausing
        return [
            {"k": key, "all": held.all_calls, "who": sorted(held.contacts)}
            for key in home.registered.agents
            if (held := pausing.of(key)) is not None
        ]

    def broke(self, node: str) -> None:
        """Some of what it told is missing."""
        if node in self.all:
            self.part(node)
            self._greet(node, ask=True)

    def overflowed(self, node: str) -> None:
        """It cannot be told any more, for Redis is away or too slow."""
        self._loop.call_soon(self.part, node, context=Context())

    def part(self, node: str) -> None:
        """Nothing is told to a node, and for it, until both begin anew."""
        peer = self.all.get(node)
        if peer is None:
            return
        peer.met = False
        self._cluster.links.end(node)
        mirrors, peer.mirrors = peer.mirrors, {}
        for mirror in mirrors.values():
            mirror.gone(None, [])

    def there(self, node: str, told: Mapping[str, Any]) -> None:
        peer = self.all.get(node)
        if peer is None:
            peer = self.all[node] = Peer(told["url"], told["audio"], self._loop.time())
            log.info("cluster.node_came", node=node, url=peer.url)
        peer.url = told["url"]
        if not peer.met:
            self._greet(node, ask=True)

    # --- hearing ------------------------------------------------------------------------------------------

    def take(self, node: str, message: Message) -> None:
        if (peer := self.all.get(node)) is not None:
            peer.heard_at = self._loop.time()
        match message["t"]:
            case "ev" | "say" | "did" | "slow":
                self._for_connection(message)
            case "cmd" | "reg" | "gone" | "acks" | "open" | "hello":
                self._from_home(node, message)
            case "call":
                self.listing.told(node, message)
            case "died":
                self.died(message["node"])
            case "told":
                self.burial.told(node, message)
            case "noted":
                self._cluster.services.book.noted(message["slugs"])
            case "forget":
                self._cluster.services.book.forgotten(message["calls"])
            case "ended":
                self.burial.ended(message)
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
        peer = self.all.get(node)
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
        peer = self.all.get(node)
        if peer is None:
            peer = self.all[node] = Peer(message["url"], message["audio"], self._loop.time())
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
        self.listing.replace(node, message["calls"])
        self._cluster.services.book.noted(None)  # What it told meanwhile may be lost.

    def _mirror(self, node: str, peer: Peer, told: Message) -> Mirror:
        def send(message: Message, size: int) -> bool:
            return self._cluster.send(node, message, size)

        exchange = peer.exchanges.setdefault(told["c"].partition(":")[0], Exchange())
        how = {"modern": told["m"], "resume": told["r"], "client": told["cl"], "exchange": exchange}
        mirror = Mirror(node, told["c"], self._cluster.services, send, **how)
        mirror.largest = told.get("max")
        peer.mirrors[told["c"]] = mirror
        return mirror

    def _apply_pauses(self, told: list[Message]) -> None:
        pausing = self._cluster.services.calls.pausing
        for pauses in told:
            with suppress(ValueError):  # More than are remembered.
                if pauses["all"]:
                    pausing.pause(pauses["k"], None, None)
                for contact in pauses["who"]:
                    pausing.pause(pauses["k"], None, contact)

    # --- nodes that are gone ------------------------------------------------------------------------------

    def died(self, node: str) -> None:
        """It was silent for too long, or has left what the living hold."""
        if node == self._cluster.node:
            return
        peer = self.all.get(node)
        self.burial.begin(node)
        if peer is not None:
            log.error("cluster.node_died", node=node, url=peer.url)
            self._gone(node)

    def _gone(self, node: str) -> None:
        peer = self.all.pop(node, None)
        self._cluster.links.forget(node)
        if peer is None:
            return
        for home in self._homes.values():
            if (line := home.forget(node)) is not None:
                self._lines.pop(line.name, None)
        for mirror in peer.mirrors.values():
            mirror.gone(None, [])
        self.listing.replace(node, [])
