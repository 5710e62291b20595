"""Which segment of speech has which worker.

Pure. A worker holds one segment at a time, from its begin to its final. There are more callers than workers,
and a caller who talks holds a worker for as long as he talks, mostly idle. The policy:

- A free worker takes the segment that waits with the best claim: one that is over (its caller waits for
  an answer) before one that is still being spoken, and the older before the younger.
- A segment that is over never waits for one that is still being spoken: it takes its worker. The one taken
  from is the one with the least audio to hear again; it waits with all its audio and gets its turn later
  (the decoder hears three times as fast as people talk). Its caller loses partials, no word.
- Only one segment of a caller is in the running at a time: the next one waits for the final of the former,
  so that finals come in order and one caller cannot fill the pool.
- The pool is *full* for a segment when it is over and all workers are busy with others that are over too.
  After ``queue_s`` of that it is refused (``STT_BUSY``). While it is still being spoken, nobody waits for
  it; it is only refused when its audio outgrows the memory that one segment may take, or when so many wait
  already that the next one has no prospect (``MAX_WAITING`` for each worker).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MAX_WAITING = 16


class Claim(Protocol):
    """What the policy needs to know of a segment."""

    @property
    def serial(self) -> int:
        """Grows with the order of the begins."""

    @property
    def ended(self) -> bool: ...

    @property
    def unheard_samples(self) -> int:
        """Audio that a worker would have to hear from the beginning."""


C = TypeVar("C", bound=Claim)


@dataclass(frozen=True, slots=True)
class Moves(Generic[C]):
    """What to change: first take back, then give."""

    take_back: tuple[C, ...]
    give: tuple[C, ...]
    """To workers that are free then, in this order."""


def plan(waiting: Sequence[C], running: Sequence[C], free: int) -> Moves[C]:
    """Decide who gets a worker. ``waiting`` holds at most one segment of each caller."""
    queue = sorted(waiting, key=lambda claim: (not claim.ended, claim.serial))
    urgent = sum(claim.ended for claim in queue)
    finishing = sum(claim.ended for claim in running)
    spoken = sorted((c for c in running if not c.ended), key=lambda claim: claim.unheard_samples)
    # Workers about to be free count: taking one from a talker would win a few hundredths of a second only.
    short = max(0, urgent - free - finishing)
    take_back = tuple(spoken[:short])
    return Moves(take_back, tuple(queue[: free + len(take_back)]))
