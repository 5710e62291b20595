"""``WS /client``: the socket of an agent process.

It registers agents, is told every event of their calls, and says what they shall do (``server.doors.desk``). The
calls do not depend on it: they belong to the registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect
from structlog.contextvars import bound_contextvars

from server import protocol as wire
from server.agents import key_for
from server.doors.desk import Desk
from server.doors.handshake import close, handshake, receive
from server.frames import sending
from server.lines import PREFIX, is_line
from server.outbox import Outbox, takes
from server.protocol import CloseCode, Outcome, ProtocolError
from server.ring import Entry
from server.services import Services
from server.tracing.received import received

log = structlog.get_logger(__name__)

OUTBOX_MESSAGES = 4096
"""Events that may wait for a client; one that is further behind is closed as too slow."""
PROBE_S = 15.0
"""Silence of a client after which it is asked whether it lives; ``server.agents.STALE_S`` is three of these."""
IN_A_ROW = 16
"""Messages that are read before everybody else has a turn: a burst of thousands must not stall the calls,
nor fill the outbox while nothing of it is sent."""
USUAL_MAX_BYTES = 1 << 20
"""What a client takes that does not say how much: more closes its socket in many libraries."""
ERRORS_PER_S = 10
"""Malformed messages that are answered each second; of more only the log knows."""


async def agent_door(websocket: WebSocket, services: Services) -> None:
    """Serve one agent connection to its end."""
    connect = await handshake(websocket, services)
    if connect is not None:
        modern = connect.protocol is not None and connect.protocol.startswith("talkwire/")
        resume = connect.resume if modern else None
        largest = connect.max_message_bytes or (USUAL_MAX_BYTES if modern else None)
        await AgentConnection(websocket, services, modern, connect.client or "", resume, largest).run()


def _about(command: wire.AnyCommand) -> AbstractContextManager[object]:
    """What is logged meanwhile names the call that a command is about."""
    call_id = getattr(command, "call_id", None) or getattr(command, "session_id", None)
    return bound_contextvars(call_id=call_id) if isinstance(call_id, str) else nullcontext()


class AgentConnection:
    """One connection, with any number of agents."""

    def __init__(
        self,
        websocket: WebSocket,
        services: Services,
        modern: bool,
        client: str,
        resume: dict[str, int] | None = None,
        max_message_bytes: int | None = None,
    ) -> None:
        self._websocket = websocket
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(OUTBOX_MESSAGES)
        self._log = log.bind(client=client or "unnamed")
        self._desk = Desk(self, services, self._send, self._log, received(websocket.headers))
        self._errors: list[float] = []
        self._displaced = ""
        self._modern = modern
        self._resume = resume
        self.largest = max_message_bytes
        """Bytes of the largest message that it takes; None: of any."""
        self._last_heard = self._loop.time()
        self._probe = self._loop.call_later(PROBE_S, self._ask_alive)
        self.elsewhere: Collection[str] | None = ()
        self._home = services.cluster.home(self, client)

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

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        return self._outbox.offer(data, entry)

    def has_room(self, size: int) -> bool:
        return takes(self.largest, size) and self._outbox.has_room(size)

    def displace(self, agent_id: str, reason: str) -> None:
        number = agent_id.removeprefix(PREFIX)
        if is_line(agent_id):
            self._send(wire.LineError(number=number, code="LINE_CONFLICT", error=reason))
        else:
            self._send(wire.AgentDisplaced(agent_id=agent_id, reason=reason))
        agents, calls = self._services.agents, self._services.calls
        key = key_for(agent_id)
        if self._home is not None:
            self._home.displaced(key)
        if agents.has_agents(self):
            calls.owners.left(self, self._outbox.unsent(), agents.get, key)
            return
        self._displaced = reason
        self._outbox.close()

    def _ask_alive(self) -> None:
        """A client that has nothing to say must not be taken for a dead one: it answers with ``pong``."""
        if self._loop.time() - self._last_heard >= PROBE_S:
            self._send(wire.ServerPing())
        self._probe = self._loop.call_later(PROBE_S, self._ask_alive)

    def _send(self, event: wire.Event) -> None:
        self._outbox.offer(wire.to_json(event))

    # --- for the other nodes ------------------------------------------------------------------------------

    def say(self, event: wire.Event) -> None:
        self._send(event)

    def unsent(self) -> list[Entry]:
        """Events that it was given, and could not send yet."""
        return self._outbox.unsent()

    def overflow(self) -> None:
        """It is too slow for a call at another node."""
        self._outbox.overflow()

    # --- life ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        self._log.info("agent.connected")
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(), name="agent reader")
                tasks.create_task(self._write(reader), name="agent writer")
        finally:
            gone = self._services.agents.leave(self)
            self._probe.cancel()
            if self._home is not None:
                self._home.leave()
            self._services.calls.owners.left(self, self._outbox.unsent(), self._services.agents.get)
            self._log.info("agent.disconnected", agents=[agent.agent_id for agent in gone])

    async def _write(self, reader: asyncio.Task[None]) -> None:
        try:
            await self._outbox.run(sending(self._websocket))
            if self._outbox.overflowed:
                self._log.warning("agent.slow_consumer")
                await close(self._websocket, CloseCode.SLOW_CONSUMER, "slow_consumer")
            elif self._displaced:
                await close(self._websocket, CloseCode.DISPLACED, self._displaced)
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # The peer is gone; the reader learns of it, too.
        reader.cancel()

    async def _read(self) -> None:
        count = 0
        while (message := await receive(self._websocket)) is not None:
            self._last_heard = self._loop.time()
            count += 1
            if count % IN_A_ROW == 0:
                await asyncio.sleep(0)
            try:
                command = wire.parse_command(message[0], binary=message[1])
            except ProtocolError as error:
                self._refuse(error)
                self._acknowledge(wire.ack_of_refused(error))
            else:
                await self._take(command, message[0])
        self._outbox.close()

    def _refuse(self, error: ProtocolError) -> None:
        failed = wire.failed_request(error)
        if failed is not None:
            self._send(failed)  # Somebody waits for it.
            return
        now = self._loop.time()
        self._errors = [at for at in self._errors if at > now - 1.0]
        if len(self._errors) < ERRORS_PER_S:
            self._errors.append(now)
            self._send(wire.error_event(error))

    def _acknowledge(self, ack: wire.Ack | None) -> None:
        """Not counted among the errors: there is one for each message that asks for it."""
        if ack is not None:
            self._send(ack)

    # --- commands -----------------------------------------------------------------------------------------

    async def _take(self, command: wire.AnyCommand, text: str | bytes) -> None:
        home = self._home
        passed = await home.passes_on(command, text) if home is not None else None
        outcome = passed or self._carry_out(command)
        if passed is None or passed.status == "error":
            self._acknowledge(wire.ack_of(command, outcome))  # Else the other node does.
        if passed is None and home is not None:
            home.carried_out(command, text, outcome)

    def _carry_out(self, command: wire.AnyCommand) -> Outcome:
        try:
            with _about(command):
                return self._desk.handle(command)
        except ProtocolError as error:
            self._refuse(error)
            return wire.outcome_of(wire.error_event(error))
