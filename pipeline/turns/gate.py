"""Whether a voice has gone on for long enough, surely and loudly enough, to count.

Pure. The stretch that counts begins at its onset; a hole of more than ``GAP_S`` begins it anew, since two
coughs are not one interruption.
"""

from __future__ import annotations

GAP_S = 0.12
"""A longer hole in the voice than this ends its continuity."""
FRESH_S = 0.06
"""How old the latest voiced window may be for the voice to be going on: the length of a window and a frame.
Where it is older when the gate is due, the next window decides."""


class Gate:
    """Opens once for each stretch of voice. Closed at first."""

    def __init__(self) -> None:
        self._need_s = 0.0
        self._confidence = 0.0
        self._volume = 0.0
        self._onset: float | None = None
        self._voiced_until = 0.0
        self._sum = 0.0
        self._windows = 0
        self._loudest = 0.0
        self._due = False
        self._opened = False

    def set(self, onset: float, need_ms: int, confidence: float = 0.0, volume: float = 0.0) -> None:
        """Wait for ``need_ms`` of voice from ``onset`` on, of a mean probability and a volume."""
        self._need_s, self._confidence, self._volume = need_ms / 1000.0, confidence, volume
        self._opened = False
        self._begin(onset)

    def drop(self) -> None:
        """Wait for nothing."""
        self._onset, self._due = None, False

    def lengthen(self, need_ms: int) -> None:
        """The same voice has to last for longer, and is sure and loud enough already."""
        if self._onset is not None:
            self._need_s, self._due, self._opened = need_ms / 1000.0, False, False
            self._confidence = self._volume = 0.0

    @property
    def onset(self) -> float | None:
        """Where the stretch began that is being waited for; None where nothing is."""
        return self._onset

    @property
    def deadline(self) -> float | None:
        """When it may open; None where it waits for nothing, or for a window of voice."""
        if self._onset is None or self._due or self._opened:
            return None
        return self._onset + self._need_s

    def voice_from(self, at: float) -> None:
        """Voice is known up to here; told at its beginning, also where nothing is waited for."""
        self._voiced_until = at

    def voiced(self, start: float, end: float, probability: float, volume: float) -> bool:
        """More voice. True: it opens with this, later than it was due."""
        if start - self._voiced_until > GAP_S and self._onset is not None:
            self._begin(start)
        self._voiced_until = max(self._voiced_until, end)
        if self._onset is None:
            return False
        self._sum += probability
        self._windows += 1
        self._loudest = max(self._loudest, volume)
        return self._due and end - self._onset >= self._need_s and self._open()

    def tick(self, now: float) -> bool:
        """Its time has come. True: it opens."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return False
        self._due = True
        return now - self._voiced_until <= FRESH_S and self._open()

    def _open(self) -> bool:
        if self._windows and (self._sum / self._windows < self._confidence or self._loudest < self._volume):
            return False  # Not yet: it may become surer and louder.
        self._due, self._opened = False, True
        return True

    def _begin(self, onset: float) -> None:
        self._onset, self._due = onset, False
        self._sum, self._windows, self._loudest = 0.0, 0, 0.0
