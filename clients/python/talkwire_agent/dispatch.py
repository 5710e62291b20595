"""Calls handlers, so that none has to wait for another.

For one call, a handler is given the events one after another, in their order. Different handlers, and the
same handler for different calls, do not wait for each other. Turn signals (``eager.turn``, ``turn.end``) do not
wait at all: what the user says now matters more than what is still being made for what he said before. Nor does
``llm.before``, for the server waits for its handlers.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from talkwire_agent.base import Event
from talkwire_agent.handlers import Handlers, Registered

log = logging.getLogger("talkwire_agent")

FAILED = "handler %s of %s failed"
AT_ONCE = frozenset({"eager.turn", "turn.end", "llm.before"})

HANDLED: contextvars.ContextVar[Event | None] = contextvars.ContextVar("talkwire_event", default=None)
"""The event whose handler is running."""

OnError = Callable[[Exception, Registered, Event, Any], None]


class Run:
    """A handler, and what it is called with."""

    def __init__(
        self, registered: Registered, event: Event, call: Any, on_error: OnError, done: Callable[[], None]
    ) -> None:
        self._registered = registered
        self._event = event
        self._call = call
        self._on_error = on_error
        self._done = done

    def begin(self) -> Awaitable[object] | None:
        """Call the handler. What it leaves to be awaited is returned; None: that was all."""
        token = HANDLED.set(self._event)
        try:
            result = self._registered(self._event, self._call)
        except Exception as error:
            log.exception(FAILED, self._registered.name, self._event.event)
            self._failed(error)
            return None
        finally:
            HANDLED.reset(token)
        if inspect.isawaitable(result):
            return cast(Awaitable[object], result)
        self._done()
        return None

    async def finish(self, rest: Awaitable[object]) -> None:
        """Await what ``begin`` left. In a task of its own: it sets the context."""
        HANDLED.set(self._event)
        try:
            await rest
        except Exception as error:
            log.exception(FAILED, self._registered.name, self._event.event)
            self._failed(error)
        else:
            self._done()

    def _failed(self, error: Exception) -> None:
        self._on_error(error, self._registered, self._event, self._call)
        self._done()


class Lane:
    """The runs of one handler for one call."""

    def __init__(self, spawn: Callable[[Any], object]) -> None:
        self._spawn = spawn
        self._waiting: deque[Run] = deque()
        self._busy = False

    def push(self, run: Run) -> None:
        if self._busy:
            self._waiting.append(run)
        elif (rest := run.begin()) is not None:
            self._busy = True
            self._spawn(self._drain(run, rest))

    async def _drain(self, run: Run, rest: Awaitable[object]) -> None:
        try:
            await run.finish(rest)
            while self._waiting:
                run = self._waiting.popleft()
                following = run.begin()
                if following is not None:
                    await run.finish(following)
        finally:
            self._busy = False


class Lanes(dict[Registered, Lane]):
    """Those of one call; or of the events that concern none."""


class Dispatcher:
    """``spawn`` runs a coroutine as a task; ``on_error`` is told of each handler that raised."""

    def __init__(self, spawn: Callable[[Any], object], on_error: OnError) -> None:
        self._spawn = spawn
        self._on_error = on_error

    def fire(
        self, event: Event, call: Any, lanes: Lanes, heard_on: Sequence[Handlers], then: Callable[[], None]
    ) -> None:
        """Call all handlers of an event; ``then`` is called when all of them are done with it."""
        found = [registered for place in heard_on for registered in place.handlers_of(event.event)]
        left = len(found)
        if not left:
            then()
            return

        def done() -> None:
            nonlocal left
            left -= 1
            if not left:
                then()

        for registered in found:
            run = Run(registered, event, call, self._on_error, done)
            if event.event in AT_ONCE:
                Lane(self._spawn).push(run)
            else:
                lanes.setdefault(registered, Lane(self._spawn)).push(run)


async def settled(tasks: set[asyncio.Task[None]], within_s: float) -> None:
    """Wait for handlers that are still running, then end them."""
    if tasks:
        await asyncio.wait(tasks, timeout=within_s)
    for task in tasks:
        task.cancel()
