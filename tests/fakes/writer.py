"""A writer thread that is none: its jobs are done at once, or when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class Writer(Executor):
    """A writer thread that works when it is told to."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.most_waiting = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append((future, lambda: fn(*args, **kwargs)))
        self.most_waiting = max(self.most_waiting, len(self.jobs))
        if self.at_once:
            self.work()
        return future

    def work(self) -> None:
        while self.jobs:
            future, job = self.jobs.pop(0)
            try:
                future.set_result(job())
            except (OSError, ValueError) as fault:
                future.set_exception(fault)
