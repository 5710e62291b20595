"""Answers wait here until the agent has got ready for them.

Like the session it acts and does not decide: ``pipeline.preparing`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.events import Event, LlmBefore, PreparingTimeout, TurnRef
from pipeline.preparing import Barrier, Opening, Preparing


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

    def __init__(
        self, call: Prepared, config: Preparing | None, wanted: Callable[[], bool], opening_ms: int = 0
    ) -> None:
        self._call = call
        self._wanted = wanted
        self._loop = asyncio.get_running_loop()
        self._barrier = Barrier(config)
        self._waiting: _Waiting | None = None
        """What goes on when the agent is ready."""
        self._opening = Opening(opening_ms)
        self._greeting: Callable[[], None] | None = None
        """What goes on when the call's opening is over, and the agent is ready."""

    def change(self, config: Preparing | None) -> None:
        """Wait otherwise from now on."""
        self._barrier.config = config

    def greet(self, then: Callable[[], None], *, prepare: bool) -> None:
        """The call begins: do this when its agent has configured it, or was waited for in vain. ``prepare``: there is
        a greeting already, for which the agent gets ready meanwhile."""
        self._greeting = then
        if not self._barrier.away:
            self._opening.begin(self._loop.time())
        if prepare:
            self._prepare(None, self._prepared)
        else:
            self._prepared()

    def opened(self) -> None:
        """The agent has configured the call, or speaks by itself: its greeting need not wait for that."""
        if self._opening.close():
            self._prepared()

    def _prepared(self) -> None:
        """One of the two that a greeting waits for is over."""
        if self._greeting is None or self._opening.deadline is not None or self._waiting is not None:
            return
        then, self._greeting = self._greeting, None
        then()

    def prepare(self, turn: TurnRef | None, then: Callable[[], None]) -> None:
        """Do this as soon as the agent is ready, or was waited for in vain; without a turn it is the greeting. An
        earlier wait is over with this one."""
        self.opened()
        self._go_on()
        self._prepare(turn, then)

    def _prepare(self, turn: TurnRef | None, then: Callable[[], None]) -> None:
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
        times = (self._barrier.deadline, self._opening.deadline)
        return min((at for at in times if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Wait no longer, where that is due."""
        if self._opening.tick(now):
            self._prepared()
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
        self.opened()
        self._go_on()

    def agent_back(self) -> None:
        self._barrier.agent_back()

    def close(self) -> None:
        """Nobody wants any more what waits."""
        self._waiting = self._greeting = None
        self._opening.close()
        self._barrier.drop()
