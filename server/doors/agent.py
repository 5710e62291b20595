"""``WS /client``: the socket of an agent process.

It registers agents, is told every event of their calls, and says what they shall do. The calls do not
depend on it: they belong to the registry.
"""

from __future__ import annotations

import asyncio

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from server import protocol as wire
from server.agents import Agent, AgentConflict, NumberInUse, TooManyAgents, merged, slug
from server.doors import history
from server.doors.commands_on_call import no_call, on_call
from server.doors.handshake import close, handshake, receive
from server.outbox import Outbox
from server.protocol import DONE, CloseCode, ErrorCode, ErrorEvent, Outcome, ProtocolError
from server.resolve import missing, resolve, substitutions
from server.ring import Entry
from server.services import Services

log = structlog.get_logger(__name__)

OUTBOX_MESSAGES = 4096
"""Events that may wait for a client; one that is further behind is closed as too slow."""
PROBE_S = 15.0
"""Silence of a client after which it is asked whether it lives; ``server.agents.STALE_S`` is three of these."""
IN_A_ROW = 16
"""Messages that are read before everybody else has a turn: a burst of thousands must not stall the calls,
nor fill the outbox while nothing of it is sent."""
RETRY_S = 30.0
"""When a client may ask again whether there is room for its agent."""
ERRORS_PER_S = 10
"""Malformed messages that are answered each second; of more only the log knows."""


async def agent_door(websocket: WebSocket, services: Services) -> None:
    """Serve one agent connection to its end."""
    connect = await handshake(websocket, services)
    if connect is not None:
        modern = connect.protocol is not None and connect.protocol.startswith("talkwire/")
        resume = connect.resume if modern else None
        await AgentConnection(websocket, services, modern, connect.client or "", resume).run()


