"""Who follows calls, by the door that they came in by; and who was let go because he could not be served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, get_args

Door = Literal["attach", "stream", "tap", "list", "events", "agent_stream", "call_stream"]
"""``WS /v1/attach``, ``/ws/stream`` and ``/v1/tap``; server-sent events of the list of calls, of a call's log, and of the
two streams for pages."""
Reason = Literal["slow_consumer", "unavailable", "full"]
"""He took too little; the database did not answer; there are too many."""
DOORS: Final[tuple[Door, ...]] = get_args(Door)
STREAMS: Final[tuple[Door, ...]] = ("list", "events", "agent_stream", "call_stream")
"""Those that are server-sent events."""
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


class Followed:
    """Counts of this process."""

    def __init__(self) -> None:
        self._reading: Counter[Door] = Counter()
        self._let_go: Counter[tuple[Door, Reason]] = Counter()

    @contextmanager
    def reading(self, door: Door) -> Iterator[None]:
        """Somebody does, for so long."""
        self._reading[door] += 1
        try:
            yield
        finally:
            self._reading[door] -= 1

    def by(self, *doors: Door) -> int:
        """How many read there now."""
        return sum(self._reading[door] for door in doors)

    def let_go(self, door: Door, reason: Reason) -> None:
        """Somebody was closed, or not let in, and may come back."""
        self._let_go[door, reason] += 1

    @property
    def gone(self) -> Mapping[tuple[Door, Reason], int]:
        """How many were let go so far; of all that there may be, also where it was nobody."""
        return {(door, reason): self._let_go[door, reason] for door in DOORS for reason in REASONS}
