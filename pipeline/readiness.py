"""Answers wait here until the agent has got ready for them.

Like the session it acts and does not decide: ``pipeline.preparing`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.events import Event, LlmBefore, PreparingTimeout, TurnRef
from pipeline.preparing import Barrier, Preparing


class Prepared(Protocol):
    """The call, as far as that is concerned."""

    def guarded(self, act: Callable[[], None]) -> None:
        """Run what the loop calls: a bug in it ends the call."""

    def emit(self, event: Event) -> None: ...

    def moved(self) -> None:
        """Something has changed: do what is due."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    turn: TurnRef | None
    then: Callable[[], None]


class Readiness:
    """Of the agent of one call. ``wanted``: there is a language model that it gets ready for."""

    def __init__(self, call: Prepared, config: Preparing | None, wanted: Callable[[], bool]) -> None:
        self._call = call
        self._wanted = wanted
        self._loop = asyncio.get_running_loop()
        self._barrier = Barrier(config)
        self._waiting: _Waiting | None = None
        """What goes on when the agent is ready."""

    def change(self, config: Preparing | None) -> None:
        """Wait otherwise from now on."""
        self._barrier.config = config

    def prepare(self, turn: TurnRef | None, then: Callable[[], None]) -> None:
        """Do this as soon as the agent is ready, or was waited for in vain; without a turn it is the greeting."""
        self._go_on()  # An earlier wait is over with this one.
        number = turn.turn_id if turn is not None else 0
        if not self._wanted() or not self._barrier.begin(number, self._loop.time()):
            then()
            return
        self._waiting = _Waiting(turn, then)
        self._call.emit(LlmBefore(turn))
        self._loop.call_soon(self._call.guarded, self._call.moved)

    async def wait(self, turn: TurnRef) -> None:
        """An answer is to be made."""
        ready = asyncio.Event()
        self.prepare(turn, ready.set)
        mine = self._waiting
        try:
            await ready.wait()
        finally:
            if mine is not None and self._waiting is mine:
                self.close()

    def ready(self, turn: int | None) -> None:
        """The agent has changed what it wanted to change."""
        if self._barrier.ready(turn):
            self._go_on()

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do."""
        return self._barrier.deadline

    def tick(self, now: float) -> None:
        """Wait no longer, where that is due."""
        missed = self._barrier.tick(now)
        if missed is None:
            return
        if missed.told and self._waiting is not None:
            turn = self._waiting.turn
            self._call.emit(PreparingTimeout(turn, missed.waited_ms, missed.budget_ms))
        self._go_on()

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.then()

    def agent_away(self) -> None:
        """The agent's connection is lost; it may come back."""
        self._barrier.agent_away()
        self._go_on()

    def agent_back(self) -> None:
        self._barrier.agent_back()

    def close(self) -> None:
        """Nobody wants any more what waits."""
        self._waiting = None
        self._barrier.drop()
