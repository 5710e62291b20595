"""A call as two channels on one clock: left what the caller said, right what the caller heard.

The clock is the caller's own: samples of the leg, counted from its first. The caller's audio stands where
its frames say; the bot's where the play-out says that it was heard. What neither has filled is silence, and
so is all that lies in a pause of the recording.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from media.frames import Pcm

Channels = Literal["stereo", "mono", "user", "bot"]
"""What a file holds: the user left and the bot right, both mixed, or one of them."""


def laid_out(interleaved: Pcm, channels: Channels) -> Pcm:
    """Left and right in turn, as a file of these channels wants it."""
    match channels:
        case "stereo":
            return interleaved
        case "user":
            return interleaved[::2]
        case "bot":
            return interleaved[1::2]
        case "mono":
            # Each at its full level: they seldom speak at once, and where they do too much is cut off.
            mixed = interleaved[::2].astype(np.int32) + interleaved[1::2]
            return np.asarray(np.clip(mixed, -32768, 32767)).astype(np.int16)


@dataclass(slots=True)
class _Pause:
    start: int
    end: int | None = None


class _Channel:
    """Pieces of audio in order, none over another."""

    def __init__(self, max_held: int) -> None:
        self._max_held = max_held
        self._pieces: deque[tuple[int, Pcm]] = deque()
        self.end = 0
        """Where the next piece may stand: one past the last sample that was placed, or where it was cut."""
        self.held = 0
        """Samples placed and not yet forgotten."""
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

    def render(self, out: npt.NDArray[np.int16], begin: int) -> None:
        """Write what stands from ``begin`` on into ``out``, as far as it reaches."""
        until, first = begin + len(out), begin
        flow: list[Pcm] = []
        """Pieces without a gap between them, the last one first: they are written at once."""
        for start, pcm in reversed(self._pieces):
            end = start + len(pcm)
            if end <= begin:
                break
            if start >= until:
                continue
            if start < begin or end > until:
                pcm = pcm[max(0, begin - start) : until - start]
                start, end = max(start, begin), min(end, until)
            if flow and end != first:
                _write(flow, out[first - begin :])
            flow.append(pcm)
            first = start
        if flow:
            _write(flow, out[first - begin :])

    def forget(self, before: int) -> None:
        """Let go of what stands before a sample."""
        while self._pieces and self._pieces[0][0] < before:
            start, pcm = self._pieces.popleft()
            self.held -= len(pcm)
            if start + len(pcm) > before:
                self._pieces.appendleft((before, pcm[before - start :]))
                self.held += start + len(pcm) - before


def _write(flow: list[Pcm], out: npt.NDArray[np.int16]) -> None:
    flow.reverse()
    joined = np.concatenate(flow)
    out[: len(joined)] = joined
    flow.clear()


class StereoTimeline:
    """The part of a call that is not yet written for good. Never holds more than ``max_held_ms`` of either
    channel: what would go beyond is left out (``lost``), its time stays silent.

    What has been given out (``take``) may still change until it is settled: it is given out anew then.
    """

    def __init__(self, sample_rate_hz: int, max_held_ms: int = 30_000) -> None:
        max_held = sample_rate_hz * max_held_ms // 1000
        self._caller = _Channel(max_held)
        self._bot = _Channel(max_held)
        self._pauses: deque[_Pause] = deque()
        self._clock = 0
        self._settled = 0
        self._given = 0
        self._changed: int | None = None
        """The first sample that is no more as it was given out."""

    @property
    def given(self) -> int:
        """Samples of the recording given out so far."""
        return self._given

    @property
    def settled(self) -> int:
        """Nothing can be placed before it any more."""
        return self._settled

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
        """Samples of both channels that are kept."""
        return self._caller.held + self._bot.held

    @property
    def lost(self) -> int:
        """Samples of both channels left out because too many were waiting."""
        return self._caller.lost + self._bot.lost

    @property
    def paused(self) -> bool:
        return bool(self._pauses) and self._pauses[-1].end is None

    def caller(self, start: int, pcm: Pcm) -> int:
        """The caller's audio at its place. What lies before audio already placed or settled is left out. Returns the
        clock behind it."""
        free = max(self._clock, self._settled)
        if start < free:
            pcm = pcm[free - start :]
            start = free
        self._clock = max(self._clock, start + len(pcm))
        if not self._pauses and start >= self._given:
            self._caller.append(start, pcm)  # As nearly always.
            return self._clock
        for at, piece in self._outside_pauses(start, pcm):
            self._caller.append(at, piece)
            self._touch(at)
        return self._clock

    def bot(self, at: int, pcm: Pcm) -> None:
        """The bot's audio, first heard at sample ``at`` of the caller's clock, now or in the future. Where
        that place is taken, or already settled, it goes to the next free one: one mouth says one thing at a
        time."""
        at = max(at, self._bot.end, self._settled)
        if not self._pauses:
            self._bot.append(at, pcm)
            self._touch(at)
            return
        for start, piece in self._outside_pauses(at, pcm):
            self._bot.append(start, piece)
            self._touch(start)

    def clear_bot(self, at: int) -> None:
        """The bot was silenced at sample ``at``: what was placed from there on is not heard."""
        at = max(at, self._settled)
        if at < self._bot.end:
            self._touch(at)
        self._bot.cut(at)

    def pause(self, at: int) -> None:
        """Nothing is kept from sample ``at`` on, whenever it comes. Twice is once."""
        if self.paused:
            return
        at = max(at, self._settled, (self._pauses[-1].end or 0) if self._pauses else 0)
        self._pauses.append(_Pause(at))
        self._caller.cut(at)
        self.clear_bot(at)
        self._touch(at)

    def resume(self, at: int) -> None:
        """From sample ``at`` on it is kept again."""
        if self.paused:
            self._pauses[-1].end = max(at, self._pauses[-1].start)

    def take(self, upto: int, longest: int | None = None) -> tuple[int, Pcm]:
        """What was not given out yet, or is not any more as it was given out, up to (not with) sample ``upto``:
        where it begins, and left and right in turn, two values per sample; not more than ``longest`` samples."""
        begin = self._given if self._changed is None else min(self._given, self._changed)
        stop = max(upto, begin)
        if longest is not None:
            stop = min(stop, begin + longest)
        out = np.zeros((stop - begin, 2), np.int16)
        self._caller.render(out[:, 0], begin)
        self._bot.render(out[:, 1], begin)
        self._changed = stop if stop < self._given else None
        self._given = max(self._given, stop)
        return begin, out.reshape(-1)

    def outdated(self, upto: int) -> bool:
        """Up to this sample something was not given out, or is not any more as it was."""
        return self._given < upto or self._changed is not None

    def settle(self, before: int) -> None:
        """What was given out before this sample does not change any more."""
        first = self._given if self._changed is None else min(self._given, self._changed)
        self._settled = max(self._settled, min(before, first))
        self._caller.forget(self._settled)
        self._bot.forget(self._settled)
        while self._pauses and self._pauses[0].end is not None and self._pauses[0].end <= self._settled:
            self._pauses.popleft()

    def _touch(self, at: int) -> None:
        if at < self._given:
            self._changed = at if self._changed is None else min(self._changed, at)

    def _outside_pauses(self, start: int, pcm: Pcm) -> Iterator[tuple[int, Pcm]]:
        """The parts of a piece that are kept, each with its place."""
        for pause in self._pauses:
            end = start + len(pcm)
            if pause.start >= end:
                break
            if pause.start > start:
                yield start, pcm[: pause.start - start]
            if pause.end is None or pause.end >= end:
                return
            if pause.end > start:
                start, pcm = pause.end, pcm[pause.end - start :]
        if len(pcm):
            yield start, pcm
