"""A call as two channels on one clock: left what the caller said, right what the caller heard.

The clock is the caller's own: samples of the leg, counted from its first. The caller's audio stands where
its frames say; the bot's where the play-out says that it was heard. What neither has filled is silence.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from media.frames import Pcm


class _Channel:
    """Pieces of audio in order, none over another, none before ``drained``."""

    def __init__(self, max_held: int) -> None:
        self._max_held = max_held
        self._pieces: deque[tuple[int, Pcm]] = deque()
        self.end = 0
        """Where the next piece may stand: one past the last sample that was placed, or where it was cut."""
        self.held = 0
        """Samples placed and not yet drained."""
        self.lost = 0
        """Samples that were refused, as the channel held its maximum."""

    def append(self, start: int, pcm: Pcm) -> None:
        """Place a piece at or behind ``end``."""
        room = self._max_held - self.held
        if len(pcm) > room:
            self.lost += len(pcm) - room
            pcm = pcm[:room]
        if len(pcm):
            self._pieces.append((start, pcm))
            self.held += len(pcm)
            self.end = start + len(pcm)

    def cut(self, at: int) -> None:
        """Take back what stands at ``at`` and after it."""
        while self._pieces and self._pieces[-1][0] + len(self._pieces[-1][1]) > at:
            start, pcm = self._pieces.pop()
            self.held -= len(pcm)
            if start < at:
                self._pieces.append((start, pcm[: at - start]))
                self.held += at - start
        self.end = min(self.end, at)

    def drain_into(self, out: npt.NDArray[np.int16], begin: int) -> None:
        """Move what stands from ``begin`` on into ``out``, as far as it reaches."""
        until = begin + len(out)
        while self._pieces and self._pieces[0][0] < until:
            start, pcm = self._pieces.popleft()
            taken = pcm[: until - start]
            out[start - begin : start - begin + len(taken)] = taken
            self.held -= len(taken)
            if len(taken) < len(pcm):
                self._pieces.appendleft((until, pcm[len(taken) :]))


class StereoTimeline:
    """The part of a call that is not yet written. Never holds more than ``max_held_ms`` of either channel:
    what would go beyond is left out (``lost``), its time stays silent."""

    def __init__(self, sample_rate_hz: int, max_held_ms: int = 30_000) -> None:
        max_held = sample_rate_hz * max_held_ms // 1000
        self._caller = _Channel(max_held)
        self._bot = _Channel(max_held)
        self._drained = 0
        self._clock = 0

    @property
    def drained(self) -> int:
        """Samples of the recording given out so far: nothing can be placed before them any more."""
        return self._drained

    @property
    def clock(self) -> int:
        """One past the last sample of the caller."""
        return self._clock

    @property
    def end(self) -> int:
        """One past the last sample of either channel."""
        return max(self._clock, self._bot.end)

    @property
    def held(self) -> int:
        """Samples of both channels that wait to be drained."""
        return self._caller.held + self._bot.held

    @property
    def lost(self) -> int:
        """Samples of both channels left out because too many were waiting."""
        return self._caller.lost + self._bot.lost

    def caller(self, start: int, pcm: Pcm) -> None:
        """The caller's audio at its place. What lies before audio already placed or drained is left out."""
        free = max(self._clock, self._drained)
        if start < free:
            pcm = pcm[free - start :]
            start = free
        self._clock = max(self._clock, start + len(pcm))
        self._caller.append(start, pcm)

    def bot(self, at: int, pcm: Pcm) -> None:
        """The bot's audio, first heard at sample ``at`` of the caller's clock, now or in the future. Where
        that place is taken, or already drained, it goes to the next free one: one mouth says one thing at a
        time."""
        self._bot.append(max(at, self._bot.end, self._drained), pcm)

    def clear_bot(self, at: int) -> None:
        """The bot was silenced at sample ``at``: what was placed from there on is not heard."""
        self._bot.cut(at)

    def drain(self, upto: int) -> Pcm:
        """Everything up to (not with) sample ``upto``: left and right in turn, two values per sample."""
        out = np.zeros((max(upto - self._drained, 0), 2), np.int16)
        self._caller.drain_into(out[:, 0], self._drained)
        self._bot.drain_into(out[:, 1], self._drained)
        self._drained += len(out)
        return out.reshape(-1)
