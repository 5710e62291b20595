"""Time that passes as soon as everybody waits."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that waits for nothing: when no callback is ready it is the time of the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready: Any = getattr(self, "_ready")  # noqa: B009  private, and not in the type stubs
        scheduled: Any = getattr(self, "_scheduled")  # noqa: B009
        if not ready:
            times = [handle.when() for handle in scheduled if not handle.cancelled()]
            if not times:
                raise RuntimeError("everybody waits, and nothing is to come")
            self._now = max(self._now, min(times))
        super()._run_once()  # type: ignore[misc]


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in time of its own: what takes an hour takes no time, and a test that would wait for
    ever fails. Only for tests without sockets, processes and threads."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
