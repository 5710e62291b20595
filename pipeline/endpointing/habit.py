"""The caller's own way of pausing: how long he falls silent and still goes on. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

KEPT = 8
"""Pauses that are remembered: a habit, not a biography."""
SHORTEST_MS = 200
"""Shorter silences are closures of the mouth between two words: everybody makes them."""
LONGEST_MS = 3000
"""What lasted longer was no pause within a thought."""


class Habit:
    """The pauses of one caller in one call, after which he went on."""

    __slots__ = ("_pauses",)

    def __init__(self) -> None:
        self._pauses: deque[int] = deque(maxlen=KEPT)

    def went_on(self, pause_ms: float) -> None:
        """He was silent for so long within a turn, and went on; also where he was cut off by then.

        A pause that says nothing of a habit (below 200 ms, above 3 s) is passed over.
        """
        if SHORTEST_MS <= pause_ms <= LONGEST_MS:
            self._pauses.append(round(pause_ms))

    def turn_over(self) -> None:
        """A turn of his has ended and he did not go on: forgets his oldest pause, so that who pauses once a turn
        is not taken for somebody who never ends."""
        if self._pauses:
            self._pauses.popleft()

    @property
    def pauses_ms(self) -> tuple[int, ...]:
        """For ``Evidence.pauses_ms``: at most ``KEPT``, the latest last."""
        return tuple(self._pauses)


_USUAL_MS = 540
"""Of the pauses beyond 300 ms half are longer, by the survival that ``local`` starts from. The shorter ones are
not counted: a voice detector does not end a segment for them."""
_COUNTED_MS = 300
_DOUBT = 4.0
"""So many pauses weigh as much as what is known of callers at large."""
_SLOWEST, _FASTEST = 1.3, 0.85


def odds(pauses_ms: Sequence[int]) -> float:
    """What his going on lately says about the next pause, as log-odds of an end: 0 where he has not.

    As if each caller came with four pauses that ended a turn and four that did not; his own are added to those.
    """
    counted = sum(pause >= _COUNTED_MS for pause in pauses_ms)
    return -math.log1p(counted / _DOUBT)


def stretch(pauses_ms: Sequence[int]) -> float:
    """By how much this caller's pauses are longer than those of callers at large; 1 where nothing is known.

    The geometric mean of the pauses, drawn towards the usual one while they are few. A caller is not taken for
    faster than 0.85, nor for slower than 1.3: one long thought must not make the agent sleepy for the call.
    """
    counted = [math.log(pause / _USUAL_MS) for pause in pauses_ms if pause >= _COUNTED_MS]
    return min(_SLOWEST, max(_FASTEST, math.exp(sum(counted) / (_DOUBT + len(counted)))))
