"""What a connection may ask for: agents, their channels and sessions, and what is done on a call.

It knows nothing of the socket that the commands came by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

import structlog

from pipeline.events import EndReason
from server import protocol as wire
from server.agents import (
    Agent,
    AgentConflict,
    Line,
    LineConflict,
    NumberInUse,
    Owner,
    TooManyAgents,
    merged,
)
from server.bridging import BridgeRefused
from server.call import Call
from server.control import ControlRefused
from server.dialling import DialRefused
from server.doors import history
from server.doors.commands_on_call import Tell, no_call, on_call
from server.lines import WINDOW_MS, is_line
from server.protocol import DONE, ErrorCode, ErrorEvent, Outcome, ProtocolError
from server.resolve import missing, resolve, substitutions
from server.routing import RouteRefused
from server.services import Services
from telephony.numbers import ANY, can_be_called, normalise

_AtCarrier = (
    wire.CallDtmf | wire.CallForward | wire.CallTransfer | wire.CallTransferComplete | wire.CallTransferCancel
)
_AT_CARRIER = _AtCarrier.__args__
MAX_LOOK_UPS = 16
"""Requests of one connection that wait for what is kept of calls."""
RETRY_S = 30.0
"""When a client may ask again whether there is room for its agent."""


class Desk:
    """Of one connection, which is the owner of its agents. ``tell`` says something to it; ``trace``: the trace that it is
    part of, as in ``CallFacts``, and so are the calls that it asks for."""

    def __init__(
        self,
        owner: Owner,
        services: Services,
        tell: Tell,
        log: structlog.stdlib.BoundLogger,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        self._owner = owner
        self._services = services
        self._tell = tell
        self._log = log
        self._trace = trace or {}
        self._loop = asyncio.get_running_loop()
        self._looking_up = 0

    def handle(self, command: wire.AnyCommand) -> Outcome:
        """Carry out a command. Raises ``ProtocolError`` for what is wrong with it."""
        if isinstance(command, wire.Configuring) and not isinstance(command, wire.SessionConfigure):
            lacking = self._lacking(command.agent_id, command)
            if lacking is not None:
                return self._deny(lacking)
        match command:
            case wire.Connect():
                raise ProtocolError(ErrorCode.BAD_MESSAGE, "this socket is connected already")
            case wire.ClientPing():
                self._tell(wire.ServerPong(timestamp=self._services.clock.epoch()))
            case wire.ClientPong():
                pass
            case wire.AgentCreate():
                return self._create(command)
            case wire.AgentConfigure():
                agent = self._agent(command.agent_id)
                agent.configuration = merged(agent.configuration, command)
                self._tell(wire.AgentConfigured(agent_id=command.agent_id))
                self._warn(command.agent_id, command)
            case wire.ChannelAdd():
                return self._add_channel(command)
            case wire.ChannelConfigure():
                self._configure_channel(command)
            case wire.ChannelRemove():
                agent = self._agent(command.agent_id)
                if not self._services.agents.remove_number(agent, command.ref):
                    raise self._no_channel(command.agent_id, command.ref)
                self._tell(wire.ChannelRemoved(agent_id=command.agent_id, ref=command.ref))
            case wire.LineCreate():
                return self._create_line(command)
            case wire.LineDestroy():
                return self._destroy_line(command)
            case wire.DevConfig():
                agents = self._services.agents.set_callers(self._owner, command.callers)
                return Outcome(extras={"agents": [agent.agent_id for agent in agents]})
            case wire.SessionConfigure():
                return self._configure_session(command)
            case wire.SessionPause() | wire.SessionResume():
                return self._pause(command)
            case wire.CallAccept() | wire.CallReject():
                return self._screen(command)
            case wire.CallDial():
                return self._dial(command)
            case wire.CallBridge():
                return self._bridge(command)
            case wire.CallHangup() if self._has_not_begun(command.call_id):
                return self._give_up(command)
            case wire.HistoryCommand():
                return self._answer(command)
            case _:
                return self._on_call(command)
        return DONE

    def _deny(self, error: ErrorEvent) -> Outcome:
        """Refuse what is well-formed and cannot be: clients wait for this, so it is always told."""
        self._tell(error)
        return wire.outcome_of(error)

    def _answer(self, command: wire.AnyHistoryCommand) -> Outcome:
        if isinstance(command, wire.HistoryGet) and self._services.calls.get(command.call_id) is None:
            return self._look_up(command)
        answer = history.answer(command, self._services.calls, self._owner)
        self._tell(answer)
        return DONE if answer.error is None else wire.failed(ErrorCode.REQUEST_REFUSED, answer.error)

    def _look_up(self, command: wire.HistoryGet) -> Outcome:
        """The call is not live: what is kept of it may have to be fetched."""
        if self._looking_up >= MAX_LOOK_UPS:
            text = f"{MAX_LOOK_UPS} requests for calls that are over are being answered: wait for these"
            ids = {"call_id": command.call_id, "request_id": command.request_id}
            self._tell(wire.HistoryData(**ids, messages=(), error=text))
            return wire.failed(ErrorCode.REQUEST_REFUSED, text)
        self._looking_up += 1
        self._services.tasks.create_task(self._looked_up(command), name=f"history of {command.call_id}")
        return Outcome("processing")

    async def _looked_up(self, command: wire.HistoryGet) -> None:
        def ours(agent_id: str) -> bool:
            return self._services.agents.find(agent_id, self._owner) is not None

        try:
            self._tell(await history.past(command, self._services.book, ours))
        except Exception:  # noqa: BLE001 - In the group of all requests an exception would end all of them.
            self._log.exception("history.not_read", call_id=command.call_id)
        finally:
            self._looking_up -= 1

    def _on_call(self, command: wire.AnyCallCommand) -> Outcome:
        call = self._services.calls.get(command.call_id)
        if call is not None and call.owner is not self._owner:
            call = None
        if call is not None and isinstance(command, wire.RecordingStart):
            return DONE if self._services.calls.record(call) else no_call(command.call_id)
        if call is not None and isinstance(command, _AT_CARRIER):
            return self._control(call, command)
        if call is not None and isinstance(command, wire.CallRoute):
            return self._route(call, command)
        return on_call(call, command, self._tell)

    def _control(self, call: Call, command: _AtCarrier) -> Outcome:
        control, transfers = self._services.control, self._services.transfers
        if call.session is None or call.session.ended:
            return no_call(command.call_id)
        try:
            match command:
                case wire.CallDtmf():
                    control.press(call, command.digits)
                case wire.CallForward():
                    control.forward(call, command)
                case wire.CallTransfer():
                    return self._transfer(call, command)
                case wire.CallTransferComplete():
                    transfers.complete(call)
                case wire.CallTransferCancel():
                    transfers.cancel(call)
        except ControlRefused as refused:
            if isinstance(command, wire.CallTransferComplete | wire.CallTransferCancel):
                return wire.failed(refused.code, str(refused))  # It may just be over.
            place = {"agent_id": call.facts.agent_id, "call_id": call.call_id, "session_id": call.call_id}
            return self._deny(ErrorEvent(error=str(refused), code=refused.code, key=refused.key, **place))
        return Outcome("processing")

    def _route(self, call: Call, command: wire.CallRoute) -> Outcome:
        if call.session is None or call.session.ended:
            return no_call(command.call_id)
        try:
            self._services.routing.route(call, call.session, command)
        except RouteRefused as refused:
            return wire.failed(ErrorCode.ROUTE_REFUSED, str(refused), reason=refused.reason)
        return Outcome("processing")

    # --- lines ------------------------------------------------------------------------------------------------

    def _create_line(self, command: wire.LineCreate) -> Outcome:
        number, config = command.number, command.config
        if normalise(number) == ANY or not can_be_called(number):
            text = f"{number[:60]!r} is no number: give one such as +15550002222, or a sip: address"
            return self._no_line(number, ErrorCode.LINE_CONFIG_ERROR, text)
        lacking = missing({"config": config}, self._services.defaults) if config is not None else None
        if lacking is not None:
            return self._no_line(number, ErrorCode.LINE_CONFIG_ERROR, lacking[2])
        window_ms = config.extension_window_ms if config is not None else None
        try:
            line = self._services.agents.create_line(
                number, self._owner, config, WINDOW_MS if window_ms is None else window_ms, self._loop.time()
            )
        except LineConflict as conflict:
            return self._no_line(number, ErrorCode.LINE_CONFLICT, str(conflict))
        self._tell(wire.LineCreated(number=number))
        self._warn_line(line, command)
        self._log.info("line.created", number=number)
        self._services.calls.owners.came(line)
        return DONE

    def _no_line(self, number: str, code: ErrorCode, text: str) -> Outcome:
        told: Literal["LINE_CONFLICT", "LINE_CONFIG_ERROR"] = (
            "LINE_CONFLICT" if code is ErrorCode.LINE_CONFLICT else "LINE_CONFIG_ERROR"
        )
        self._tell(wire.LineError(number=number, code=told, error=text))
        return wire.failed(code, text)

    def _warn_line(self, line: Line, command: wire.LineCreate) -> None:
        keys = wire.unknown_keys(command)
        if keys:
            text = f"keys that this server does not know have no effect: {', '.join(keys)}"
            self._warning(line.agent_id, wire.WarningCode.UNKNOWN_KEYS, text, tuple(keys))
        for code, key, text in substitutions(line.configuration, self._services.defaults):
            self._warning(line.agent_id, code, text, (key,))

    def _destroy_line(self, command: wire.LineDestroy) -> Outcome:
        if not self._services.agents.remove_line(command.number, self._owner):
            text = f"this connection has no line {command.number!r}: send line.create first"
            raise ProtocolError(ErrorCode.LINE_UNKNOWN, text, key="number")
        self._tell(wire.LineDestroyed(number=command.number))
        return DONE

    def _transfer(self, call: Call, command: wire.CallTransfer) -> Outcome:
        agent_id = call.facts.agent_id
        if command.config is not None and (lacking := self._lacking(agent_id, command.config, call.call_id)):
            return self._deny(lacking)
        self._services.transfers.begin(call, self._agent(agent_id), command)
        self._warn(agent_id, command, call.call_id, config=command.config)
        return Outcome("processing")

    # --- agents and channels ----------------------------------------------------------------------------------

    def _create(self, command: wire.AgentCreate) -> Outcome:
        agents = self._services.agents
        try:
            agent = agents.create(command.agent_id, self._owner, command, self._loop.time())
            agent.allowed_origins = command.allowed_origins or ()
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
        self._tell(wire.AgentCreated(agent_id=command.agent_id))
        self._warn(command.agent_id, command)
        self._log.info("agent.created", agent=agent.agent_id)
        self._services.calls.owners.came(agent)
        return DONE

    def _add_channel(self, command: wire.ChannelAdd) -> Outcome:
        agent = self._agent(command.agent_id)
        browsers = self._services.settings.webrtc
        if command.type == "webrtc" and browsers:
            # Browsers reach every agent; the channel holds what is otherwise for them.
            self._services.agents.add_channel(agent, command.type, command)
            return self._channel_added(agent, command)
        if command.type != "phone" or command.ref is None:
            has = "phone and webrtc" if browsers else "phone (TALKWIRE_WEBRTC is off)"
            raise ProtocolError(
                ErrorCode.CHANNEL_UNSUPPORTED,
                f"this server has no channel of type {command.type}; it has {has}",
                agent_id=command.agent_id,
                key="type",
            )
        if not can_be_called(command.ref):
            text = f"{command.ref[:60]!r} is no number: give one such as +15550002222, a sip: address, or * for any"
            raise ProtocolError(ErrorCode.REGISTRATION_ERROR, text, agent_id=command.agent_id, key="ref")
        try:
            self._services.agents.add_number(agent, command.ref, command, ringing=command.ringing is True)
        except NumberInUse as taken:
            return self._deny(
                ErrorEvent(
                    error=str(taken),
                    code=ErrorCode.PHONE_IN_USE,
                    agent_id=command.agent_id,
                    phone=command.ref,
                )
            )
        return self._channel_added(agent, command)

    def _channel_added(self, agent: Agent, command: wire.ChannelAdd) -> Outcome:
        self._tell(wire.ChannelAdded(agent_id=command.agent_id, type=command.type, ref=command.ref))
        self._warn(command.agent_id, command)
        self._log.info("channel.added", agent=agent.agent_id, type=command.type, ref=command.ref)
        return DONE

    def _configure_channel(self, command: wire.ChannelConfigure) -> None:
        agent = self._agent(command.agent_id)
        channel = self._services.agents.channel(agent, command.ref)
        if channel is None:
            raise self._no_channel(command.agent_id, command.ref)
        channel.configuration = merged(channel.configuration, command)
        if command.ringing is not None:
            channel.ringing = command.ringing
        self._tell(wire.ChannelConfigured(agent_id=command.agent_id, ref=command.ref))
        self._warn(command.agent_id, command)

    # --- sessions ---------------------------------------------------------------------------------------------

    def _configure_session(self, command: wire.SessionConfigure) -> Outcome:
        calls, defaults = self._services.calls, self._services.defaults
        call = calls.get(command.session_id)
        if call is None or call.owner is not self._owner or call.session is None or call.session.ended:
            return no_call(command.session_id)
        lacking = self._lacking(call.facts.agent_id, command, call.call_id)
        if lacking is not None:
            return self._deny(lacking)
        # The nearest layer is the call's own, once there is one.
        own, wider = (
            (call.config.layers[0], call.config.layers[1:]) if call.configured else ({}, call.config.layers)
        )
        call.configured = True
        line = is_line(call.slug)
        config = resolve([merged(own, command), *wider], defaults, mind=not line)
        if not calls.configure(call, config):
            return no_call(command.session_id)
        self._tell(wire.SessionConfigured(session_id=command.session_id))
        call.session.guarded(call.session.answering.readiness.opened)
        self._warn(call.facts.agent_id, command, call.call_id)
        if line and command.llm is not None:
            text = "no language model answers on a line: hand the call over with call.route"
            self._warning(call.facts.agent_id, wire.WarningCode.NOT_ON_A_LINE, text, ("llm",), call.call_id)
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
            calls.pausing.resume(agent.slug, session_id, contact)
            self._tell(wire.SessionResumed(**told))
            return DONE
        try:
            calls.pausing.pause(agent.slug, session_id, contact)
        except ValueError as error:
            raise ProtocolError(
                ErrorCode.BAD_MESSAGE, str(error), agent_id=command.agent_id, key="contact"
            ) from None
        self._tell(wire.SessionPaused(**told))
        return DONE

    # --- calls that have not begun ----------------------------------------------------------------------------

    def _screen(self, command: wire.CallAccept | wire.CallReject) -> Outcome:
        call = self._services.calls.get(command.call_id)
        ringing = self._services.ringing
        if call is None or call.owner is not self._owner:
            return no_call(command.call_id)
        if isinstance(command, wire.CallAccept):
            done = ringing.accept(command.call_id)
        else:
            done = ringing.reject(command.call_id, command.reason)
        if done:
            return DONE
        return wire.failed(ErrorCode.CALL_NOT_RINGING, "the call does not ring: it is answered already")

    def _dial(self, command: wire.CallDial) -> Outcome:
        agent = self._agent(command.agent_id)
        if command.config is not None and (lacking := self._lacking(agent.agent_id, command.config)):
            return self._deny(lacking)
        dialling = self._services.dialling
        try:
            dial = dialling.place(agent, command, trace=self._trace)
        except DialRefused as refused:
            return self._deny(dialling.refused(agent, command, refused))
        self._warn(agent.agent_id, command, config=command.config)
        extras = {"dial_id": dial.dial_id, "queue_length": dialling.waiting}
        return Outcome("processing" if dialling.waiting == 1 else "pending", extras=extras)

    def _bridge(self, command: wire.CallBridge) -> Outcome:
        agent = self._agent(command.agent_id)
        if command.config is not None and (lacking := self._lacking(agent.agent_id, command.config)):
            return self._deny(lacking)
        bridging = self._services.bridging
        try:
            calling, called = bridging.join(agent, command, self._trace)
        except BridgeRefused as refused:
            return self._deny(bridging.refused(agent, command, refused))
        self._warn(agent.agent_id, command, config=command.config)
        return Outcome("processing", extras={"call_id": calling.call_id, "bridged_with": called.call_id})

    def _has_not_begun(self, call_id: str) -> bool:
        call = self._services.calls.get(call_id)
        if call is None:
            agent = self._services.dialling.owner_of(call_id)
            return agent is not None and agent.owner is self._owner
        return call.owner is self._owner and call.session is None

    def _give_up(self, command: wire.CallHangup) -> Outcome:
        services, call_id = self._services, command.call_id
        detail = command.reason or "the agent hung up before it was answered"
        call = services.calls.get(call_id)
        if call is None:
            return DONE if services.dialling.cancel(call_id, detail) else no_call(call_id)
        if not services.ringing.reject(call_id, "rejected"):
            services.calls.never_began(call, EndReason.CLIENT_HANGUP, detail)
        return DONE

    # --- what many of them need -------------------------------------------------------------------------------

    def _agent(self, agent_id: str) -> Agent:
        agent = self._services.agents.find(agent_id, self._owner)
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
        self, agent_id: str, command: wire.Configuration, call_id: str | None = None
    ) -> ErrorEvent | None:
        """Where the operator is strict: what is asked for, and would be replaced by something else."""
        told = missing(merged({}, command), self._services.defaults)
        if told is None:
            return None
        _, key, text = told
        place = {"agent_id": agent_id, "call_id": call_id, "session_id": call_id}
        return ErrorEvent(error=text, code=ErrorCode.PROVIDER_KEY_REQUIRED, **place, key=key)

    def _warn(
        self,
        agent_id: str,
        command: wire.Configuring | wire.CallDial | wire.CallBridge | wire.CallTransfer,
        call_id: str | None = None,
        config: wire.Configuration | None = None,
    ) -> None:
        """Tell, once for each command, what of it has no effect. ``config``: where it is within it."""
        keys = wire.unknown_keys(command)
        if keys:
            text = f"keys that this server does not know have no effect: {', '.join(keys)}"
            self._warning(agent_id, wire.WarningCode.UNKNOWN_KEYS, text, tuple(keys), call_id)
        wanted = command if isinstance(command, wire.Configuration) else config
        for code, key, text in substitutions(
            merged({}, wanted) if wanted is not None else {}, self._services.defaults
        ):
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
        self._tell(wire.ServerWarning(**place, code=code, warning=text, keys=keys))