class AgentConnection:
    """One connection, with any number of agents."""

    def __init__(
        self,
        websocket: WebSocket,
        services: Services,
        modern: bool,
        client: str,
        resume: dict[str, int] | None = None,
    ) -> None:
        self._websocket = websocket
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(OUTBOX_MESSAGES)
        self._log = log.bind(client=client or "unnamed")
        self._errors: list[float] = []
        self._displaced = ""
        self._modern = modern
        self._resume = resume
        self._last_heard = self._loop.time()
        self._probe = self._loop.call_later(PROBE_S, self._ask_alive)

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

    def displace(self, agent_id: str, reason: str) -> None:
        self._send(wire.AgentDisplaced(agent_id=agent_id, reason=reason))
        agents, calls = self._services.agents, self._services.calls
        if agents.has_agents(self):
            calls.agent_left(self, self._outbox.unsent(), agents.get, slug(agent_id))
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
            self._services.calls.agent_left(self, self._outbox.unsent(), self._services.agents.get)
            self._log.info("agent.disconnected", agents=[agent.agent_id for agent in gone])

    async def _write(self, reader: asyncio.Task[None]) -> None:
        try:
            await self._outbox.run(self._websocket.send_text)
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
                self._acknowledge(wire.ack_of(command, self._carry_out(command)))
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

    def _carry_out(self, command: wire.AnyCommand) -> Outcome:
        try:
            return self._handle(command)
        except ProtocolError as error:
            self._refuse(error)
            return wire.outcome_of(wire.error_event(error))

    def _deny(self, error: ErrorEvent) -> Outcome:
        """Refuse what is well-formed and cannot be: clients wait for this, so it is always told."""
        self._send(error)
        return wire.outcome_of(error)

    def _handle(self, command: wire.AnyCommand) -> Outcome:
        if isinstance(command, wire.Configuring) and not isinstance(command, wire.SessionConfigure):
            lacking = self._lacking(command.agent_id, command)
            if lacking is not None:
                return self._deny(lacking)
        match command:
            case wire.Connect():
                raise ProtocolError(ErrorCode.BAD_MESSAGE, "this socket is connected already")
            case wire.ClientPing():
                self._send(wire.ServerPong(timestamp=self._services.clock.epoch()))
            case wire.ClientPong():
                pass
            case wire.AgentCreate():
                return self._create(command)
            case wire.AgentConfigure():
                agent = self._agent(command.agent_id)
                agent.configuration = merged(agent.configuration, command)
                self._send(wire.AgentConfigured(agent_id=command.agent_id))
                self._warn(command.agent_id, command)
            case wire.ChannelAdd():
                return self._add_channel(command)
            case wire.ChannelConfigure():
                self._configure_channel(command)
            case wire.ChannelRemove():
                agent = self._agent(command.agent_id)
                if not self._services.agents.remove_number(agent, command.ref):
                    raise self._no_channel(command.agent_id, command.ref)
                self._send(wire.ChannelRemoved(agent_id=command.agent_id, ref=command.ref))
            case wire.DevConfig():
                agents = self._services.agents.set_callers(self, command.callers)
                return Outcome(extras={"agents": [agent.agent_id for agent in agents]})
            case wire.SessionConfigure():
                return self._configure_session(command)
            case wire.SessionPause() | wire.SessionResume():
                return self._pause(command)
            case wire.HistoryCommand():
                return self._answer(command)
            case _:
                return self._on_call(command)
        return DONE

    def _answer(self, command: wire.AnyHistoryCommand) -> Outcome:
        answer = history.answer(command, self._services.calls, self)
        self._send(answer)
        return DONE if answer.error is None else wire.failed(ErrorCode.REQUEST_REFUSED, answer.error)

    def _on_call(self, command: wire.AnyCallCommand) -> Outcome:
        call = self._services.calls.get(command.call_id)
        return on_call(call if call is not None and call.owner is self else None, command, self._send)

    # --- registration -------------------------------------------------------------------------------------

    def _create(self, command: wire.AgentCreate) -> Outcome:
        agents = self._services.agents
        try:
            agent = agents.create(command.agent_id, self, command, self._loop.time())
        except AgentConflict as conflict:
            text = f"agent {command.agent_id!r} is owned by another live connection"
            return self._deny(
                ErrorEvent(
                    error=f"{text}; try again in {conflict.retry_after_s:g} s, or use another agent_id",
                    code=ErrorCode.AGENT_CONFLICT,
                    agent_id=command.agent_id,
                    retry_after_s=conflict.retry_after_s,
                    holder_alive=True,
                )
            )
        except TooManyAgents as full:
            text = f"this server has {full.limit} agents online and takes no more (TALKWIRE_MAX_AGENTS)"
            return self._deny(
                ErrorEvent(
                    error=f"{text}; try again in {RETRY_S:g} s",
                    code=ErrorCode.SERVER_AT_CAPACITY,
                    agent_id=command.agent_id,
                    retry_after_s=RETRY_S,
                    used=full.limit,
                    limit=full.limit,
                )
            )
        except ValueError as error:
            raise ProtocolError(
                ErrorCode.REGISTRATION_ERROR, str(error), agent_id=command.agent_id, key="agent_id"
            ) from None
        self._send(wire.AgentCreated(agent_id=command.agent_id))
        self._warn(command.agent_id, command)
        self._log.info("agent.created", agent=agent.agent_id)
        self._services.calls.agent_came(agent)
        return DONE

    def _add_channel(self, command: wire.ChannelAdd) -> Outcome:
        agent = self._agent(command.agent_id)
        if command.type != "phone" or command.ref is None:
            raise ProtocolError(
                ErrorCode.CHANNEL_UNSUPPORTED,
                f"this server has no channel of type {command.type}; it has phone",
                agent_id=command.agent_id,
                key="type",
            )
        try:
            self._services.agents.add_number(agent, command.ref, command)
        except NumberInUse:
            return self._deny(
                ErrorEvent(
                    error=f"another agent answers {command.ref}; remove that channel first",
                    code=ErrorCode.PHONE_IN_USE,
                    agent_id=command.agent_id,
                    phone=command.ref,
                )
            )
        self._send(wire.ChannelAdded(agent_id=command.agent_id, type=command.type, ref=command.ref))
        self._warn(command.agent_id, command)
        self._log.info("channel.added", agent=agent.agent_id, type=command.type, ref=command.ref)
        return DONE

    def _configure_channel(self, command: wire.ChannelConfigure) -> None:
        agent = self._agent(command.agent_id)
        channel = self._services.agents.channel(agent, command.ref)
        if channel is None:
            raise self._no_channel(command.agent_id, command.ref)
        channel.configuration = merged(channel.configuration, command)
        self._send(wire.ChannelConfigured(agent_id=command.agent_id, ref=command.ref))
        self._warn(command.agent_id, command)

    def _configure_session(self, command: wire.SessionConfigure) -> Outcome:
        calls, defaults = self._services.calls, self._services.defaults
        call = calls.get(command.session_id)
        if call is None or call.owner is not self or call.session is None or call.session.ended:
            return no_call(command.session_id)
        lacking = self._lacking(call.facts.agent_id, command, call.call_id)
        if lacking is not None:
            return self._deny(lacking)
        # The nearest layer is the call's own, once there is one.
        own, wider = (
            (call.config.layers[0], call.config.layers[1:]) if call.configured else ({}, call.config.layers)
        )
        call.configured = True
        config = resolve([merged(own, command), *wider], defaults)
        call.session.guarded(lambda: calls.configure(call, config))
        self._send(wire.SessionConfigured(session_id=command.session_id))
        self._warn(call.facts.agent_id, command, call.call_id)
        return DONE

    def _pause(self, command: wire.SessionPause | wire.SessionResume) -> Outcome:
        calls, agent = self._services.calls, self._agent(command.agent_id)
        session_id, contact = command.session_id, command.contact
        call = calls.get(session_id) if session_id is not None else None
        if session_id is not None and (call is None or call.slug != agent.slug):
            text = f"agent {command.agent_id!r} has no live call {session_id!r}"
            raise ProtocolError(
                ErrorCode.SESSION_UNKNOWN,
                text,
                agent_id=command.agent_id,
                call_id=session_id,
                key="session_id",
            )
        told = {"agent_id": command.agent_id, "session_id": session_id, "contact": contact}
        if isinstance(command, wire.SessionResume):
            calls.resume(agent.slug, session_id, contact)
            self._send(wire.SessionResumed(**told))
            return DONE
        try:
            calls.pause(agent.slug, session_id, contact)
        except ValueError as error:
            raise ProtocolError(
                ErrorCode.BAD_MESSAGE, str(error), agent_id=command.agent_id, key="contact"
            ) from None
        self._send(wire.SessionPaused(**told))
        return DONE

    def _agent(self, agent_id: str) -> Agent:
        agent = self._services.agents.find(agent_id, self)
        if agent is None:
            raise ProtocolError(
                ErrorCode.AGENT_UNKNOWN,
                f"this connection has no agent {agent_id!r}: send agent.create first",
                agent_id=agent_id,
            )
        return agent

    def _no_channel(self, agent_id: str, ref: str) -> ProtocolError:
        text = f"agent {agent_id!r} has no channel {ref!r}: send channel.add first"
        return ProtocolError(ErrorCode.CHANNEL_UNKNOWN, text, agent_id=agent_id, key="ref")

    def _lacking(
        self, agent_id: str, command: wire.Configuring, call_id: str | None = None
    ) -> ErrorEvent | None:
        """Where the operator is strict: what is asked for, and would be replaced by something else."""
        told = missing(merged({}, command), self._services.defaults)
        if told is None:
            return None
        _, key, text = told
        place = {"agent_id": agent_id, "call_id": call_id, "session_id": call_id}
        return ErrorEvent(error=text, code=ErrorCode.PROVIDER_KEY_REQUIRED, **place, key=key)

    def _warn(self, agent_id: str, command: wire.Configuring, call_id: str | None = None) -> None:
        """Tell, once for each command, what of it has no effect."""
        keys = wire.unknown_keys(command)
        if keys:
            text = f"keys that this server does not know have no effect: {', '.join(keys)}"
            self._warning(agent_id, wire.WarningCode.UNKNOWN_KEYS, text, tuple(keys), call_id)
        for code, key, text in substitutions(merged({}, command), self._services.defaults):
            self._warning(agent_id, code, text, (key,), call_id)

    def _warning(
        self,
        agent_id: str,
        code: wire.WarningCode,
        text: str,
        keys: tuple[str, ...],
        call_id: str | None = None,
    ) -> None:
        place = {"agent_id": agent_id, "call_id": call_id, "session_id": call_id}
        self._send(wire.ServerWarning(**place, code=code, warning=text, keys=keys))
