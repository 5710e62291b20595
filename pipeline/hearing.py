"""Who hears whom: mute, where the user is not listened to, and hold, where neither side hears the other.

Like the session it acts and does not decide.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from media.music import HoldMusic
from pipeline import turns
from pipeline.events import HeldBy, MutedBy
from pipeline.listening import Listening
from pipeline.playing import Playing
from pipeline.rules import Rules


class Heard(Protocol):
    """The call, as far as that is concerned."""

    @property
    def ended(self) -> bool: ...

    def receive(self, event: turns.Input, now: float) -> None:
        """Tell the turn machine, and do what it says."""

    def moved(self) -> None:
        """Something has changed: do what is due."""


class Hearing:
    """Of one call."""

    def __init__(
        self, call: Heard, machine: turns.TurnMachine, ears: Listening, playing: Playing, rules: Rules
    ) -> None:
        self._call = call
        self._machine = machine
        self._ears = ears
        self._playing = playing
        self._rules = rules
        self._loop = asyncio.get_running_loop()
        self._held_by: set[HeldBy] = set()

    @property
    def held_by(self) -> frozenset[HeldBy]:
        """Who has the call on hold; empty: it is not."""
        return frozenset(self._held_by)

    def mute(self, by: MutedBy) -> None:
        """Do not listen to the user: what he says is understood, and told by ``unmute``. Twice is once."""
        if not self._call.ended and not self._machine.muted:
            self._turn_to(turns.Mute(by))

    def unmute(self) -> None:
        """Listen to the user again."""
        if not self._call.ended and self._machine.muted:
            self._rules.listen_again("muted")
            self._turn_to(turns.Unmute())

    def hold(self, by: HeldBy, music: HoldMusic | None) -> None:
        """Let neither side hear the other, and the caller music. What the bot was saying goes on after ``unhold``.
        Where both the agent and a lost network hold the call, both must let go."""
        if self._call.ended or by in self._held_by:
            return
        self._held_by.add(by)
        if not self._machine.held:
            self._turn_to(turns.Hold(by))
            self._ears.listen(on=False)
        if by == "agent":
            self._playing.hold(music)
            self._call.moved()

    def unhold(self, by: HeldBy) -> None:
        """Let the conversation go on."""
        if self._call.ended or by not in self._held_by:
            return
        self._held_by.remove(by)
        if by == "agent":
            self._playing.unhold(self._loop.time())
        if not self._held_by:
            self._ears.listen(on=True)
            self._rules.listen_again("held")
            self._turn_to(turns.Unhold())

    def _turn_to(self, event: turns.Input) -> None:
        now = self._loop.time()
        self._playing.progress(now)
        self._ears.flush()
        self._call.receive(event, now)
        self._call.moved()
