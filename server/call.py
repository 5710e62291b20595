"""One call as the server has it: its agent, its watchers, and what each of them was told.

Its events are kept in a ring, and a connection is only a cursor into it: an agent that comes back goes on where
it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from media.ports import AudioLeg, LegListener
from media.recorder import Recorder
from pipeline.events import Event, Recorded, ToolCallsRequested, Warned
from pipeline.session import Session
from server.agents import Agent, Owner
from server.clock import Clock
from server.journal import Journal
from server.part import Part
from server.resolve import CallConfig
from server.ring import Entry, Ring
from server.wire import CallFacts
from telephony.ports import Carrier

if TYPE_CHECKING:
    from server.live import LiveAudio


class Tap(Protocol):
    """Somebody who watches a call."""

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """Take an event. False: it takes no more."""


class CallIsOver(Exception):
    """It ended before its media came."""


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
        self.config = config
        self.state = CallState.RINGING
        self.session: Session | None = None
        self.recorder: Recorder | None = None
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
        self.listener: LegListener | None = None
        """What the leg tells."""
        self.extension_window_s = 0.0
        """How long its caller may dial an extension before it begins."""
        self.behind: Callable[[Part], bool] = lambda part: False
        """Has what a part was not told and is not in memory any more read from elsewhere."""
        self.routes = 0
        """How often it was handed over."""
        self.live: LiveAudio | None = None
        """For those who listen to it; None: nobody does."""
        self.journal = Journal(facts, clock, self._tell, agent.slug)
        self.events = Ring()
        self.part = Part(facts.call_id, agent.slug, agent.agent_id, agent.owner, self)
        """Of the agent that has it."""
        self.parts = {agent.slug: self.part}
        """Of all that have had it."""
        self._taps: set[Tap] = set()
        self.first: Entry | None = None
        """How it began, as it is told to those who come later."""
        self._asked_again: set[str] = set()
        self._audio: bytes | None = None
        """Of the recording that is being told."""

    @property
    def slug(self) -> str:
        """Of the agent that has it, or what the line is known by."""
        return self.part.key

    @property
    def owner(self) -> Owner | None:
        """The connection of that; None: it is away."""
        return self.part.owner

    @owner.setter
    def owner(self, owner: Owner | None) -> None:
        self.part.owner = owner

    @property
    def undelivered(self) -> int:
        """Events that no connection of those that they are for has taken yet, about."""
        return sum(part.undelivered for part in self.parts.values())

    @property
    def call_id(self) -> str:
        return self.facts.call_id

    @property
    def is_over(self) -> bool:
        return self.state is CallState.ENDED

    def _tell(self, entry: Entry) -> None:
        if self.first is None or (entry.event == "call.started" != self.first.event):
            self.first = entry
        self.events.append(entry)
        self.part.add(entry)
        self.part.flush(self._audio)
        for tap in tuple(self._taps):
            if not tap.offer(entry.data, entry):
                self._taps.discard(tap)

    def catch_up(self, part: Part) -> bool:
        return self.behind(part)

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

    def watch(self, tap: Tap) -> None:
        """Tell a watcher of all that comes from here on; of a call's beginning, too."""
        if self.first is not None:
            tap.offer(self.first.data, self.first)
        self._taps.add(tap)

    def unwatch(self, tap: Tap) -> None:
        self._taps.discard(tap)

    def attach(self, owner: Owner) -> set[str]:
        """The agent is back, and is told all that it missed, in order. Returns the batches of tools that it was told of
        before, and has not answered in full."""
        if self.grace is not None:
            self.grace.cancel()
            self.grace = None
        self.modern = owner.modern
        if self.part.attach(owner) and self.session is not None and not self.is_over:
            self.session.guarded(self.session.saying.announced_again)
        owed = self.owed()
        self.part.flush()
        return owed

    # --- handed over --------------------------------------------------------------------------------------

    def extend(self, extension: str | None) -> None:
        """Its caller has dialled an extension, or none, before it begins."""
        self.facts = replace(self.facts, extension=extension)
        self.journal.hand_over(self.facts, self.slug)

    def pass_to(self, agent: Agent, facts: CallFacts, config: CallConfig) -> None:
        """Another agent has the call from now on: what happens is told to it."""
        for handle in (self.grace, self.asking_again):
            if handle is not None:
                handle.cancel()
        self.grace = self.asking_again = None
        self.part.over = True
        known = self.parts.get(agent.slug)
        if known is not None:
            known.begin_again(agent.agent_id, agent.owner)
        self.part = known or Part(facts.call_id, agent.slug, agent.agent_id, agent.owner, self)
        self.parts[agent.slug] = self.part
        self.facts, self.config = facts, config
        self.configured = True  # What the hand-over has said is its own.
        self.modern = agent.owner.modern
        self.routes += 1
        self.journal.hand_over(facts, agent.slug)

    # --- tools that the agent owes ------------------------------------------------------------------------

    def owed(self) -> set[str]:
        """The batches of tools that the agent was told of and has not answered in full."""
        if self.session is None:
            return set()
        waiting = {entry.msg_id for entry in self.part.waiting()}
        return {batch.msg_id for batch in self.session.answering.unanswered_tools()} - waiting

    def ask_again(self, owed: set[str]) -> None:
        """Tell the agent once more of those of these batches that are still not answered; of each only once."""
        if self.session is None or self.owner is None or self.state is not CallState.LIVE:
            return
        for batch in self.session.answering.unanswered_tools():
            if batch.msg_id in owed - self._asked_again:
                self._asked_again.add(batch.msg_id)
                self.journal.append(ToolCallsRequested(batch.turn, batch.msg_id, batch.sent))
