"""How long an answer waits for its agent to get ready, by changing variables, contexts or the history; and how long
a greeting does, that the agent may want to change first.

Pure: time is an argument. Before each answer the agent is told of the turn, and says when it is ready: once for
each time that it was told. The answer waits for that, within a budget. Where a turn goes on its answer is begun
again, the agent is told again, and both are waited for: an agent that still works for the first must not let the
second go.
"""

from __future__ import annotations

from dataclasses import dataclass

USUAL_MS = 150
"""The budget where nobody says whether the agent gets ready."""
OPTED_IN_MS = 1500
MAX_MS = 5000
MAX_SILENT_TURNS = 3
"""An agent that has said nothing in so many turns does not know this."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """What is configured."""

    budget_ms: int = USUAL_MS
    opted_in: bool = False
    """The agent wants it: it is waited for in each turn, and told where it was late."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The budget was too short."""

    turn: int
    waited_ms: int
    budget_ms: int
    told: bool
    """The agent is to learn of it."""


class Barrier:
    """Of one call. Turn 0 is what comes before the greeting."""

    def __init__(self, config: Preparing | None) -> None:
        self.config = config
        """None: the agent is not told, and not waited for."""
        self._turn = -1
        self._owed = 0
        """How often the agent was told of that turn and has not said that it is ready."""
        self._waiting = False
        self._began = 0.0
        self._deadline = 0.0
        self._budget_ms = 0
        self._silent_turns = 0
        self._silent_turn = -1
        self._away = False

    @property
    def away(self) -> bool:
        """The agent's connection is lost."""
        return self._away

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do."""
        return self._deadline if self._waiting else None

    def begin(self, turn: int, now: float) -> bool:
        """An answer is about to be made. True: the agent is told, and waited for."""
        self._waiting = False
        config = self.config
        if config is None or self._away:
            return False
        if not config.opted_in and self._silent_turns >= MAX_SILENT_TURNS:
            return False
        self._owed = self._owed + 1 if turn == self._turn else 1
        self._turn = turn
        self._waiting = True
        self._budget_ms = min(config.budget_ms, MAX_MS)
        self._began, self._deadline = now, now + self._budget_ms / 1000
        return True

    def ready(self, turn: int | None) -> bool:
        """The agent is ready; without a turn, for whatever is waited for. True: the wait is over."""
        self._silent_turns = 0
        if turn is not None and turn != self._turn:
            return False
        self._owed = max(0, self._owed - 1) if turn is not None else 0
        if self._owed or not self._waiting:
            return False
        self._waiting = False
        return True

    def tick(self, now: float) -> Missed | None:
        """Not None: the wait is over."""
        if not self._waiting or now < self._deadline:
            return None
        self._waiting = False
        if self._turn != self._silent_turn:
            self._silent_turn = self._turn
            self._silent_turns += 1
        told = self.config is not None and self.config.opted_in
        return Missed(self._turn, round((now - self._began) * 1000), self._budget_ms, told)

    def drop(self) -> None:
        """Nobody wants the answer any more."""
        self._waiting = False

    def agent_away(self) -> None:
        """Nobody is there to get ready. What is waited for is not waited for any more."""
        self._away = True
        self._waiting = False
        self._owed = 0

    def agent_back(self) -> None:
        self._away = False


class Opening:
    """The first moments of a call, in which the agent may configure it before the caller hears anything. The wait is
    over with the first configuration; it overlaps with the one for the agent's readiness."""

    def __init__(self, wait_ms: int) -> None:
        self._wait_s = wait_ms / 1000
        self._until: float | None = None

    @property
    def deadline(self) -> float | None:
        """When it is over by itself; None: it is over, or has not begun."""
        return self._until

    def begin(self, now: float) -> bool:
        """The call begins. True: its greeting waits."""
        self._until = now + self._wait_s if self._wait_s > 0 else None
        return self._until is not None

    def close(self) -> bool:
        """Nothing is waited for any more. True: the wait is over by that."""
        waited, self._until = self._until is not None, None
        return waited

    def tick(self, now: float) -> bool:
        """True: the wait is over."""
        return self._until is not None and now >= self._until and self.close()
