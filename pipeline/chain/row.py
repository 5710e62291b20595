"""Who is asked, in which order, and how long one waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from pipeline.ports import Engine

REST_S = 5.0
"""How long an engine that failed is not asked first; doubled with each further failure, up to MAX_REST_S."""
MAX_REST_S = 60.0
"""Also of what an engine asks for itself."""
MAX_KNOWN = 1000
"""Engines with their models that are remembered: agents name models as they like."""

_Key = tuple[str, str, str | None]

E_co = TypeVar("E_co", bound=Engine, covariant=True)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a stage may take."""

    answer_s: float = 2.0
    """Until the first piece of an answer; then the next engine is asked as well."""
    last_s: float = 15.0
    """The same, of the attempt that has nobody behind it."""
    gap_s: float = 5.0
    """Between two pieces."""


@dataclass(frozen=True, slots=True)
class Choice(Generic[E_co]):
    """An engine, and what a call wants of it."""

    engine: E_co
    model: str | None = None
    voice: str | None = None


class Health:
    """Which engines of the process have failed lately, each with its model: what one agent's choice of a slow
    model brings upon it is nobody else's. Times are the loop's."""

    def __init__(self) -> None:
        self._failures: dict[_Key, int] = {}
        self._rests_until: dict[_Key, float] = {}
        self._closed_until: dict[_Key, float] = {}
        self._waited_s: dict[_Key, float] = {}

    def order(self, stage: str, choices: Sequence[Choice[E_co]], now: float) -> list[Choice[E_co]]:
        """The row for one request: as configured, with those that rest behind the others, and without those that
        want to be left alone, unless all do."""
        open_now = [choice for choice in choices if not self.closed_s(stage, choice, now)]
        return sorted(
            open_now or choices, key=lambda choice: now < self._rests_until.get(_key(stage, choice), now)
        )

    def closed_s(self, stage: str, choice: Choice[E_co], now: float) -> float:
        """How long it still wants to be left alone."""
        return max(0.0, self._closed_until.get(_key(stage, choice), now) - now)

    def failed(self, choice: Choice[E_co], error: ProviderError, now: float) -> None:
        """What only this request could not have (a voice, a model) says nothing about the engine."""
        if not error.retryable and not isinstance(error, ProviderUnavailable):
            return
        key = _key(error.stage, choice)
        if error.retry_after_s is not None:
            self._closed_until[key] = now + min(MAX_REST_S, error.retry_after_s)
        if now < self._rests_until.get(key, now):
            return  # Calls at once meet the same outage: it counts once.
        if len(self._rests_until) > MAX_KNOWN:
            self._failures.clear()
            self._rests_until.clear()
            self._closed_until.clear()
        failures = self._failures.get(key, 0)
        self._failures[key] = min(failures + 1, 10)
        self._rests_until[key] = now + min(MAX_REST_S, REST_S * 2.0**failures)

    def answered(self, stage: str, choice: Choice[E_co], waited_s: float) -> None:
        """It gave what it was asked for, the first piece after so long."""
        if len(self._waited_s) > MAX_KNOWN:
            self._waited_s.clear()
        key = _key(stage, choice)
        self._waited_s[key] = waited_s
        if self._failures.pop(key, None) is not None:
            self._rests_until.pop(key, None)

    def patience_s(self, stage: str, choice: Choice[E_co], usual_s: float, most_s: float) -> float:
        """Before the same engine is asked again: one that is slow by nature would only become slower."""
        return max(usual_s, min(most_s, 1.5 * self._waited_s.get(_key(stage, choice), 0.0)))


def _key(stage: str, choice: Choice[E_co]) -> _Key:
    return stage, choice.engine.name, choice.model


def attempts(choices: Sequence[Choice[E_co]]) -> list[Choice[E_co]]:
    """Who is asked, in this order; one engine alone is asked twice."""
    return [*choices, choices[0]] if len(choices) == 1 else list(choices)


def late(name: str, stage: str, seconds: float) -> ProviderTimeout:
    return ProviderTimeout(name, stage, f"nothing came for {seconds:g} s")


class Chain(Generic[E_co]):
    """What the chains of all kinds share."""

    stage = ""

    def __init__(self, choices: Sequence[Choice[E_co]], deadlines: Deadlines, health: Health) -> None:
        if not choices:
            raise ValueError("a chain needs an engine")
        self._choices = tuple(choices)
        self._deadlines = deadlines
        self._health = health

    @property
    def name(self) -> str:
        """Of the engine that would be asked first now."""
        return self._row()[0].engine.name

    async def warm(self) -> None:
        await self._choices[0].engine.warm()

    def _row(self) -> list[Choice[E_co]]:
        now = asyncio.get_running_loop().time()
        return attempts(self._health.order(self.stage, self._choices, now))
