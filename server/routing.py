"""Calls that are handed over from one agent, or line, to another one, without being dialled anew: the caller stays where
he is.

What is being said is heard to its end first. Until then, and where it does not come to be, nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
import structlog

from pipeline.events import EndReason, RouteFailed, RouteFailure
from pipeline.prompt import Prompt
from pipeline.session import Session
from server.agents import Agent, AgentRegistry, slug
from server.call import Call
from server.calls import CallRegistry
from server.control import Control
from server.lines import is_line
from server.protocol import CallRoute
from server.resolve import CallConfig, Defaults, missing, resolve
from telephony.numbers import ANY

log = structlog.get_logger(__name__)

SAID_S: Final = 10.0
"""How long what is being said holds it up."""
MAX_ROUTES: Final = 100
"""Of one call: two agents that hand it back and forth by themselves would never stop."""


class RouteRefused(Exception):
    """The call stays where it is; ``str()`` says why."""

    def __init__(self, reason: RouteFailure, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Routing:
    """Of all calls. ``tasks`` owns a task for each hand-over until it is carried out."""

    def __init__(
        self,
        agents: AgentRegistry,
        calls: CallRegistry,
        control: Control,
        defaults: Defaults,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._agents = agents
        self._calls = calls
        self._control = control
        self._defaults = defaults
        self._tasks = tasks
        self._going: set[str] = set()
        """Calls that are about to be handed over."""

    def route(self, call: Call, session: Session, wanted: CallRoute) -> None:
        """Hand a call over. Raises ``RouteRefused``, which is told as well."""
        try:
            if call.call_id in self._going:
                raise RouteRefused("swap_failed", "the call is about to be handed over already")
            self._check(call, session, wanted)
        except RouteRefused as refused:
            self._tell(call, session, wanted, refused)
            raise
        self._going.add(call.call_id)
        self._tasks.create_task(self._carry_out(call, session, wanted), name=f"route {call.call_id}")

    async def _carry_out(self, call: Call, session: Session, wanted: CallRoute) -> None:
        try:
            await session.said(0.0 if "agent" in session.held_by else SAID_S)
            if not session.ended:
                self._hand_over(call, session, wanted)
        except RouteRefused as refused:
            self._tell(call, session, wanted, refused)
        except Exception:
            # In the group of all calls an exception would end all of them.
            log.exception("routing.crashed", call_id=call.call_id)
            session.end(EndReason.FAILED, "internal error")
        finally:
            self._going.discard(call.call_id)

    def _tell(self, call: Call, session: Session, wanted: CallRoute, refused: RouteRefused) -> None:
        log.warning("call.not_routed", call_id=call.call_id, to=wanted.agent, reason=refused.reason)
        if not session.ended:
            call.journal.append(RouteFailed(wanted.agent, refused.reason, str(refused)))

    # --- whether, and to whom -----------------------------------------------------------------------------

    def _check(self, call: Call, session: Session, wanted: CallRoute) -> tuple[Agent, CallConfig]:
        """Who takes it over, and how. Raises ``RouteRefused``."""
        agent = self._target(wanted.agent)
        if agent.slug == call.slug:
            raise RouteRefused("swap_failed", f"{wanted.agent} has the call already")
        if call.routes >= MAX_ROUTES:
            raise RouteRefused(
                "capacity", f"the call was handed over {MAX_ROUTES} times: no call is more often"
            )
        if self._control.busy(call):
            raise RouteRefused(
                "swap_failed", "keys are being pressed, or the call is being forwarded: wait for that"
            )
        if session.answering.ending:
            raise RouteRefused("swap_failed", "the call is about to end")
        layers = self._layers(call, agent, wanted)
        for layer in layers:
            lacking = missing(layer, self._defaults)
            if lacking is not None:
                raise RouteRefused("no_phone_config", lacking[2])
        try:
            remember(_known(session), wanted.context or {})
        except ValueError as error:
            raise RouteRefused("swap_failed", f"context: {error}") from None
        return agent, resolve(layers, self._defaults)

    def _target(self, agent_id: str) -> Agent:
        key = slug(agent_id)
        agent = self._agents.get(key) if key else None
        if agent is not None:
            return agent
        if self._agents.was_known(key):
            raise RouteRefused("offline", f"the process of {agent_id!r} is not connected now")
        raise RouteRefused(
            "unknown", f"this server has never seen an agent {agent_id!r}: look at its agent_id"
        )

    def _layers(self, call: Call, agent: Agent, wanted: CallRoute) -> list[dict[str, Any]]:
        """What the command says, what the page of a browser call does, then channel and agent as ever."""
        own = {
            "language": wanted.language,
            "voice": wanted.voice,
            "stt": wanted.stt,
            "greeting": wanted.greeting,
            "vars": wanted.prompt_vars,
        }
        layers = [{name: value for name, value in own.items() if value is not None}]
        if call.facts.transport == "webrtc":
            layers.append(call.config.layers[1 if call.configured else 0])
            channel = agent.channels.get("webrtc")
        else:
            channel = self._agents.channel(agent, call.facts.to) or agent.channels.get(ANY)
        if channel is not None:
            layers.append(channel.configuration)
        return [*layers, agent.configuration]

    # --- carried out --------------------------------------------------------------------------------------

    def _hand_over(self, call: Call, session: Session, wanted: CallRoute) -> None:
        """Things may have changed since it was asked for. Raises ``RouteRefused``."""
        agent, config = self._check(call, session, wanted)
        prompt = remember(_known(session), wanted.context or {})
        facts = replace(
            call.facts,
            agent_id=agent.agent_id,
            owner="agent",
            routed_from=call.facts.agent_id if is_line(call.slug) else f"agent:{call.slug}",
            context=prompt.named or None,
        )
        try:
            self._calls.hand_over(call, agent, facts, config, history=wanted.history)
        except Exception as error:
            log.exception("routing.failed", call_id=call.call_id)
            raise RouteRefused(
                "swap_failed", "its engines could not be had: the server's log says why"
            ) from error


def _known(session: Session) -> Mapping[str, str]:
    return session.answering.briefing.prompt.named


def remember(known: Mapping[str, str], more: Mapping[str, Any]) -> Prompt:
    """What a call knows under names, with more of it. Raises ``ValueError`` where that is too much."""
    prompt = Prompt()
    for key, value in [*known.items(), *more.items()]:
        prompt.put(key, text_of(value))
    return prompt


def text_of(value: Any) -> str | None:
    """A value that is known under a name, as text; None takes the name away."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
