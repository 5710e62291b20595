"""A connection of an agent process at another node, as this one has it: the owner of its agents here.

What it is offered goes to the node that has the socket, its home; commands for calls here come from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from server import protocol as wire
from server.agents import is_dev, key_for, slug
from server.cluster.exchange import Exchange
from server.cluster.messages import Message
from server.doors.desk import Desk
from server.lines import key_of
from server.outbox import takes
from server.protocol import ProtocolError
from server.ring import Entry

if TYPE_CHECKING:
    from server.services import Services

log = structlog.get_logger(__name__)

MAX_EVENTS: Final = 4096
MAX_BYTES: Final = 64 << 20
"""Events that may be on their way to the agent; with more of them it is too slow."""

Send = Callable[[Message, int], bool]


class Mirror:
    """``name``: what both nodes call it; ``resume``: how far its agent is in calls here."""

    def __init__(
        self,
        node: str,
        name: str,
        services: Services,
        send: Send,
        *,
        modern: bool,
        resume: dict[str, int] | None,
        client: str = "",
        exchange: Exchange | None = None,
    ) -> None:
        self._exchange = exchange or Exchange()
        self.node = node
        self.name = name
        self._services = services
        self._send = send
        self._modern = modern
        self._resume = resume
        self._loop = asyncio.get_running_loop()
        self._last_heard = self._loop.time()
        self._pending: deque[tuple[Entry, int]] = deque()
        """Events that it was offered, and that were not said to have reached the agent."""
        self._done = 0
        self._bytes = 0
        self._slow = False
        bound = log.bind(client=client or "unnamed", home=node)
        self._desk = Desk(self, services, self._tell, bound)
        self._silent = False
        self.largest: int | None = None
        """Bytes of the largest message that its agent takes; None: of any."""

    # --- as the owner of its agents -----------------------------------------------------------------------

    @property
    def modern(self) -> bool:
        return self._modern

    @property
    def last_heard(self) -> float:
        return self._last_heard

    @property
    def resume(self) -> dict[str, int] | None:
        return self._resume

    @property
    def elsewhere(self) -> Collection[str] | None:
        return None

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        if self._slow:
            return False
        if entry is None:
            text = data.decode()
            number = self._exchange.sent.add(text)
            if number is None:
                self._give_up()
                return False
            self._say(number, text)
            return True
        if len(self._pending) >= MAX_EVENTS or self._bytes + len(data) > MAX_BYTES:
            self._give_up()
            return False
        message = {"t": "ev", "c": self.name, "i": entry.call_id, "k": entry.key, "s": entry.seq}
        message["e"] = entry.event
        if not self._send({**message, "d": data.decode()}, len(data) + 150):
            return False
        self._pending.append((entry, len(data)))
        self._bytes += len(data)
        return True

    def _give_up(self) -> None:
        self._slow = True
        self._send({"t": "slow", "c": self.name}, 100)

    def _say(self, number: int, text: str) -> None:
        self._send({"t": "say", "c": self.name, "q": number, "d": text}, len(text) + 100)

    def has_room(self, size: int) -> bool:
        return takes(self.largest, size) and not self._slow and self._bytes + size <= MAX_BYTES // 2

    def displace(self, agent_id: str, reason: str) -> None:
        """Its home learns that by itself."""
        key = key_for(agent_id)
        self._services.calls.owners.left(self, self._unsent(), self._services.agents.get, key)

    def _tell(self, event: wire.Event) -> None:
        if not self._silent:
            self.offer(wire.to_json(event))

    # --- what its home tells ------------------------------------------------------------------------------

    def register(self, fields: dict[str, Any]) -> None:
        """What its agent has registered at home, where it was answered."""
        try:
            command = wire.parse_command(orjson.dumps(fields))
        except ProtocolError as error:
            log.error("cluster.not_registered", home=self.node, error=str(error))
            return
        self._make_way(command)
        self._silent = True
        try:
            outcome = self._desk.handle(command)
        except ProtocolError as error:
            outcome = wire.outcome_of(wire.error_event(error))
        finally:
            self._silent = False
        if outcome.status == "error":
            log.warning("cluster.not_registered", home=self.node, kind=command.event, why=outcome.message)

    def _make_way(self, command: wire.AnyCommand) -> None:
        """It was decided already who has an agent, or a number."""
        agents, reason = self._services.agents, "another connection took over, at another node"
        match command:
            case wire.AgentCreate():
                agents.evict(slug(command.agent_id), self, reason)
            case wire.LineCreate():
                agents.evict(key_of(command.number), self, reason)
                if (holder := agents.number_owner(command.number)) is not None:
                    agents.remove_number(holder, command.number)
            case wire.ChannelAdd() if (
                command.type == "phone" and command.ref and not is_dev(slug(command.agent_id))
            ):
                agents.evict(key_of(command.ref), self, reason)
                holder = agents.number_owner(command.ref)
                if holder is not None and holder.owner is not self:
                    agents.remove_number(holder, command.ref)

    def repeat(self, heard: int) -> None:
        """Both nodes have begun anew: what its agent was told after this, and may not have."""
        self._exchange.sent.arrived(heard)
        for number, text in self._exchange.sent.rest():
            self._say(number, text)

    def command(self, number: int, text: str) -> None:
        """A command for a call here. What becomes of it is told to its agent."""
        if self._exchange.received.is_new(number):
            self._carry_out(text)
        self._send({"t": "did", "c": self.name, "q": self._exchange.received.last}, 100)

    def _carry_out(self, text: str) -> None:
        try:
            command = wire.parse_command(text)
        except ProtocolError as error:
            log.error("cluster.not_understood", home=self.node, error=str(error))
            return
        try:
            outcome = self._desk.handle(command)
        except ProtocolError as error:
            refused = wire.error_event(error)
            self._tell(wire.failed_request(error) or refused)
            outcome = wire.outcome_of(refused)
        ack = wire.ack_of(command, outcome)
        if ack is not None:
            self._tell(ack)

    def heard(self, number: int) -> None:
        """Up to this one it was told its answers."""
        self._exchange.sent.arrived(number)

    def acked(self, count: int, quiet_s: float) -> None:
        """So many of its events have reached the agent, which was heard so long ago."""
        self._last_heard = self._loop.time() - quiet_s
        while self._done < count and self._pending:
            self._bytes -= self._pending.popleft()[1]
            self._done += 1

    def gone(self, received: int | None, unsent: list[list[Any]]) -> None:
        """The connection is closed. ``received``: events that its home was given; ``unsent``: the first of each call
        that the agent did not get. None: its home cannot say that any more."""
        if received is not None:
            self.acked(received, 0.0)
        first = [Entry(call_id, seq, 0.0, "", b"", "", key) for call_id, key, seq in unsent]
        left = self._services.agents.leave(self)
        self._services.calls.owners.left(self, [*first, *self._unsent()], self._services.agents.get)
        self._pending.clear()
        log.info("agent.disconnected", home=self.node, agents=[agent.agent_id for agent in left])

    def _unsent(self) -> list[Entry]:
        return [entry for entry, _ in self._pending]
