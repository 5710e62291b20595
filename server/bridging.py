"""Agents that call other agents of this server: two calls whose legs are joined in memory.

The caller's agent has an outbound call, and the one that is called an inbound one as any other; each is a call of the
registry, with a conversation, a log, limits and a recording of its own. What ends one ends the other, for its leg then
says that the other side has hung up.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from media.bridge import Bridge, BridgeLeg
from media.ports import LegListener
from pipeline.events import EndReason
from server.agents import Agent, AgentRegistry, slug
from server.call import Call
from server.calls import CallRegistry
from server.protocol import CallBridge, Direction, ErrorCode, ErrorEvent
from server.resolve import CallConfig, Defaults, resolve
from server.wire import CallFacts

log = structlog.get_logger(__name__)

RETRY_S = 5.0
"""When an agent may ask again whether there is room."""


class BridgeRefused(Exception):
    """It is not even begun; ``str()`` says why and what to do."""

    def __init__(self, code: ErrorCode, text: str, **extras: Any) -> None:
        super().__init__(text)
        self.code = code
        self.extras = extras


class Bridging:
    """Of all agents. ``max_bridges`` live at a time; 0: none is begun."""

    def __init__(
        self, agents: AgentRegistry, calls: CallRegistry, defaults: Defaults, max_bridges: int
    ) -> None:
        self._agents = agents
        self._calls = calls
        self._defaults = defaults
        self._max_bridges = max_bridges
        self._loop = asyncio.get_running_loop()
        self._live: list[Bridge] = []

    def join(
        self, agent: Agent, wanted: CallBridge, trace: Mapping[str, str] | None = None
    ) -> tuple[Call, Call]:
        """Have an agent call another one; returns the call of each. ``trace`` as in ``CallFacts``. Raises
        ``BridgeRefused``."""
        target = self._target(agent, wanted.target)
        self._look_for_room()
        ids = f"bridge-{secrets.token_hex(12)}", f"bridge-{secrets.token_hex(12)}"
        mine = _facts(agent, wanted, ids[0], wanted.target, ids[1], "outbound")
        theirs = _facts(target, wanted, ids[1], target.agent_id, ids[0], "inbound", from_=agent.agent_id)
        calling = self._calls.ring(
            replace(mine, trace=trace or {}),
            agent,
            self._config(agent, wanted),
        )
        called = self._calls.ring(
            replace(theirs, trace=trace or {}),
            target,
            resolve([target.configuration], self._defaults),
        )
        bridge = Bridge()
        self._live.append(bridge)
        try:
            listeners = [self._start(*one) for one in zip((calling, called), bridge.legs, strict=True)]
        except Exception:
            # A bug of ours must not leave half a bridge: nobody would ever hear of the other end.
            self._give_up(calling, called)
            raise
        bridge.join(listeners[0], listeners[1])
        log.info(
            "call.bridged", call_id=ids[0], agent=agent.agent_id, with_call=ids[1], target=target.agent_id
        )
        return calling, called

    def _start(self, call: Call, leg: BridgeLeg) -> LegListener:
        self._calls.connecting(call)
        return self._calls.start(call, leg)

    def _give_up(self, *calls: Call) -> None:
        for call in calls:
            if call.session is not None:
                call.session.end(EndReason.FAILED, "internal error")
            else:
                self._calls.forget(call)

    def refused(self, agent: Agent, wanted: CallBridge, refusal: BridgeRefused) -> ErrorEvent:
        """What is told of a call that is not begun; its end is told, too, for that is what clients wait for."""
        call_id = f"bridge-{secrets.token_hex(12)}"
        facts = _facts(agent, wanted, call_id, wanted.target, None, "outbound")
        call = self._calls.dialing(facts, agent, resolve([agent.configuration], self._defaults))
        self._loop.call_soon(self._calls.never_began, call, EndReason.FAILED, str(refusal))
        place = {"agent_id": agent.agent_id, "call_id": call_id, "session_id": call_id}
        return ErrorEvent(error=str(refusal), code=refusal.code, **place, **refusal.extras)

    def _target(self, agent: Agent, wanted: str) -> Agent:
        target = self._agents.get(slug(wanted))
        if target is None:
            text = f"no agent {wanted[:60]!r} is online on this server: start it, or correct target"
            raise BridgeRefused(ErrorCode.BRIDGE_REFUSED, text, key="target")
        if target is agent:
            text = "an agent cannot call itself: name another one as target"
            raise BridgeRefused(ErrorCode.BRIDGE_REFUSED, text, key="target")
        return target

    def _look_for_room(self) -> None:
        self._live = [bridge for bridge in self._live if not bridge.over]
        if len(self._live) >= self._max_bridges:
            limit = self._max_bridges
            text = f"{len(self._live)} bridges are live, and no more are allowed (TALKWIRE_MAX_BRIDGES)"
            raise BridgeRefused(ErrorCode.SERVER_AT_CAPACITY, text, limit=limit, retry_after_s=RETRY_S)
        if not self._calls.has_room(2):
            text = "the server takes no two more calls at the moment: try again when some are over"
            raise BridgeRefused(ErrorCode.SERVER_AT_CAPACITY, text, retry_after_s=RETRY_S)

    def _config(self, agent: Agent, wanted: CallBridge) -> CallConfig:
        own: dict[str, Any] = {}
        if wanted.config is not None:
            given = type(wanted.config).model_fields.keys() & wanted.config.model_fields_set
            own = {name: getattr(wanted.config, name) for name in given}
        if wanted.media is not None:
            own["media"] = wanted.media
        if wanted.greeting is not None:
            own["greeting"] = wanted.greeting
        if wanted.detect_turn_end:
            own["greet_after_turn"] = True
        return resolve([own, agent.configuration], self._defaults)


def _facts(
    agent: Agent,
    wanted: CallBridge,
    call_id: str,
    to: str,
    other: str | None,
    direction: Direction,
    from_: str | None = None,
) -> CallFacts:
    return CallFacts(
        call_id,
        agent.agent_id,
        from_ or agent.agent_id,
        to,
        direction=direction,
        transport="bridge",
        metadata=wanted.metadata,
        bridged_with=other,
    )
