"""What one connection has registered, as the commands that would register it anew: what a node that comes later is told.

Pure.
"""

from __future__ import annotations

from typing import Any

from server import protocol as wire
from server.agents import slug
from telephony.numbers import normalise

Raw = dict[str, Any]


class Registrations:
    """Of one connection. Each command is noted when it was carried out."""

    def __init__(self) -> None:
        self._agents: dict[str, Raw] = {}
        self._channels: dict[tuple[str, str], Raw] = {}
        self._lines: dict[str, Raw] = {}
        self._callers: Raw | None = None

    def note(self, command: wire.AnyCommand, fields: Raw) -> bool:
        """``fields``: the command as it came. False: it registers nothing."""
        raw = {key: value for key, value in fields.items() if key != "ack"}
        match command:
            case wire.AgentCreate():
                self._agents[slug(command.agent_id)] = raw
            case wire.AgentConfigure():
                self._merge(self._agents, slug(command.agent_id), raw)
            case wire.ChannelAdd():
                self._channels[slug(command.agent_id), _place(command.type, command.ref)] = raw
            case wire.ChannelConfigure():
                self._merge(self._channels, (slug(command.agent_id), normalise(command.ref)), raw)
            case wire.ChannelRemove():
                self._channels.pop((slug(command.agent_id), normalise(command.ref)), None)
            case wire.LineCreate():
                self._lines[normalise(command.number)] = raw
            case wire.LineDestroy():
                self._lines.pop(normalise(command.number), None)
            case wire.DevConfig():
                self._callers = raw
            case wire.SessionPause() | wire.SessionResume():
                # Pauses belong to the agent: the registry of calls has them. That of one call concerns nobody else.
                return command.session_id is None
            case _:
                return False
        return True

    def drop(self, key: str) -> None:
        """An agent, by its slug, is not of this connection any more."""
        self._agents.pop(key, None)
        self._channels = {place: raw for place, raw in self._channels.items() if place[0] != key}

    def drop_number(self, key: str, ref: str) -> None:
        """An agent, by its slug, does not answer a number any more."""
        self._channels.pop((key, normalise(ref)), None)

    def all(self) -> list[Raw]:
        """In the order in which they are to be carried out."""
        last = [] if self._callers is None else [self._callers]
        return [*self._agents.values(), *self._channels.values(), *self._lines.values(), *last]

    @property
    def agents(self) -> dict[str, str]:
        """The ids of its agents, by their slugs."""
        return {key: str(raw["agent_id"]) for key, raw in self._agents.items()}

    @staticmethod
    def _merge(table: dict[Any, Raw], key: Any, raw: Raw) -> None:
        if key in table:
            table[key] = {**table[key], **raw, "event": table[key]["event"]}


def _place(kind: str, ref: str | None) -> str:
    return kind if kind != "phone" or ref is None else normalise(ref)
