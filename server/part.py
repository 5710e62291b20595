"""What one agent, or line, has of a call: which of its events are for it, and how far its connection was told them.

A call may be handed over. Its events go on in one log, each of them for whoever has the call at that moment; a connection
is a cursor into those that are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import orjson
import structlog

from server.agents import Owner
from server.protocol import ServerWarning, WarningCode, to_json
from server.ring import Entry, Ring

logger = structlog.get_logger(__name__)


class Log(Protocol):
    """The call, as far as its events are concerned."""

    @property
    def events(self) -> Ring: ...

    def catch_up(self, part: Part) -> bool:
        """Have what went out of memory read from elsewhere, and told (``take``, ``read``). False: there is nowhere."""


class Part:
    """Of one owner. ``key``: the slug of an agent, or that of a line; ``agent_id``: as its process spells it."""

    def __init__(self, call_id: str, key: str, agent_id: str, owner: Owner | None, log: Log) -> None:
        self.call_id = call_id
        self.key = key
        self.agent_id = agent_id
        self.owner = owner
        self._log = log
        self._first: Entry | None = None
        self._from = self._begun = self._cursor = log.events.last_seq
        self.last_seq = 0
        """Of its events; 0: there is none yet."""
        self.over = False
        """Somebody else has the call now."""
        self._reading_for: Owner | None = None
        """The connection that is told of what went out of memory: the rest waits behind that."""
        self._followed: Owner | None = None
        """The connection that has said which event it has, and was believed."""

    def begin_again(self, agent_id: str, owner: Owner) -> None:
        """It gets back a call that it had handed over."""
        self.agent_id, self.owner = agent_id, owner
        self.over = False
        self._begun = self._log.events.last_seq

    def add(self, entry: Entry) -> None:
        """An event is for it."""
        first = self._first
        earlier = first is None or first.event != "call.started" or first.seq <= self._begun
        if first is None or (entry.event == "call.started" and earlier):
            self._first = entry
        self.last_seq = entry.seq

    def flush(self, audio: bytes | None = None) -> None:
        """Hand on what waits, as far as its connection takes it. ``audio``: of the recording that is being told."""
        if self.owner is None or self._reading_for is self.owner:
            return
        for entry in self.waiting():
            data = entry.data
            if audio is not None and entry.event == "call.recording":
                data = b'%b,"audio":"%b"}' % (data[:-1], audio)
            if not self.owner.offer(data, entry):
                return
            self._cursor = entry.seq

    def waiting(self) -> Iterator[Entry]:
        """What its connection was not given yet."""
        return (entry for entry in self._log.events.since(self._cursor) if entry.key == self.key)

    @property
    def undelivered(self) -> int:
        """How many events that is, about; 0: none."""
        return max(0, self.last_seq - self._cursor)

    def untold(self, owner: Owner) -> bool:
        """Some event of it has not reached the agent that ``owner`` connects."""
        cursor = (owner.resume or {}).get(self.call_id)
        if cursor is None or cursor > self._log.events.last_seq or self._followed is owner:
            return self.undelivered > 0
        return cursor < self.last_seq

    def not_sent(self, entry: Entry) -> None:
        """A connection took this event, and could not send it any more: it is told again from there."""
        self._cursor = min(self._cursor, entry.seq - 1)

    # --- a connection comes back --------------------------------------------------------------------------

    def attach(self, owner: Owner) -> bool:
        """Its agent is back, and is about to be told (``flush``) all that it missed: from where it says that it was, else
        from what was given to its last connection, with the call announced once more, which makes this True."""
        self.owner = owner
        if self._first is None:
            return False
        named = self._follow(owner)
        self._reading_for = None
        again = not named and (self._cursor > self._begun or self.lost > 0)
        if again:
            owner.offer(_announced_again(self._first))
        if self.lost:
            if self._log.catch_up(self):
                self._reading_for = owner
            else:
                self._lose(owner, "are no longer kept: the agent was away too long")
        return again

    # --- what went out of memory --------------------------------------------------------------------------

    @property
    def cursor(self) -> int:
        """The last event that its connection was given."""
        return self._cursor

    @property
    def lost(self) -> int:
        """Events that it was not given and that are not in memory any more."""
        return self._log.events.lost_since(max(self._cursor, self._from))

    def take(self, entries: Iterable[Entry], upto: int) -> bool:
        """What was read of its events, and how far. False: its connection takes no more."""
        owner = self.owner
        for entry in entries:
            if owner is None or not owner.offer(entry.data, entry):
                return False
            self._cursor = entry.seq
        self._cursor = max(self._cursor, upto)
        return True

    def read(self, owner: Owner, why: str) -> None:
        """All was read that there is, for this connection; ``why`` not all of it, empty: it was."""
        if self._reading_for is not owner:
            return  # It came back once more meanwhile.
        self._reading_for = None
        if why and self.lost:
            self._lose(owner, why)
        self.flush()

    def _lose(self, owner: Owner, why: str) -> None:
        self._warn(owner, WarningCode.EVENTS_LOST, f"{self.lost} events from seq {self._cursor + 1} on {why}")

    def _follow(self, owner: Owner) -> bool:
        """Go to where the agent was, if it says so; once for each connection."""
        cursor = (owner.resume or {}).get(self.call_id)
        if cursor is None or self._followed is owner:
            return False
        last_seq = self._log.events.last_seq
        if cursor > last_seq:
            text = f"resume names seq {cursor} of a call whose last event is {last_seq}: give the seq of an event"
            self._warn(owner, WarningCode.CURSOR_UNKNOWN, text)
            return False
        self._followed = owner
        self._cursor = cursor
        return True

    def _warn(self, owner: Owner, code: WarningCode, text: str) -> None:
        logger.warning("call.not_resumed", call_id=self.call_id, code=code.value, told=text)
        owner.offer(
            to_json(ServerWarning(agent_id=self.agent_id, call_id=self.call_id, code=code, warning=text))
        )


def _announced_again(first: Entry) -> bytes:
    """``call.started``, or what else a call began with, for an agent that may have heard it on an earlier
    connection."""
    started = orjson.loads(first.data)
    started["metadata"] = {**(started.get("metadata") or {}), "resumed": True}
    return orjson.dumps(started)
