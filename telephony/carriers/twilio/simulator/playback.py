"""What the far end hears: the carrier's play-out buffer, sample by sample, in time that is passed in.

Received audio is played from the instant it arrives at an empty buffer, or else right behind what is there,
8000 samples a second, whatever the server does meanwhile. Nothing here runs: it is all computed from the
instants of the calls, so that tests reach any state at once and an idle call costs nothing.

All instants are seconds on one clock of the caller's choice.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from telephony.carriers.twilio.simulator.loudness import loud_bounds

RATE_HZ: Final = 8000
MAX_BUFFERED_S: Final = 600.0
"""Twilio discards what comes while ten minutes are waiting (warning 31931)."""

_PIECE: Final = 160
_MERGE_S: Final = 0.030
"""Loud pieces closer than this are one span: about the closure of a plosive, below the pause of a word."""
_EPSILON_S: Final = 1e-7


@dataclass(slots=True)
class Stretch:
    """Audio that was played, or would have been, without a hole."""

    start_s: float
    """When its first sample was audible."""
    first_sample: int
    """Samples received before it."""
    received: int = 0
    cleared_at: int | None = None
    """Samples of it that were heard before the rest was cleared; None where all of it was (or will be)."""
    ulaw: bytearray = field(default_factory=bytearray)
    """Its audio, the cleared part too; empty where audio is not kept."""

    @property
    def heard(self) -> int:
        return self.received if self.cleared_at is None else self.cleared_at

    @property
    def end_s(self) -> float:
        return self.start_s + self.heard / RATE_HZ


@dataclass(frozen=True, slots=True)
class Span:
    """A time during which something was to be heard."""

    start_s: float
    end_s: float

    @property
    def duration_ms(self) -> float:
        return (self.end_s - self.start_s) * 1000


@dataclass(frozen=True, slots=True)
class Underrun:
    """The buffer ran dry although more was to come."""

    at_s: float
    duration_ms: float
    in_speech: bool
    """There was voice right before it and right after it: it could be heard."""


@dataclass(frozen=True, slots=True)
class Cleared:
    samples: int
    """Never heard."""
    marks: tuple[str, ...]
    """Pending marks that the carrier returns now, although what they stand for was not played."""


class Playback:
    """The play-out buffer of one call and the truth about it."""

    def __init__(self, *, marks_on_clear: bool = True, keep_audio: bool = True) -> None:
        self._marks_on_clear = marks_on_clear
        self._keep_audio = keep_audio
        self._pending: deque[tuple[float, str]] = deque()
        self.stretches: list[Stretch] = []
        self.loud: list[list[float]] = []
        """``[start_s, end_s]`` of all that was or will be loud, in order."""
        self.received = 0
        self.cleared = 0

    @property
    def end_s(self) -> float:
        """When the buffer is, or was, empty; minus infinity before any audio."""
        return self.stretches[-1].end_s if self.stretches else -math.inf

    def buffered_ms(self, now: float) -> float:
        return max(0.0, (self.end_s - now) * 1000)

    def play(self, ulaw: bytes, now: float) -> int:
        """Audio arrives. Returns how many samples the carrier discards because its buffer is full."""
        room = int(MAX_BUFFERED_S * RATE_HZ) - math.ceil(self.buffered_ms(now) * RATE_HZ / 1000)
        taken = ulaw[: max(room, 0)]
        if taken:
            # A cleared stretch takes no more, even within the rounding of its last sample.
            last = self.stretches[-1] if self.stretches else None
            if last is None or last.cleared_at is not None or now > last.end_s + _EPSILON_S:
                last = Stretch(now, self.received)
                self.stretches.append(last)
            self._find_loud(taken, last.end_s)
            last.received += len(taken)
            self.received += len(taken)
            if self._keep_audio:
                last.ulaw += taken
        return len(ulaw) - len(taken)

    def mark(self, name: str, now: float) -> None:
        """A mark arrives: it is due when all that came before it has been played."""
        self._pending.append((max(now, self.end_s), name))

    def next_mark_s(self) -> float | None:
        """When the next mark is due."""
        return self._pending[0][0] if self._pending else None

    def take_marks(self, now: float) -> list[str]:
        """The marks that have become due, in order. Each is given once."""
        due = []
        while self._pending and self._pending[0][0] <= now + _EPSILON_S:
            due.append(self._pending.popleft()[1])
        return due

    def clear(self, now: float) -> Cleared:
        """Empty the buffer: what is not yet audible never will be. Take the due marks before."""
        last = self.stretches[-1] if self.stretches else None
        samples = 0
        if last is not None and last.cleared_at is None and now < last.end_s:
            heard = min(last.received, max(0, math.ceil((now - last.start_s) * RATE_HZ - 1e-3)))
            samples = last.received - heard
            last.cleared_at = heard
            self.cleared += samples
            self._cut_loud(last.end_s)
        marks = tuple(name for _, name in self._pending) if self._marks_on_clear else ()
        self._pending.clear()
        return Cleared(samples, marks)

    def _find_loud(self, ulaw: bytes, at_s: float) -> None:
        for start in range(0, len(ulaw), _PIECE):
            bounds = loud_bounds(ulaw[start : start + _PIECE])
            if bounds is None:
                continue
            begin_s = at_s + (start + bounds[0]) / RATE_HZ
            end_s = at_s + (start + bounds[1]) / RATE_HZ
            if self.loud and begin_s - self.loud[-1][1] <= _MERGE_S:
                self.loud[-1][1] = end_s
            else:
                self.loud.append([begin_s, end_s])

    def _cut_loud(self, at_s: float) -> None:
        while self.loud and self.loud[-1][0] >= at_s:
            self.loud.pop()
        if self.loud:
            self.loud[-1][1] = min(self.loud[-1][1], at_s)

    # --- the truth, afterwards ------------------------------------------------------------------------

    def utterances(self, min_silence_ms: float = 500) -> list[Span]:
        """What could be heard, in pieces that at least this much quiet lies between.

        With 30 ms (the least that is told apart) these are roughly words.
        """
        merged: list[list[float]] = []
        for start_s, end_s in self.loud:
            if merged and (start_s - merged[-1][1]) * 1000 < min_silence_ms:
                merged[-1][1] = end_s
            else:
                merged.append([start_s, end_s])
        return [Span(start_s, end_s) for start_s, end_s in merged]

    def underruns(self, within_ms: float = 500) -> list[Underrun]:
        """Holes of up to this length between audio that was not cleared. Longer ones are taken for pauses."""
        holes = []
        for before, after in zip(self.stretches, self.stretches[1:], strict=False):
            hole_ms = (after.start_s - before.end_s) * 1000
            if before.cleared_at is None and hole_ms <= within_ms:
                spoken = self.is_loud(before.end_s - 0.06, before.end_s) and self.is_loud(
                    after.start_s, after.start_s + 0.06
                )
                holes.append(Underrun(before.end_s, hole_ms, spoken))
        return holes

    def is_loud(self, from_s: float, to_s: float) -> bool:
        """Whether anything could be heard between these instants."""
        index = bisect_left(self.loud, from_s, key=lambda span: span[1])
        return index < len(self.loud) and self.loud[index][0] < to_s

    def heard_ms(self, from_s: float = -math.inf, to_s: float = math.inf) -> float:
        """Audio that was played between two instants, quiet audio too."""
        played = 0.0
        for stretch in self.stretches:
            played += max(0.0, min(to_s, stretch.end_s) - max(from_s, stretch.start_s))
        return played * 1000

    def instant_of(self, sample: int) -> float | None:
        """When the n-th received sample, from 0, was (or will be) audible. None: never.

        Raises ``IndexError`` for a sample that has not been received.
        """
        if not 0 <= sample < self.received:
            raise IndexError(f"sample {sample} of {self.received} received ones")
        index = bisect_right(self.stretches, sample, key=lambda stretch: stretch.first_sample) - 1
        stretch = self.stretches[index]
        offset = sample - stretch.first_sample
        return stretch.start_s + offset / RATE_HZ if offset < stretch.heard else None
