"""Who answers: the agents that are online, the channels by which calls reach them, and who owns what."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from server.lines import PREFIX, WINDOW_MS, host_of, is_line, key_of
from server.protocol import Configuration, SessionConfig
from server.ring import Entry
from telephony.numbers import ANY, normalise

STALE_S = 45.0
"""An owner who was silent for longer may be displaced."""
RETRY_S = 5.0
"""After which an id that is taken may be asked for again: its owner may leave any time."""


MAX_KNOWN = 10_000
"""Agents that are remembered when they are offline."""


def slug(agent_id: str) -> str:
    """The form in which agent ids are compared: lower case, hyphens between words."""
    text = re.sub(r"[\s_]+", "-", agent_id.strip().lower())
    return re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9-]", "", text)).strip("-")


def key_for(agent_id: str) -> str:
    """By which whoever has calls is known: an agent by its slug, a line by its number; empty: it is no id."""
    if not is_line(agent_id):
        return slug(agent_id)
    number = agent_id.removeprefix(PREFIX).strip()
    return key_of(number) if number else ""


def key_asked(agent_id: str) -> str:
    """By which the agent, or the line, that somebody names in an address is known; empty: it is no id. Of a line's
    number the plus comes as a space where it was not escaped."""
    return key_for(
        f"{PREFIX}+{agent_id[len(PREFIX) + 1 :]}" if agent_id.startswith(f"{PREFIX} ") else agent_id
    )


def is_dev(key: str) -> bool:
    """By its slug, an agent is a developer's own copy of another one."""
    return key.startswith("dev-")


class Owner(Protocol):
    """The connection of an agent process."""

    @property
    def modern(self) -> bool:
        """It announced our protocol: it takes events after ``call.ended``."""

    @property
    def last_heard(self) -> float:
        """When something came from it, on the loop's clock."""

    @property
    def resume(self) -> dict[str, int] | None:
        """The ``seq`` of the last event that it has of each call that it knew when it connected, until it was
        told what came after; None: it does not say such things."""

    @property
    def elsewhere(self) -> Collection[str] | None:
        """Of these calls those that another node of the server has. None: another node tells which of them are gone."""

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """Send a message, now or soon; ``entry``: the event of a call that it tells. False: it takes no more,
        for it could not keep up and is closing."""

    def has_room(self, size: int) -> bool:
        """It takes a message of so many bytes, which can wait for it without holding up others."""

    def displace(self, agent_id: str, reason: str) -> None:
        """It has lost this agent for good; its other ones it keeps."""


def merged(layers: dict[str, Any], change: Configuration) -> dict[str, Any]:
    """A configuration with the keys that ``change`` holds in place of the old ones."""
    names = Configuration.model_fields.keys() & change.model_fields_set
    return {**layers, **{name: getattr(change, name) for name in names}}


@dataclass(slots=True)
class Channel:
    type: str
    ref: str
    """As typed."""
    configuration: dict[str, Any]
    ringing: bool = False
    """Its calls ring until the agent takes them, or some seconds are over."""


@dataclass(slots=True)
class Agent:
    slug: str
    agent_id: str
    """As its process spells it."""
    owner: Owner
    configuration: dict[str, Any]
    channels: dict[str, Channel] = field(default_factory=dict)
    """By normalised number; one without a number by its type."""
    allowed_origins: tuple[str, ...] = ()
    """Pages that may call without a token of an API key."""
    online_since: float = 0.0
    """On the loop's clock."""


@dataclass(slots=True)
class Line(Agent):
    """A number that code answers: to calls an agent, whose ``slug`` is the key of the line."""

    number: str = ""
    """As its process spells it."""
    window_ms: int = WINDOW_MS
    """How long a caller may dial an extension."""


class AgentConflict(Exception):
    """Another live connection owns the agent."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("another live connection owns this agent id")
        self.retry_after_s = retry_after_s


class NumberInUse(Exception):
    """Another agent answers this number, or a line does; ``str()`` says which."""


class LineConflict(Exception):
    """Another live connection has the line, or an agent answers its number; ``str()`` says which."""


class TooManyAgents(Exception):
    """As many agents as allowed are online."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} agents are online, and no more are allowed")
        self.limit = limit


