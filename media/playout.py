"""The playhead: what is queued for the listener, what was sent, and what has been heard.

Positions are samples on the leg's outbound timeline: they only grow, and are never used twice. Audio is sent
ahead of the ear by a lead, on absolute deadlines, so that a stall of the loop is not heard; what was heard
is known from marks that the far end returns when it has played everything before them. Between two marks
the position is interpolated on the clock, and never passes the next mark that is still out: the playhead may
be late by a network delay, it never claims audio that was not played.

Pure: time is an argument, in seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from media.frames import Pcm

FRAME_MS = 20
TRIPS = 8
"""Of so many runs of audio the time that marks take is remembered."""
MAX_WAY_S = 0.15
"""A way that seems longer was a stall."""


@dataclass(frozen=True, slots=True)
class Send:
    """Hand these samples to the leg."""

    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Mark:
    """Ask the leg for a mark of this name behind what was sent."""

    name: str


@dataclass(slots=True)
class Heard:
    """Audio that was sent, and heard."""

    position: int
    pcm: Pcm
    begins: bool
    """The far end had run dry before it: it may have been silent for a moment."""
    at: float = -1.0
    """When its first sample was heard; negative: to be told from how positions and times lie now."""
    timed: bool = False
    """The way was known by then; else it is to be added."""


@dataclass(slots=True)
class _Pending:
    name: str
    position: int


class Playout:
    """The outbound audio of one call."""

    def __init__(
        self,
        sample_rate_hz: int,
        *,
        lead_ms: int = 300,
        mark_every_ms: int = 200,
        safety_ms: int = 2000,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._frame = sample_rate_hz * FRAME_MS // 1000
        self._lead = sample_rate_hz * lead_ms // 1000
        self._mark_every = sample_rate_hz * mark_every_ms // 1000
        # Half a mark's distance in one message: few enough messages, and the lead stays nearly full.
        self._batch = max(self._frame, self._mark_every // 2 // self._frame * self._frame)
        self._safety_s = safety_ms / 1000.0

        self._queue: deque[Pcm] = deque()
        self._queued = 0
        self._boundaries: deque[int] = deque()
        self._begins = False
        self._sent = 0
        self._last_mark = 0
        self._pending: deque[_Pending] = deque()
        # The pacing clock: the far end is taken to be at _run_position at _run_at, and to play on from there.
        self._run_position = 0
        self._run_at = 0.0
        # The playhead: the last position that is known to have been heard, and when.
        self._anchor_position = 0
        self._anchor_at = 0.0
        self._unheard: deque[Heard] = deque()
        self._keep = False
        # What marks take there and back: of each of the last runs the quickest. And half of what is usual: one way.
        self._trips: deque[float] = deque(maxlen=TRIPS)
        self._run_timed = True
        self._way_s = 0.0
        self._clear_s: float | None = None
        self.marks_lost = 0
        """Marks that never came back and were taken as played after the safety time."""

    # --- writing ------------------------------------------------------------------------------------------

    @property
    def written(self) -> int:
        """The position behind all audio handed over so far: where the next sample will lie."""
        return self._sent + self._queued

    @property
    def sent(self) -> int:
        return self._sent

    @property
    def queued_ms(self) -> float:
        """Audio that waits here for its time."""
        return self._queued * 1000.0 / self.sample_rate_hz

    def write(self, pcm: Pcm) -> None:
        """Queue audio behind what is there."""
        if len(pcm):
            self._queue.append(pcm)
            self._queued += len(pcm)

    def begin_message(self) -> None:
        """A message begins with what is written next: a frame of it is sent at once, also where the last
        frame of the one before still fills the lead."""
        self._begins = True

    def end_message(self) -> None:
        """The message is complete: fill its last frame with silence, and have a mark set right behind it."""
        rest = self.written % self._frame
        if rest:
            self.write(np.zeros(self._frame - rest, dtype=np.int16))
        self._boundaries.append(self.written)

    # --- sending ------------------------------------------------------------------------------------------

    def pull(self, now: float) -> list[Send | Mark]:
        """What to hand to the leg now, in order."""
        self._give_up_lost_marks(now)
        out: list[Send | Mark] = []
        while True:
            self._mark_boundaries(out)
            played = self._paced(now)
            if played >= self._sent and self._queued >= self._frame:
                self._start_run(now)
                played = self._sent
            room = self._lead - (self._sent - played)
            if self._queued < self._frame:
                return out
            size = min(self._batch, self._queued)
            if room < size:
                if not self._begins:
                    return out
                size = self._frame
            self._begins = False
            out.append(Send(self._take(size)))
            self._mark_boundaries(out)
            if self._sent - self._last_mark >= self._mark_every:
                out.append(self._new_mark())

    def deadline(self) -> float | None:
        """When ``pull`` next has something to do; None while nothing is queued or out."""
        times: list[float] = []
        if self._queued >= self._frame:
            ahead = self._sent + min(self._batch, self._queued) - self._lead - self._run_position
            times.append(self._run_at + ahead / self.sample_rate_hz)
        if self._pending:
            times.append(self._expected(self._pending[0]) + self._safety_s)
        return min(times, default=None)

    def _start_run(self, now: float) -> None:
        # The far end has run dry: what is sent next is played from the moment it arrives.
        self._time_unheard(self._limit(self._way_s))
        self._run_position, self._run_at = self._sent, now
        self._run_timed = False
        if not self._pending:
            self._anchor_position, self._anchor_at = self._sent, now + self._way_s
            self._last_mark = self._sent

    def _paced(self, now: float) -> int:
        elapsed = round((now - self._run_at) * self.sample_rate_hz)
        return min(self._sent, self._run_position + max(0, elapsed))

    def _take(self, samples: int) -> Pcm:
        if self._boundaries:
            samples = min(samples, self._boundaries[0] - self._sent)
        samples = samples // self._frame * self._frame
        parts: list[Pcm] = []
        missing = samples
        while missing:
            head = self._queue.popleft()
            if len(head) > missing:
                self._queue.appendleft(head[missing:])
                head = head[:missing]
            parts.append(head)
            missing -= len(head)
        pcm = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if self._keep:
            self._unheard.append(Heard(self._sent, pcm, self._sent == self._run_position))
        self._queued -= samples
        self._sent += samples
        return pcm

    def _mark_boundaries(self, out: list[Send | Mark]) -> None:
        reached = False
        while self._boundaries and self._boundaries[0] <= self._sent:
            self._boundaries.popleft()
            reached = True
        if reached and self._last_mark < self._sent:
            out.append(self._new_mark())

    def _new_mark(self) -> Mark:
        self._last_mark = self._sent
        self._pending.append(_Pending(str(self._sent), self._sent))
        return Mark(str(self._sent))

    # --- hearing ------------------------------------------------------------------------------------------

    def acknowledge(self, name: str, now: float) -> None:
        """The far end returned a mark. One that is not out (cleared, repeated, foreign) changes nothing."""
        if not any(mark.name == name for mark in self._pending):
            return
        while self._pending:
            mark = self._pending.popleft()
            if mark.name == name:
                self._time_trip(mark.position, now)
                self._heard_up_to(mark.position, now - self._way_s)
                return

    def _time_trip(self, position: int, now: float) -> None:
        """What is sent to an empty far end is played when it arrives: its mark tells how long the ways are. Where
        the far end ran dry behind our back later marks take longer, never shorter."""
        if position <= self._run_position or self._clear_s is not None:
            return
        trip = max(0.0, now - self._run_at - (position - self._run_position) / self.sample_rate_hz)
        if not self._run_timed:
            self._trips.append(trip)
            self._run_timed = True
        elif self._trips:
            self._trips[-1] = min(self._trips[-1], trip)
        if self._trips:
            usual = sorted(self._trips)[(len(self._trips) - 1) // 2]
            self._way_s = min(usual / 2, MAX_WAY_S)

    def know_way(self, way_s: float, clear_s: float) -> None:
        """The far end says itself how long audio takes to be heard there, and how long a clear takes to silence it:
        from now on that counts, and not what marks tell. Seconds."""
        self._way_s, self._clear_s = way_s, clear_s

    def _heard_up_to(self, position: int, now: float) -> None:
        # Audio behind a dry spell did not begin with the mark before it, but when it was sent.
        at = self._run_at + self._way_s if position == self._run_position else now
        self._anchor_position, self._anchor_at = position, at

    @property
    def way_s(self) -> float | None:
        """One way to the far end; None: no mark has told yet, and it is taken for none."""
        return self._way_s if self._trips or self._clear_s is not None else None

    def heard(self, now: float) -> int:
        """The position up to which the listener has heard the audio."""
        return self._position(now, self._limit(self._way_s))

    def heard_at_clear(self, now: float) -> int:
        """The position up to which he will have heard it when a clear that is sent now has come to him, and what it
        cannot take back has been played."""
        ahead_s = self._way_s if self._clear_s is None else self._clear_s
        return max(self.heard(now), self._position(now + ahead_s, self._limit(self._way_s + ahead_s)))

    def _limit(self, ahead_s: float) -> int:
        """The far end had not passed a mark that is still out when it could have returned it."""
        if not self._pending:
            return self._sent
        return min(self._sent, self._pending[0].position + round(ahead_s * self.sample_rate_hz))

    def _position(self, now: float, limit: int) -> int:
        elapsed = round((now - self._anchor_at) * self.sample_rate_hz)
        position = min(limit, self._anchor_position + max(0, elapsed))
        if self._anchor_position <= self._run_position < position:
            # Between the anchor and here the far end was dry: what came after it was heard from its sending on.
            since_run = round((now - self._run_at - self._way_s) * self.sample_rate_hz)
            return min(position, self._run_position + max(0, since_run))
        return position

    def due(self, position: int) -> float:
        """When a position that was sent is played by a far end that keeps pace with the sending: on one clock from
        the first frame of a run to its last, ahead of ``time_of`` by the way there and back."""
        return self._run_at + (position - self._run_position) / self.sample_rate_hz

    def time_of(self, position: int) -> float | None:
        """When all up to a position is or was heard; None where that waits for a mark or for its sending."""
        if position > self._limit(self._way_s):
            return None
        return self._instant(position)

    def begin_of(self, position: int) -> float | None:
        """When the sample at a position is or was heard; None as for ``time_of``."""
        if position > self._limit(self._way_s):
            return None
        at = self._begin(position)
        # A way may be less than none, where the far end plays ahead of the pace: what begins a run is not heard
        # before it was sent all the same.
        return max(at, self._run_at) if position >= self._run_position else at

    def _begin(self, position: int) -> float:
        """When the sample at a position is heard: other than the end of all before it where the far end ran dry in
        between."""
        if self._anchor_position <= position == self._run_position:
            return max(self._instant(position), self._run_at + self._way_s)
        return self._instant(position)

    @property
    def idle(self) -> bool:
        """Nothing is queued and every mark is back."""
        return not self._queued and not self._pending

    def clear(self, now: float) -> int:
        """Drop all that was not heard yet; return the position of the cut. The leg must be cleared with it.

        Marks that were out are void: a carrier returns them on a clear, and nobody heard what they stand for.
        """
        cut = self.heard_at_clear(now)
        self._time_unheard(cut)
        self._queue.clear()
        self._queued = 0
        self._boundaries.clear()
        self._begins = False
        self._pending.clear()
        while self._unheard and (last := self._unheard[-1]).position + len(last.pcm) > cut:
            if last.position < cut:
                last.pcm = last.pcm[: cut - last.position]
            else:
                self._unheard.pop()
        self._anchor_position = self._run_position = self._last_mark = self._sent
        self._anchor_at = self._run_at = now
        self._run_timed = True
        return cut

    def keep_heard(self) -> None:
        """From now on keep what is sent until ``take_heard`` fetches it."""
        self._keep = True

    def take_heard(self, now: float) -> list[Heard]:
        """The audio that was heard up to now, not fetched before, with its times."""
        out: list[Heard] = []
        if not self._unheard:
            return out
        upto = self.heard(now)
        while self._unheard and (first := self._unheard[0]).position < upto:
            self._unheard.popleft()
            size = upto - first.position
            if size < len(first.pcm):
                at = first.at + size / self.sample_rate_hz if first.at >= 0 else first.at
                self._unheard.appendleft(
                    replace(first, position=upto, pcm=first.pcm[size:], begins=False, at=at)
                )
                first.pcm = first.pcm[:size]
            self._time(first)
            out.append(first)
        return out

    def _time_unheard(self, upto: int) -> None:
        """Positions and times are about to lie otherwise: what was sent before keeps the time that it has."""
        for one in self._unheard:
            if one.position > upto:
                return
            self._time(one)

    def _time(self, one: Heard) -> None:
        if one.at < 0:
            one.at, one.timed = self._begin(one.position), self.way_s is not None

    def _expected(self, mark: _Pending) -> float:
        return self._instant(max(mark.position, self._anchor_position))

    def _instant(self, position: int) -> float:
        at = self._anchor_at + (position - self._anchor_position) / self.sample_rate_hz
        if self._anchor_position <= self._run_position < position:
            at = max(at, self._run_at + self._way_s + (position - self._run_position) / self.sample_rate_hz)
        return at

    def _give_up_lost_marks(self, now: float) -> None:
        while self._pending and now >= self._expected(self._pending[0]) + self._safety_s:
            mark = self._pending.popleft()
            self.marks_lost += 1
            self._heard_up_to(mark.position, self._expected(mark))
