"""What comes from the PBX, kept in step with the clock: audio that is missing counts as silence.

AudioSocket has no timestamps. Asterisk leaves out what it did not get: packets that were lost on their way to it,
and the silence of telephones that send none. The clock of the caller's audio must go on all the same, for all of a call
is placed on it. What comes is handed on at once; where nothing has come for a while, silence takes its place, and where
audio stays behind the clock for a second, packets were lost. What TCP held up comes all at once, and runs ahead of the
clock until the next hole; a flood is dropped.

Pure: time is an argument, in seconds of any monotonic clock; the rest is in samples.
"""

from __future__ import annotations

from typing import Final

CUSHION_S: Final = 0.06
"""So late audio may come before its place counts as silent."""
STEP_S: Final = 0.02
LOOK_S: Final = 1.0
"""Audio that was late for so long is not late: some before it is missing."""
AHEAD_S: Final = 2.0
"""What is further ahead of the clock is dropped."""
DRIFT: Final = 0.002
"""How far the clock follows audio that comes sooner, with each frame: a telephone's clock is not ours."""


class Arrivals:
    """The audio of one caller."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._step = round(rate_hz * STEP_S)
        self._position = 0
        self._base_s: float | None = None
        """When the first sample came, or would have."""
        self._opening_until = 0.0
        self._opening_s = 0.0
        self._ticked_at = float("-inf")
        self._hole = False
        """Silence was put in for want of audio, and none has come since."""
        self._look_at = 0.0
        self._least_s = 0.0
        self.missing = 0
        """Samples of silence in place of audio."""
        self.dropped = 0
        """Samples that came too far ahead of the clock."""

    def received(self, samples: int, now: float) -> int | None:
        """Audio has come. Returns the silence to put before it; None: it is to be dropped."""
        if self._base_s is None:
            self._base_s = now - samples / self._rate_hz
            self._opening_until = now + LOOK_S
            self._begin_look(now)
        behind_s = self._behind(samples, now)
        if behind_s < -AHEAD_S:
            self.dropped += samples
            return None
        if behind_s < 0:
            self._base_s += self._correction(behind_s, now)
            behind_s = self._behind(samples, now)
        filled = self._fill(behind_s if self._hole else self._seen(behind_s, now))
        self._hole = False
        self._position += samples
        return filled

    def tick(self, now: float) -> int:
        """The silence to hand on because nothing has come. To be called every 20 ms: where it was not, we were held up,
        and what came meanwhile is still to be read."""
        held_up = now - self._ticked_at > CUSHION_S
        self._ticked_at = now
        if self._base_s is None or held_up:
            return 0
        overdue_s = self._behind(self._step, now) - CUSHION_S
        if overdue_s < 0:
            return 0
        self._hole = True
        return self._fill(overdue_s + STEP_S)

    def _behind(self, samples: int, now: float) -> float:
        """How much later than the clock says so many samples come now."""
        assert self._base_s is not None
        return now - self._base_s - (self._position + samples) / self._rate_hz

    def _correction(self, behind_s: float, now: float) -> float:
        """What came before the call was taken comes at once, and says when its caller's clock began."""
        if now < self._opening_until and self._opening_s - behind_s <= AHEAD_S:
            self._opening_s -= behind_s
            return behind_s
        return behind_s * DRIFT

    def _seen(self, behind_s: float, now: float) -> float:
        """How much is missing, as the last while has shown."""
        self._least_s = min(self._least_s, behind_s)
        if now < self._look_at:
            return 0.0
        least_s = self._least_s
        self._begin_look(now)
        return least_s

    def _begin_look(self, now: float) -> None:
        self._look_at, self._least_s = now + LOOK_S, CUSHION_S

    def _fill(self, missing_s: float) -> int:
        filled = max(0, int(missing_s / STEP_S + 1e-6)) * self._step
        if filled:
            self._position += filled
            self.missing += filled
            self._least_s = CUSHION_S
        return filled
