"""The tasks of one call, whoever's news they are begun by."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class CallTasks(asyncio.TaskGroup):
    """A group whose tasks have what was bound where it was made: the id of the call, for the log.

    A task has the context of whoever begins it, and that may be the tick of a detector, a recogniser's answer or the
    request of a supervisor: another call's, or nobody's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.context = copy_context()
        """For the call's timers, too."""

    def create_task(  # type: ignore[override]  # the type of what it returns is that of the coroutine, as ever
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        return super().create_task(coro, name=name, context=context or self.context.copy())
