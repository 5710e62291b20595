"""What is kept and measured of a call's audio: both sides placed on the caller's clock, for the recorder, the meters
and the echo guard."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from media.callerclock import CallerClock
from media.frames import AudioFrame, Pcm
from media.levels import Level, Meter, level_of
from media.playout import Heard, Playout
from pipeline.events import AudioMetrics, RecordingChannels, RecordingFormat
from pipeline.listening import Listening

SURE_S, FIRST_S = 0.2, 1.0
"""After so long frames of the caller have come that were no later than usual, and tell the time right. The first ones
often come in a burst: then it takes longer."""
TIMED_S = 0.5
"""After so long a first mark has come back and told the way, or none will."""


class Listener(Protocol):
    """Who wants the audio of a call. Positions are samples on the caller's clock."""

    def caller(self, start: int, pcm: Pcm) -> None: ...

    def bot(self, at: int, pcm: Pcm) -> None: ...


class CallRecorder(Listener, Protocol):
    """What a call asks of a recorder."""

    @property
    def format(self) -> RecordingFormat: ...

    @property
    def channels(self) -> RecordingChannels: ...

    @property
    def paused(self) -> bool: ...

    def pause(self, at: int) -> None: ...

    def resume(self, at: int) -> None: ...


class Monitor:
    """Of one call. Told of each frame of the caller before its ears are given it."""

    def __init__(
        self,
        playout: Playout,
        ears: Listening,
        sample_rate_hz: int,
        metrics_interval_ms: int | None,
    ) -> None:
        self._playout = playout
        self._ears = ears
        self._rate = sample_rate_hz
        self.recorder: CallRecorder | None = None
        self._listeners: tuple[Listener, ...] = ()
        """The recorder among them."""
        self._clock = CallerClock(sample_rate_hz)
        self._meters: _Meters | None = None
        self._interval_ms: int | None = None
        self._heard: deque[Heard] = deque()
        """What is not placed yet."""
        self._bot_next = (-1, 0)
        self._sent_next = (-1, 0)
        self.measure(metrics_interval_ms)

    @property
    def began_at(self) -> float:
        """When the caller's first sample was, on the loop's clock."""
        return self._clock.began_at

    @property
    def clock(self) -> int:
        """The caller's: one past his last sample."""
        return self._ears.end

    @property
    def clock_ms(self) -> int:
        return self._ears.end * 1000 // self._rate

    def record(self, recorder: CallRecorder) -> None:
        """Keep what is said and heard from now on."""
        self.recorder = recorder
        self.overheard_by(recorder)

    def overheard_by(self, listener: Listener, *, late: bool = False) -> None:
        """Give somebody what is said and heard from now on. ``late``: also the last moment of the bot, which is not
        placed yet; the others are given it in its time, as if nobody had come."""
        if not late:
            self.note_bot(self._ears.at, rest=True)
        self._listeners += (listener,)
        self._playout.keep_heard()

    def unheard_by(self, listener: Listener) -> None:
        """Give it no more."""
        self._listeners = tuple(known for known in self._listeners if known is not listener)

    def measure(self, interval_ms: int | None) -> None:
        """Tell the levels at this interval from now on; None: no more."""
        if interval_ms == self._interval_ms:
            return
        self._interval_ms = interval_ms
        self._meters = _Meters(self._rate, interval_ms) if interval_ms else None
        if interval_ms:
            self._playout.keep_heard()

    def frame(self, frame: AudioFrame, *, bot_speaks: bool) -> list[AudioMetrics]:
        """A frame of the caller has come. Returns what the meters say, where an interval is over."""
        self._clock.frame(frame.end, self._ears.at)
        for listener in self._listeners:
            listener.caller(frame.start, frame.pcm)
        self.note_bot(self._ears.at)
        if self._meters is None:
            return []
        now, out = self._ears.at, []
        for level in self._meters.user.add(frame.pcm):
            out.append(AudioMetrics("user", level, self._ears.speaking, self._ears.probability, now))
            out.append(AudioMetrics("bot", self._meters.take_bot(), bot_speaks, None, now))
        return out

    def sent(self, position: int, pcm: Pcm) -> None:
        """Audio goes out: the ears may hear it again. They are told before it is heard, and are not told what
        is cleared: what was under way by then is heard all the same."""
        sample = self._ears.end + round((self._playout.due(position) - self._ears.at) * self._rate)
        expected_position, expected_sample = self._sent_next
        if position == expected_position and abs(sample - expected_sample) < self._rate // 10:
            sample = expected_sample
        self._sent_next = (position + len(pcm), sample + len(pcm))
        self._ears.played(sample, pcm)

    def note_bot(self, now: float, *, rest: bool = False) -> None:
        """Place what was heard of the bot on the caller's clock; ``rest``: no more frames come."""
        way_s = self._playout.way_s
        for heard in self._playout.take_heard(now):
            self._heard.append(heard)
            if self._meters is not None:
                self._meters.bot.append(heard.pcm)
        if not rest and now < self._clock.began_at + FIRST_S:
            return
        while self._heard and self._ears.end:
            first = self._heard[0]
            patience_s = SURE_S if first.timed or way_s is not None else TIMED_S
            if not rest and first.at > now - patience_s:
                return
            self._place(self._heard.popleft(), way_s or 0.0)

    def _place(self, heard: Heard, way_s: float) -> None:
        position, pcm = heard.position, heard.pcm
        sample = max(0, self._clock.sample(heard.at if heard.timed else heard.at + way_s))
        expected_position, expected_sample = self._bot_next
        if position == expected_position and abs(sample - expected_sample) < self._rate // 10:
            # One flow of audio: the clock's jitter must not cut it up. Where it broke off, nothing begins before the end.
            sample = max(sample, expected_sample) if heard.begins else expected_sample
        self._bot_next = (position + len(pcm), sample + len(pcm))
        for listener in self._listeners:
            listener.bot(sample, pcm)


class _Meters:
    """Levels of both sides, told together at the end of each interval of the caller's clock."""

    def __init__(self, rate: int, interval_ms: int) -> None:
        self.user = Meter(rate, interval_ms)
        self.bot: list[Pcm] = []
        """What was heard of the bot in this interval; where it is shorter, the rest was silence."""
        self._interval = rate * interval_ms // 1000

    def take_bot(self) -> Level:
        heard = sum(len(pcm) for pcm in self.bot)
        silence = np.zeros(max(0, self._interval - heard), dtype=np.int16)
        level = level_of(np.concatenate([*self.bot, silence]))
        self.bot.clear()
        return level
