"""What is due in a call, now and next: one timer for all of it.

Like the session it acts and does not decide.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from pipeline import turns
from pipeline.answering import Answering
from pipeline.calltasks import CallTasks
from pipeline.playing import Playing
from pipeline.presence import Presence
from pipeline.rules import Rules
from pipeline.speaking import Speaking
from pipeline.speech import SpeechQueue
from pipeline.taping import Taping
from pipeline.telling import Telling


class Driven(Protocol):
    """The call, as far as that is concerned."""

    @property
    def ended(self) -> bool: ...

    def guarded(self, act: Callable[[], None]) -> None:
        """Run what the loop calls: a bug in it ends the call."""

    def tick(self, now: float) -> None:
        """A deadline of the turn machine has come."""


class Due:
    """Of one call. Nothing is, before ``begin``."""

    def __init__(
        self,
        call: Driven,
        machine: turns.TurnMachine,
        speech: SpeechQueue,
        speaking: Speaking,
        playing: Playing,
        answering: Answering,
        rules: Rules,
        presence: Presence,
        telling: Telling,
        taping: Taping,
    ) -> None:
        self._call = call
        self._machine = machine
        self._speech = speech
        self._speaking = speaking
        self._playing = playing
        self._answering = answering
        self._rules = rules
        self._presence = presence
        self._telling = telling
        self._taping = taping
        self._loop = asyncio.get_running_loop()
        self._tasks: CallTasks | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._advancing = False
        self._quiet = asyncio.Event()
        """Nothing is being said, nor waits to be; or the call is over."""

    def begin(self, tasks: CallTasks) -> None:
        self._tasks = tasks

    def close(self) -> None:
        """The call is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._quiet.set()

    def advance(self) -> None:
        """Do all that is due now, and set the one timer for what comes next."""
        if self._call.ended or self._advancing or self._tasks is None:
            return
        self._advancing = True
        try:
            now = self._loop.time()
            deadline = self._machine.deadline
            if deadline is not None and now >= deadline:
                self._call.tick(now)
            self._answering.tick(now)
            self._rules.keep(now, waits=self._presence.awaited)
            while not self._call.ended:
                self._presence.bridge(now)
                self._telling.look(now)
                job = self._speaking.next(self._tasks)
                if job is not None:
                    self._telling.begun(job, now)
                self._taping.play(now, free=self._playing.quiet)
                self._playing.send(now, floor_free=self._machine.floor_free and not self._taping.sounds)
                if not self._playing.progress(now):
                    break
            self.look(now)
        finally:
            self._advancing = False
        self._presence.keep(now)
        self._set_timer(now, self._tasks)

    def look(self, now: float) -> None:
        """All that is due has been done: tell how things stand."""
        if not self._call.ended:
            self._telling.look(now)
            self._telling.look_whose_move()
            if self._speech.empty:
                self._quiet.set()
            else:
                self._quiet.clear()

    async def said(self, within_s: float) -> None:
        """Wait until the caller has heard all that is being said, and waits to be; not longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._quiet.wait()

    def _set_timer(self, now: float, tasks: CallTasks) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._call.ended:
            return
        self._rules.note(now, waits=self._presence.awaited)
        times = (
            self._machine.deadline,
            self._playing.deadline,
            self._answering.deadline,
            self._presence.deadline,
            self._rules.deadline,
        )
        due = min((t for t in times if t is not None), default=None)
        if due is not None:
            self._timer = self._loop.call_at(
                max(due, now + 0.001), self._on_timer, context=tasks.context.copy()
            )

    def _on_timer(self) -> None:
        self._timer = None
        self._call.guarded(self.advance)