class AgentRegistry:
    """All agents that are online; ``max_agents`` at most, 0: any number.

    A number has one owner. A developer's own agent, whose id begins with ``dev-``, may answer it beside the
    owner, for the callers that its connection names (``set_callers``). Where no other agent has the number
    there is nobody else to answer: it then takes everybody's calls, until an owner comes.
    """

    def __init__(self, max_agents: int = 0) -> None:
        self._max_agents = max_agents
        self._agents: dict[str, Agent] = {}
        self._lines: dict[str, Line] = {}
        """By their keys."""
        self._known: OrderedDict[str, None] = OrderedDict()
        """The slugs of agents that were online."""
        self._claims: dict[str, list[str]] = {}
        """Normalised number to the slugs of the agents that added it, in the order in which they did."""
        self._callers: dict[Owner, frozenset[str]] = {}
        """Whose calls go to the developers' agents of a connection, normalised."""

    def create(self, agent_id: str, owner: Owner, configuration: Configuration, now: float) -> Agent:
        """Register an agent for a connection. A holder that went silent is displaced.

        Raises ``AgentConflict`` while the holder lives, ``TooManyAgents``, ``ValueError`` for an id without a
        letter or digit.
        """
        key = slug(agent_id)
        if not key:
            raise ValueError("agent_id must contain at least one letter or digit")
        if is_line(agent_id):
            raise ValueError(f"agent_id must not begin with {PREFIX}: lines are named so")
        held = self._agents.get(key)
        if held is not None and held.owner is not owner:
            silent_s = now - held.owner.last_heard
            if silent_s < STALE_S:
                raise AgentConflict(round(min(RETRY_S, max(1.0, STALE_S - silent_s)), 1))
            self._drop(held)
            held.owner.displace(held.agent_id, "displaced: this connection was silent and another took over")
            held = None
        if held is not None:
            held.agent_id = agent_id
            held.configuration = merged({}, configuration)
            return held
        if self._max_agents and len(self._agents) >= self._max_agents:
            raise TooManyAgents(self._max_agents)
        agent = Agent(key, agent_id, owner, merged({}, configuration), online_since=now)
        self._agents[key] = agent
        self._known[key] = None
        self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return agent

    def may_take(self, key: str, now: float) -> bool:
        """Whoever has this agent has been silent for so long that another connection may have it."""
        held = self._agents.get(key)
        return held is None or now - held.owner.last_heard >= STALE_S

    def evict(self, key: str, successor: Owner | None, reason: str) -> None:
        """It was decided at another node that ``successor`` has this agent, or line, from now on."""
        held = self.get(key)
        if held is None or held.owner is successor:
            return
        if isinstance(held, Line):
            del self._lines[key]
        else:
            self._drop(held)
        held.owner.displace(held.agent_id, reason)

    def number_owner(self, ref: str) -> Agent | None:
        """Who answers a number, developers' own agents aside."""
        claims = self._claims.get(normalise(ref), [])
        return next((self._agents[key] for key in claims if not is_dev(key)), None)

    def find(self, agent_id: str, owner: Owner) -> Agent | None:
        """An agent of this connection."""
        agent = self._agents.get(slug(agent_id))
        return agent if agent is not None and agent.owner is owner else None

    def get(self, key: str) -> Agent | None:
        """An agent by its slug, or a line by its key."""
        return self._agents.get(key) or self._lines.get(key)

    def was_known(self, key: str) -> bool:
        """An agent of this slug is online, or was."""
        return key in self._known

    def add_number(
        self, agent: Agent, ref: str, configuration: Configuration, *, ringing: bool = False
    ) -> Channel:
        """Have an agent answer a number. Raises ``NumberInUse``."""
        number = normalise(ref)
        if key_of(number) in self._lines:
            raise NumberInUse(f"a line answers {ref}; destroy that line first")
        claims = self._claims.setdefault(number, [])
        if agent.slug not in claims:
            if not is_dev(agent.slug) and not all(map(is_dev, claims)):
                holder = next(key for key in claims if not is_dev(key))
                raise NumberInUse(
                    f"agent {holder!r} answers {ref} already: remove its channel first, or add another number"
                )
            claims.append(agent.slug)
        agent.channels[number] = channel = Channel("phone", ref, merged({}, configuration), ringing)
        return channel

    def channel(self, agent: Agent, ref: str) -> Channel | None:
        return agent.channels.get(normalise(ref))

    def add_channel(self, agent: Agent, kind: str, configuration: Configuration) -> Channel:
        """A channel that has no number: one of each kind."""
        agent.channels[kind] = channel = Channel(kind, kind, merged({}, configuration))
        return channel

    def remove_number(self, agent: Agent, ref: str) -> bool:
        """False: the agent has no such number."""
        number = normalise(ref)
        channel = agent.channels.pop(number, None)
        if channel is None:
            return False
        if channel.type == "phone":
            self._give_up(agent, number)
        return True

    def set_callers(self, owner: Owner, callers: Iterable[str]) -> list[Agent]:
        """Whose calls go to the developers' agents of this connection, in place of those that it named before;
        returns these agents."""
        self._callers[owner] = frozenset(map(normalise, callers))
        return [agent for agent in self._agents.values() if agent.owner is owner and is_dev(agent.slug)]

    def answering(self, number: str, caller: str = "") -> tuple[Agent, Channel] | None:
        """Who answers a call to this number. A line goes before agents, a developer's agent of the caller before the
        number's owner, and the number before ``*``."""
        for address in (number, host_of(number)):
            line = self._lines.get(key_of(address)) if address is not None else None
            if line is not None:
                return line, Channel("line", line.number, {})
        for candidate in (normalise(number), ANY):
            claims = self._claims.get(candidate)
            if claims:
                agent = self._chosen([self._agents[key] for key in claims], normalise(caller))
                return agent, agent.channels[candidate]
        return None

    def _chosen(self, agents: list[Agent], caller: str) -> Agent:
        named = (a for a in agents if is_dev(a.slug) and caller in self._callers.get(a.owner, ()))
        owner = next((agent for agent in agents if not is_dev(agent.slug)), agents[0])
        return next(named, owner)

    def has_agents(self, owner: Owner) -> bool:
        """Or lines."""
        return any(agent.owner is owner for agent in (*self._agents.values(), *self._lines.values()))

    def leave(self, owner: Owner) -> list[Agent]:
        """A connection is gone: its agents are offline."""
        self._callers.pop(owner, None)
        gone = [agent for agent in self._agents.values() if agent.owner is owner]
        for agent in gone:
            self._drop(agent)
        lines = [line for line in self._lines.values() if line.owner is owner]
        for line in lines:
            del self._lines[line.slug]
        return [*gone, *lines]

    # --- lines --------------------------------------------------------------------------------------------

    def create_line(
        self, number: str, owner: Owner, configuration: SessionConfig | None, window_ms: int, now: float
    ) -> Line:
        """Have a connection answer a number by itself. A holder that went silent is displaced.

        Raises ``LineConflict``.
        """
        key = key_of(number)
        claims = self._claims.get(normalise(number), [])
        if not all(map(is_dev, claims)):
            raise LineConflict(f"an agent answers {number}: remove its channel first")
        held = self._lines.get(key)
        if held is not None and held.owner is not owner:
            if now - held.owner.last_heard < STALE_S:
                raise LineConflict(f"the line {number} is owned by another live connection")
            del self._lines[key]
            held.owner.displace(held.agent_id, "this connection was silent and another took the line over")
        layer = {} if configuration is None else {"config": configuration}
        line = Line(key, PREFIX + number, owner, layer, online_since=now, number=number, window_ms=window_ms)
        self._lines[key] = line
        return line

    def remove_line(self, number: str, owner: Owner) -> bool:
        """False: this connection has no such line."""
        line = self._lines.get(key_of(number))
        if line is None or line.owner is not owner:
            return False
        del self._lines[line.slug]
        return True

    def online(self) -> Iterable[Agent]:
        """Without lines."""
        return self._agents.values()

    def lines(self) -> Iterable[Line]:
        return self._lines.values()

    def overrides(self) -> dict[str, str]:
        """Which developer's agent the calls of some callers go to, by their numbers."""
        developers = [agent for agent in self._agents.values() if is_dev(agent.slug)]
        return {caller: a.slug for a in developers for caller in sorted(self._callers.get(a.owner, ()))}

    def remove(self, key: str) -> Agent | None:
        """Take an agent from its connection, which is yet to be told. None: there is none."""
        agent = self._agents.get(key)
        if agent is not None:
            self._drop(agent)
        return agent

    def _drop(self, agent: Agent) -> None:
        del self._agents[agent.slug]
        for number, channel in agent.channels.items():
            if channel.type == "phone":
                self._give_up(agent, number)

    def _give_up(self, agent: Agent, number: str) -> None:
        claims = self._claims[number]
        claims.remove(agent.slug)
        if not claims:
            del self._claims[number]
