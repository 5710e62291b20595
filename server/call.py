"""One call as the server has it: its agent, its watchers, and what each of them was told.

Its events are kept in a ring, and a connection is only a cursor into it: an agent that comes back goes on where
it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import orjson
import structlog

from media.ports import AudioLeg
from media.recorder import Recorder
from pipeline.events import Event, Recorded, ToolCallsRequested, Warned
from pipeline.session import Session
from server.agents import Agent, Owner
from server.clock import Clock
from server.journal import Journal
from server.protocol import ServerWarning, WarningCode, to_json
from server.resolve import CallConfig
from server.ring import Entry, Ring
from server.wire import CallFacts
from telephony.ports import Carrier

log = structlog.get_logger(__name__)


class Tap(Protocol):
    """Somebody who watches a call."""

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """Take an event. False: it takes no more."""


class CallState(StrEnum):
    DIALING = "dialing"
    """The other side was called, and has not answered."""
    RINGING = "ringing"
    """It is to be answered, or the carrier was told to open the media stream."""
    CONNECTING = "connecting"
    """Its media stream is open and has yet to say so."""
    LIVE = "live"
    ENDED = "ended"


class Call:
    """One call, from ringing to its end."""

    def __init__(self, facts: CallFacts, agent: Agent, config: CallConfig, clock: Clock) -> None:
        self.facts = facts
        self.slug = agent.slug
        self.config = config
        self.state = CallState.RINGING
        self.session: Session | None = None
        self.recorder: Recorder | None = None
        self.owner: Owner | None = agent.owner
        self.modern = agent.owner.modern
        self.configured = False
        """The first layer of its configuration is its own."""
        self.no_media: asyncio.TimerHandle | None = None
        self.grace: asyncio.TimerHandle | None = None
        self.asking_again: asyncio.TimerHandle | None = None
        self.leg: AudioLeg | None = None
        self.carrier: Carrier | None = None
        """The phone network that it is on."""
        self.overhears: Callable[[Event], None] | None = None
        """Is told what happens in its conversation."""
        self.given_up: Callable[[], None] | None = None
        """What else is to be done when it is over before it began: its carrier may have to know."""
        self.journal = Journal(facts, clock, self._tell)
        self.events = Ring()
        self._taps: set[Tap] = set()
        self._first: Entry | None = None
        self._cursor = 0
        """The last event that the agent's connection was given, or that the agent says it has."""
        self._asked_again: set[str] = set()
        self._audio: bytes | None = None
        """Of the recording that is being told."""

    @property
    def call_id(self) -> str:
        return self.facts.call_id

    @property
    def is_over(self) -> bool:
        return self.state is CallState.ENDED

    def _tell(self, entry: Entry) -> None:
        if self._first is None or (entry.event == "call.started" != self._first.event):
            self._first = entry
        self.events.append(entry)
        self._flush()
        for tap in tuple(self._taps):
            if not tap.offer(entry.data, entry):
                self._taps.discard(tap)

    def _flush(self) -> None:
        """Hand on what waits, as far as the agent's connection takes it."""
        if self.owner is None:
            return
        for entry in self.events.since(self._cursor):
            data = entry.data
            if self._audio is not None and entry.event == "call.recording":
                data = b'%b,"audio":"%b"}' % (data[:-1], self._audio)
            if not self.owner.offer(data, entry):
                return
            self._cursor = entry.seq

    def takes(self, size: int) -> bool:
        """Its agent is there, and a message of so many bytes is not too much for its connection."""
        return self.owner is not None and self.owner.has_room(size)

    def tell_recording(self, recorded: Recorded, audio: bytes | None) -> None:
        """Tell of the recording; the agent's connection of today is told with its audio (base64), which is not kept."""
        self._audio = audio
        try:
            self.journal.append(recorded)
        finally:
            self._audio = None

    def recording_failed(self, text: str) -> None:
        """What is told of it once the call is over: nothing."""
        if not self.is_over:
            self.journal.append(Warned(None, "RECORDING_FAILED", text))

    @property
    def undelivered(self) -> int:
        """Events that no connection has taken yet."""
        return self.events.last_seq - self._cursor

    def untold(self, owner: Owner) -> bool:
        """Some event of the call has not reached the agent that ``owner`` connects."""
        cursor, last_seq = (owner.resume or {}).get(self.call_id), self.events.last_seq
        return self.undelivered > 0 if cursor is None or cursor > last_seq else cursor < last_seq

    def not_sent(self, entry: Entry) -> None:
        """A connection took this event, and could not send it any more: it is told again from there."""
        self._cursor = min(self._cursor, entry.seq - 1)

    def watch(self, tap: Tap) -> None:
        """Tell a watcher of all that comes from here on; of a call's beginning, too."""
        if self._first is not None:
            tap.offer(self._first.data, self._first)
        self._taps.add(tap)

    def unwatch(self, tap: Tap) -> None:
        self._taps.discard(tap)

    def attach(self, owner: Owner) -> set[str]:
        """The agent is back, and is told all that it missed, in order: from where it says that it was, else
        from what was given to its last connection, with the call announced once more. Returns the batches of
        tools that it was told of before, and has not answered in full."""
        if self.grace is not None:
            self.grace.cancel()
            self.grace = None
        self.owner = owner
        self.modern = owner.modern
        if self._first is None:
            return set()
        again = not self._follow(owner)
        owed = self.owed()
        lost = self.events.lost_since(self._cursor)
        if again and (self._cursor or lost):
            owner.offer(_announced_again(self._first))
            if self.session is not None and not self.is_over:
                self.session.guarded(self.session.saying.announced_again)
        if lost:
            text = f"{lost} events from seq {self._cursor + 1} on are no longer kept: the agent was away too long"
            self._warn(owner, WarningCode.EVENTS_LOST, text)
        self._flush()
        return owed

    def _follow(self, owner: Owner) -> bool:
        """Go to where the agent was, if it says so."""
        cursor = (owner.resume or {}).pop(self.call_id, None)
        if cursor is None:
            return False
        last_seq = self.events.last_seq
        if cursor > last_seq:
            text = f"resume names seq {cursor} of a call whose last event is {last_seq}: give the seq of an event"
            self._warn(owner, WarningCode.CURSOR_UNKNOWN, text)
            return False
        self._cursor = cursor
        return True

    def _warn(self, owner: Owner, code: WarningCode, text: str) -> None:
        log.warning("call.not_resumed", call_id=self.call_id, code=code.value, told=text)
        agent_id, call_id = self.facts.agent_id, self.call_id
        owner.offer(to_json(ServerWarning(agent_id=agent_id, call_id=call_id, code=code, warning=text)))

    def owed(self) -> set[str]:
        """The batches of tools that the agent was told of and has not answered in full."""
        if self.session is None:
            return set()
        waiting = {entry.msg_id for entry in self.events.since(self._cursor)}
        return {batch.msg_id for batch in self.session.answering.unanswered_tools()} - waiting

    def ask_again(self, owed: set[str]) -> None:
        """Tell the agent once more of those of these batches that are still not answered; of each only once."""
        if self.session is None or self.owner is None or self.state is not CallState.LIVE:
            return
        for batch in self.session.answering.unanswered_tools():
            if batch.msg_id in owed - self._asked_again:
                self._asked_again.add(batch.msg_id)
                self.journal.append(ToolCallsRequested(batch.turn, batch.msg_id, batch.sent))


def _announced_again(first: Entry) -> bytes:
    """``call.started``, or what else a call began with, for an agent that may have heard it on an earlier
    connection."""
    started = orjson.loads(first.data)
    started["metadata"] = {**(started.get("metadata") or {}), "resumed": True}
    return orjson.dumps(started)
