"""How a call begins, for each agent that has it: its session is told, its engines get warm, and its greeting is said.

Like the session it acts and does not decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from pipeline.answering import Answering
from pipeline.calltasks import CallTasks
from pipeline.config import Engines, SessionConfig
from pipeline.events import Event, SessionCreated, SessionReady
from pipeline.message import Message
from pipeline.saying import Saying
from pipeline.telling import Telling

GREET_S = 5.0
"""How long a greeting that lets the other side speak first waits for that."""
WARM_S = 5.0
"""How long a call waits for its engines to get warm, until it counts as ready all the same."""


class Opened(Protocol):
    """The call, as far as that is concerned."""

    @property
    def ended(self) -> bool: ...

    def emit(self, event: Event) -> None: ...

    def moved(self) -> None:
        """Something has changed: do what is due."""

    def guarded(self, act: Callable[[], None]) -> None:
        """Run what the loop calls: a bug in it ends the call."""

    def answer_owed(self) -> None:
        """Have the call's own mind answer what the caller has said last, where nothing was heard in answer to it."""


class Opening:
    """Of one call."""

    def __init__(
        self,
        call: Opened,
        answering: Answering,
        saying: Saying,
        telling: Telling,
        config: SessionConfig,
        ids: Callable[[], str],
    ) -> None:
        self._call = call
        self._answering = answering
        self._saying = saying
        self._telling = telling
        self._config = config
        self._ids = ids
        self._tasks: CallTasks | None = None
        self._warming: list[asyncio.Task[None]] = []
        self._late: asyncio.TimerHandle | None = None

    def change(self, config: SessionConfig) -> None:
        """Greet otherwise from now on."""
        self._config = config

    # --- its engines --------------------------------------------------------------------------------------

    def begin(self, tasks: CallTasks, engines: Engines) -> None:
        """The call has begun."""
        self._tasks = tasks
        self.connected(engines)

    def connected(self, engines: Engines) -> None:
        """Tell of the session, and when its engines are warm."""
        self._call.emit(SessionCreated(self._ids()))
        self._telling.look_whose_move()
        if self._tasks is not None:
            tasks = self._tasks
            self.stop_warming()
            wanted = [engine for engine in (engines.stt, engines.llm, engines.tts) if engine is not None]
            warming = [tasks.create_task(engine.warm(), name="warm up") for engine in wanted]
            self._warming = [*warming, tasks.create_task(self._tell_ready(warming), name="tell ready")]

    async def _tell_ready(self, warming: list[asyncio.Task[None]]) -> None:
        if warming:
            await asyncio.wait(warming, timeout=WARM_S)
        if not self._call.ended:
            self._call.emit(SessionReady())

    def stop_warming(self) -> None:
        for task in self._warming:
            task.cancel()

    # --- its greeting -------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """The other side is to speak first, and the greeting is the answer to that."""
        return self._late is not None

    def greet_first(self) -> None:
        """Say the first words of the call, or let the other side speak first."""
        if self._config.greeting and self._config.greet_after_turn:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(GREET_S, self._call.guarded, self.greet_now)
        else:
            self.greet_now()

    def greet(self) -> None:
        """Say the greeting of an agent that has taken the call over; where it has none, its language model answers what
        the caller has said last, if it knows that."""
        self.greet_now()
        if not self._config.greeting:
            self._call.answer_owed()

    def greet_now(self) -> None:
        """Whoever was to speak first."""
        self.stop_waiting()
        if not self._call.ended and not self._answering.paused:
            self._answering.readiness.greet(self._say, prepare=bool(self._config.greeting))
            self._call.moved()

    def stop_waiting(self) -> None:
        """Nobody is waited for any more."""
        self.close()
        self._late = None

    def close(self) -> None:
        """The call is over."""
        if self._late is not None:
            self._late.cancel()

    def _say(self) -> None:
        config = self._config
        if self._answering.paused or not config.greeting:
            return  # Somebody took over while the agent got ready.
        text = self._answering.briefing.fill(config.greeting)
        greeting = Message(f"msg_{self._ids()[:12]}", text, known=True)
        greeting.interruptible = config.greeting_interruptible
        self._saying.say(greeting)
