"""Whether a further call can be carried, by how late the event loop is: a count of calls does not know their price.

Pure: it is fed with samples. Calls are refused when more than one sample in a hundred of the last ten seconds is late by
more than the bound, and taken again when not one in a hundred is late by more than half of it. Between the two it stays
as it is, so that it does not swing; and a single stall, however long, is one sample and refuses nobody.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SAMPLES: Final = 200
"""Ten seconds of them, where the loop keeps time; where it does not they come slower, and weigh the more."""
LATE: Final = SAMPLES // 100
"""So many late ones are borne with."""


class Admission:
    """``bound_ms`` 0: nobody is ever refused."""

    def __init__(self, bound_ms: float) -> None:
        self._bound_s = bound_ms / 1000
        self._late: deque[float] = deque([0.0] * SAMPLES, maxlen=SAMPLES)
        self._over = self._over_half = 0
        self.lagging = False
        self.turns = 0
        """How often it began to lag."""

    def sample(self, late_s: float) -> None:
        """The loop was late by this."""
        if not self._bound_s:
            return
        gone = self._late[0]
        self._late.append(late_s)
        self._over += (late_s > self._bound_s) - (gone > self._bound_s)
        half_s = self._bound_s / 2
        self._over_half += (late_s > half_s) - (gone > half_s)
        if self._over > LATE and not self.lagging:
            self.lagging = True
            self.turns += 1
        elif self.lagging and self._over_half <= LATE:
            self.lagging = False
