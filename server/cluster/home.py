"""The connection of an agent process, as the node sees it that has its socket: what others are told of it, and what they
tell it.

Of each other node that has calls of its agents there is a cursor for each call: how far this connection was given it. So
whatever breaks between two nodes, both go on from there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from server import protocol as wire
from server.agents import is_dev, slug
from server.catching_up import Archive, guarded, missed
from server.cluster.exchange import Exchange
from server.cluster.messages import Message
from server.cluster.registrations import Registrations
from server.lines import is_line, key_of
from server.protocol import ErrorCode, ErrorEvent, Outcome
from server.ring import Entry
from telephony.numbers import normalise

if TYPE_CHECKING:
    from server.agents import Agent
    from server.cluster.node import RedisCluster
    from server.doors.agent import AgentConnection

log = structlog.get_logger(__name__)

MAX_CALLS = 10_000
"""Calls of other nodes that a connection knows."""
RETRY_S = 5.0
PATIENCE_S = 0.5
"""For the news that an agent's old connection, or its node, is gone."""


class Line:
    """What goes between this connection and one other node, since both began. ``name``: what the two call it."""

    def __init__(self, name: str, node: str) -> None:
        self.name = name
        self.node = node
        self.received = 0
        """Events that it was given by that node."""


class Home:
    """Of one connection."""

    def __init__(self, cluster: RedisCluster, connection: AgentConnection, name: str, client: str) -> None:
        self._cluster = cluster
        self.connection = self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.name = name
        self.client = client
        self.registered = Registrations()
        self.claims: dict[str, str] = {}
        """What it answers, with the name under which it holds that."""
        self.lines: dict[str, Line] = {}
        """By node."""
        self._calls: OrderedDict[str, str] = OrderedDict()
        """The nodes that have its calls."""
        self._taken: OrderedDict[tuple[str, str], int] = OrderedDict()
        """How far it was given calls of others, by call and key."""
        self._exchanges: dict[str, Exchange] = {}
        self._ended: set[tuple[str, str]] = set()
        """Those of them whose end it was given."""

    # --- what the agent asks for --------------------------------------------------------------------------

    async def passes_on(self, command: wire.AnyCommand, text: str | bytes) -> Outcome | None:
        """Whether a command is none of this node's: another one has its call, or holds what it asks for. Then what
        becomes of it is told to the agent already, or will be."""
        refusal = await self._claim(command)
        if refusal is not None:
            self._connection.say(refusal)
            return wire.outcome_of(refusal) if isinstance(refusal, ErrorEvent) else _failed(refusal)
        if isinstance(command, wire.AgentCreate):
            # At the last moment, for a node may die while the claim is waited for.
            await self._look_up(slug(command.agent_id))
        if isinstance(command, wire.CallDial) and self._cluster.services.calls.is_full:
            return self._passed(self._cluster.roomier(), text)
        call_id = getattr(command, "call_id", None) or getattr(command, "session_id", None)
        if not isinstance(call_id, str) or self._cluster.where.is_here(call_id):
            return None
        return self._passed(self._calls.get(call_id) or await self._cluster.node_of(call_id), text)

    def _passed(self, node: str | None, text: str | bytes) -> Outcome | None:
        """A command is carried out at this other node."""
        line = self.lines.get(node) if node is not None else None
        if line is None:
            return None
        told = text if isinstance(text, str) else text.decode("utf-8", "replace")
        number = self.exchange(line.node).sent.add(told)
        if number is None:
            text = "the node that has the call does not answer: too many commands wait for it"
            return wire.failed(ErrorCode.INTERNAL_ERROR, text)
        self._command(line, number, told)
        return Outcome("pending")

    def _command(self, line: Line, number: int, text: str) -> None:
        self._cluster.send(line.node, {"t": "cmd", "c": line.name, "q": number, "m": text}, len(text) + 200)

    def exchange(self, node: str) -> Exchange:
        return self._exchanges.setdefault(node, Exchange())

    def ask_again(self, node: str) -> None:
        """Both have begun anew: commands of which it is not known that they arrived."""
        for number, text in self.exchange(node).sent.rest():
            self._command(self.lines[node], number, text)

    def forget(self, node: str) -> Line | None:
        """It is gone, with all that it had."""
        self._exchanges.pop(node, None)
        return self.lines.pop(node, None)

    async def _look_up(self, key: str) -> None:
        """Before it is given back its calls: which of them other nodes have; or had, and it is told the end of."""
        unknown = [
            call_id for call_id in self._connection.resume or {} if not self._cluster.where.is_here(call_id)
        ]
        elsewhere = await self._cluster.where.elsewhere(unknown)
        burial = self._cluster.peers.burial
        self._connection.elsewhere = elsewhere | {
            call_id for call_id in unknown if burial.end_of(call_id, key) is not None
        }

    async def _claim(self, command: wire.AnyCommand) -> wire.Event | None:
        """Have it answer what it asks for, on all nodes. Returns why it cannot."""
        agents = self._cluster.services.agents
        match command:
            case wire.AgentCreate() if slug(command.agent_id):
                return await self._claim_agent(command.agent_id)
            case wire.ChannelAdd() if command.type == "phone" and command.ref is not None:
                key, number = slug(command.agent_id), normalise(command.ref)
                if not is_dev(key) and agents.find(command.agent_id, self._connection) is not None:
                    return await self._claim_number(number, key, _taken_number(command))
            case wire.LineCreate():
                number = normalise(command.number)
                text = f"the line {command.number} is taken at another node"
                refusal = wire.LineError(number=command.number, code="LINE_CONFLICT", error=text)
                return await self._claim_number(number, key_of(number), refusal)
        return None

    async def _claim_agent(self, agent_id: str) -> wire.Event | None:
        """An agent that comes back at another node may be quicker than the news that its old connection is gone."""
        key, agents = slug(agent_id), self._cluster.services.agents
        until = self._loop.time() + PATIENCE_S
        while True:
            held = agents.get(key)
            owner = held.owner if held is not None else None
            stale = owner if agents.may_take(key, self._loop.time()) else None
            if owner in (None, self._connection) or stale is not None:
                holder = await self._cluster.where.claim(f"agent:{key}", self.name, stale)
                if holder in (None, self.name):
                    self.claims[f"agent:{key}"] = self.name
                    return None
            elif not self._cluster.beats.suspect(owner):
                return None  # It is connected here: its agent is told so as ever.
            if self._loop.time() >= until:
                return _taken_agent(agent_id)
            await asyncio.sleep(0.03)

    async def _claim_number(self, number: str, key: str, refusal: wire.Event) -> wire.Event | None:
        what = f"number:{number}"
        holder = await self._cluster.where.claim(what, key, None)
        if holder is not None and holder != key:
            return refusal
        self.claims[what] = key
        return None

    def carried_out(self, command: wire.AnyCommand, text: str | bytes, outcome: Outcome) -> None:
        """What it registers is told to the other nodes."""
        if outcome.status == "error":
            self._let_go(command)
            return
        fields = orjson.loads(text)
        if not self.registered.note(command, fields):
            return
        if isinstance(command, wire.ChannelRemove):
            self._give_up(f"number:{normalise(command.ref)}")
        elif isinstance(command, wire.LineDestroy):
            self._give_up(f"number:{normalise(command.number)}")
        if isinstance(command, wire.AgentCreate):
            self._tell_ends(slug(command.agent_id))
        fields.pop("ack", None)
        for line in self.lines.values():
            self._cluster.send(line.node, {"t": "reg", "c": line.name, "m": fields}, len(text) + 200)

    def _let_go(self, command: wire.AnyCommand) -> None:
        """It was claimed, and was refused for another reason."""
        agents = self._cluster.services.agents
        match command:
            case wire.AgentCreate() if agents.find(command.agent_id, self._connection) is None:
                self._give_up(f"agent:{slug(command.agent_id)}")
            case wire.ChannelAdd() if command.type == "phone" and command.ref is not None:
                agent = agents.find(command.agent_id, self._connection)
                if agent is None or agents.channel(agent, command.ref) is None:
                    self._give_up(f"number:{normalise(command.ref)}")
            case wire.LineCreate():
                line = agents.get(key_of(command.number))
                if line is None or line.owner is not self._connection:
                    self._give_up(f"number:{normalise(command.number)}")

    def displaced(self, key: str) -> None:
        """Another connection has this agent, or line, now."""
        self.registered.drop(key)
        self.claims.pop(f"agent:{key}", None)
        for what in [what for what, holder in self.claims.items() if holder == key]:
            del self.claims[what]

    def lost(self, what: str) -> None:
        """Another node's connection holds this claim: both took it while Redis was away."""
        agents = self._cluster.services.agents
        holder, reason = self.claims.pop(what), "another connection took over, at another node"
        kind, _, name = what.partition(":")
        if kind == "agent":
            agents.evict(name, None, reason)
        elif is_line(holder):
            agents.evict(holder, None, reason)
        elif (agent := agents.get(holder)) is not None:
            agents.remove_number(agent, name)
            self.registered.drop_number(holder, name)

    def _give_up(self, what: str) -> None:
        if (holder := self.claims.pop(what, None)) is not None:
            self._cluster.where.release({what: holder})

    # --- what other nodes tell it -------------------------------------------------------------------------

    def event(self, line: Line, message: Message) -> None:
        """An event of a call there."""
        call_id, key, seq = message["i"], message["k"], message["s"]
        line.received += 1
        self._calls[call_id] = line.node
        self._calls.move_to_end(call_id)
        while len(self._calls) > MAX_CALLS:
            self._calls.popitem(last=False)
        if seq <= self._taken.get((call_id, key), 0):
            return
        self._give(Entry(call_id, seq, 0.0, message["e"], message["d"].encode(), "", key))

    def ended(self, message: Message) -> None:
        """A call ended with its node."""
        call = message["i"], message["k"]
        if call in self._ended:
            return
        end = Entry(call[0], message["s"], 0.0, "call.ended", message["d"].encode(), "", call[1])
        if call in self._taken:
            self._give(end)
        elif call[0] in self.said() and call[1] in self.registered.agents:
            self._end_of_missed(end)

    def _tell_ends(self, key: str) -> None:
        """Of calls whose node died a moment before the agent was back here."""
        for call_id in self.said():
            if (end := self._cluster.peers.burial.end_of(call_id, key)) is not None:
                self.ended(end)

    def _end_of_missed(self, end: Entry) -> None:
        """Of a call that the agent had at a connection before this one, to a node that is dead by now."""
        services = self._cluster.services
        agent, heard = services.agents.get(end.key), self.said()[end.call_id]
        if heard >= end.seq:
            # It was told more, at the last moment, than anybody wrote: for it the end comes behind that.
            told = {**orjson.loads(end.data), "seq": heard + 1}
            end = replace(end, seq=heard + 1, data=orjson.dumps(told))
        elif services.calls.owners.archive is not None and agent is not None:
            self._read_missed(agent, end, services.calls.owners.archive)
            return
        self._give(end)

    def _read_missed(self, agent: Agent, end: Entry, archive: Archive) -> None:
        self._ended.add((end.call_id, end.key))
        reading = missed(agent, (end.call_id,), archive)
        self._cluster.services.tasks.create_task(guarded(reading), name=f"what {agent.agent_id} missed")

    def said(self) -> dict[str, int]:
        """How far its agent says to be in calls of which it was told nothing here."""
        known = {call_id for call_id, _ in self._taken}
        said = self._connection.resume or {}
        where = self._cluster.where
        return {call: seq for call, seq in said.items() if call not in known and not where.is_here(call)}

    def _give(self, entry: Entry) -> None:
        if not self._connection.offer(entry.data, entry):
            return
        call = entry.call_id, entry.key
        if entry.event == "call.ended":
            self._ended.add(call)
        self._taken[call] = entry.seq
        self._taken.move_to_end(call)
        while len(self._taken) > MAX_CALLS:
            oldest, _ = self._taken.popitem(last=False)
            self._ended.discard(oldest)

    def say(self, line: Line, message: Message) -> None:
        """What a node answers."""
        if self.exchange(line.node).received.is_new(message["q"]):
            self._connection.offer(message["d"].encode())

    def slow(self) -> None:
        """It could not keep up with a call at another node."""
        self._connection.overflow()

    # --- how far it is ------------------------------------------------------------------------------------

    def cursors(self, node: str) -> dict[str, int]:
        """How far it was given the calls of a node; of those that nobody knows the node of: what it said itself."""
        said = self._connection.resume or {}
        return {
            **said,
            **{call: seq for (call, _), seq in self._taken.items() if self._calls.get(call) == node},
        }

    def told(self, node: str) -> list[list[Any]]:
        """The live calls of a node that it knows of, with key and ``seq``."""
        live = (place for place in self._taken.items() if place[0] not in self._ended)
        return [[call, key, seq] for (call, key), seq in live if self._calls.get(call) == node]

    def acks(self) -> dict[str, Message]:
        """For each node what it has sent on to its agent."""
        behind: dict[str, int] = {}
        for entry in self._connection.unsent():
            node = self._calls.get(entry.call_id, "")
            behind[node] = behind.get(node, 0) + 1
        quiet_s = round(self._loop.time() - self._connection.last_heard, 3)
        return {
            node: {
                "c": line.name,
                "n": max(0, line.received - behind.get(node, 0)),
                "q": quiet_s,
                "h": self.exchange(node).received.last,
            }
            for node, line in self.lines.items()
        }

    def leave(self) -> None:
        """The connection is gone."""
        first: dict[tuple[str, str], int] = {}
        for entry in self._connection.unsent():
            first.setdefault((entry.call_id, entry.key), entry.seq)
        for node, line in self.lines.items():
            unsent = [[call, key, seq] for (call, key), seq in first.items() if self._calls.get(call) == node]
            self._cluster.send(node, {"t": "gone", "c": line.name, "n": line.received, "u": unsent})
        self._cluster.peers.left(self)


def _taken_agent(agent_id: str) -> ErrorEvent:
    return ErrorEvent(
        error=f"agent {agent_id!r} is owned by a live connection at another node; try again in {RETRY_S:g} s, "
        "or use another agent_id",
        code=ErrorCode.AGENT_CONFLICT,
        agent_id=agent_id,
        retry_after_s=RETRY_S,
        holder_alive=True,
    )


def _taken_number(command: wire.ChannelAdd) -> ErrorEvent:
    return ErrorEvent(
        error=f"an agent at another node answers {command.ref} already: remove its channel first, or add another "
        "number",
        code=ErrorCode.PHONE_IN_USE,
        agent_id=command.agent_id,
        phone=command.ref,
    )


def _failed(event: wire.Event) -> Outcome:
    return wire.failed(ErrorCode.LINE_CONFLICT, getattr(event, "error", ""))
