"""The other end of a phone line, which knows of each sample when it was audible there, or that it never was.

``FarEnd`` is an ``AudioLeg`` behind a network: what is sent, and what comes back, takes its time on an ordered
connection that also stalls. All that happens at the far end is computed from the instants of arrival, so that
it is the same on virtual time and on a loop that was held up.
"""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from media.frames import AudioFrame, Pcm
from media.ports import LegFormat, LegListener

RATE_HZ = 8000
FRAME_S = 0.02
_EPSILON_S = 1e-6


@dataclass(frozen=True, slots=True)
class Network:
    """What a message meets on its way, the same in both directions and independently."""

    base_ms: float = 40.0
    jitter_ms: float = 8.0
    """Median of what comes on top of it, log-normal with ``sigma``."""
    sigma: float = 0.8
    stall_every_s: float = 30.0
    """Mean time between two stalls of one direction; 0: none. What would come within one comes at its end."""
    stall_ms: tuple[float, float] = (200.0, 800.0)
    marks_lost: float = 0.005
    """Share of marks that never come back; unlike Twilio's, which lie on the same connection."""
    marks_repeated: float = 0.01


class Path:
    """One direction."""

    def __init__(self, network: Network, rng: random.Random, begin_s: float) -> None:
        self._network = network
        self._rng = rng
        self._last = begin_s
        self._stall = (begin_s, begin_s)
        self.stalls: list[tuple[float, float]] = []

    def arrival(self, sent_s: float) -> float:
        """When what is sent now arrives. Instants of sending must not fall."""
        net = self._network
        jitter_ms = net.jitter_ms * math.exp(net.sigma * self._rng.gauss(0.0, 1.0)) if net.jitter_ms else 0.0
        at = max(sent_s + (net.base_ms + jitter_ms) / 1000, self._last + _EPSILON_S)
        if net.stall_every_s:
            while self._stall[1] <= at:
                begin = self._stall[1] + self._rng.expovariate(1 / net.stall_every_s)
                self._stall = (begin, begin + self._rng.uniform(*net.stall_ms) / 1000)
                self.stalls.append(self._stall)
            if self._stall[0] <= at:
                at = self._stall[1]
        self._last = at
        return at


@dataclass(slots=True)
class Chunk:
    """Audio that arrived together."""

    start_s: float
    """When its first sample was audible, unless it was cleared before."""
    position: int
    """Samples received before it."""
    pcm: Pcm
    heard: int = -1
    """Samples that were heard; -1: all."""

    @property
    def played(self) -> int:
        return len(self.pcm) if self.heard < 0 else self.heard

    @property
    def end_s(self) -> float:
        return self.start_s + self.played / RATE_HZ


@dataclass(frozen=True, slots=True)
class Gap:
    """The buffer ran dry and was filled again, without a ``clear`` between."""

    at_s: float
    seconds: float
    chunk: int
    """Number of the chunk behind it."""


class Playback:
    """The play-out buffer. Instants are given, and must not fall."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.gaps: list[Gap] = []
        self.clears: list[float] = []
        self.received = 0
        self._ends = -math.inf
        self._marks: deque[tuple[float, str]] = deque()
        self._cut = True

    def media(self, pcm: Pcm, at: float) -> None:
        if at > self._ends + _EPSILON_S:
            if not self._cut:
                self.gaps.append(Gap(self._ends, at - self._ends, len(self.chunks)))
            self._ends = at
        self._cut = False
        self.chunks.append(Chunk(self._ends, self.received, pcm))
        self.received += len(pcm)
        self._ends += len(pcm) / RATE_HZ

    def mark(self, name: str, at: float) -> None:
        self._marks.append((max(at, self._ends), name))

    @property
    def next_mark_s(self) -> float | None:
        return self._marks[0][0] if self._marks else None

    def due_marks(self, at: float) -> list[tuple[float, str]]:
        """Marks behind what was played by now, each with its instant, each once."""
        due = []
        while self._marks and self._marks[0][0] <= at + _EPSILON_S:
            due.append(self._marks.popleft())
        return due

    def clear(self, at: float) -> list[str]:
        """Throw away what was not played. Returns the marks behind it, which come back at once. Take those that
        are due before."""
        for chunk in reversed(self.chunks):
            if chunk.end_s <= at:
                break
            if chunk.heard < 0:
                chunk.heard = min(len(chunk.pcm), max(0, math.ceil((at - chunk.start_s) * RATE_HZ - 1e-3)))
        self._ends = min(self._ends, at)
        self.clears.append(at)
        self._cut = True
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def instant_of(self, position: int) -> float | None:
        """When the n-th received sample was audible; None: never."""
        index = bisect_right(self.chunks, position, key=lambda chunk: chunk.position) - 1
        chunk = self.chunks[index]
        offset = position - chunk.position
        return chunk.start_s + offset / RATE_HZ if 0 <= offset < chunk.played else None


@dataclass(slots=True)
class _Item:
    arrival: float
    what: Callable[[float], None]


class _Line:
    """Does what comes over a path when it has come, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._items: deque[_Item] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def push(self, what: Callable[[float], None], sent_s: float) -> None:
        self._items.append(_Item(self.path.arrival(sent_s), what))
        self._set()

    def _set(self) -> None:
        if self._timer is None and self._items:
            self._timer = self._loop.call_at(self._items[0].arrival, self._run)

    def _run(self) -> None:
        self._timer = None
        self.deliver(self._loop.time())
        self._set()

    def deliver(self, now: float) -> None:
        while self._items and self._items[0].arrival <= now + _EPSILON_S:
            item = self._items.popleft()
            item.what(item.arrival)

    def close(self) -> None:
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@dataclass(slots=True)
class Spoken:
    """Something that the caller said: the instants of its first and behind its last sample, at the far end."""

    start_s: float
    end_s: float = field(default=math.nan)


class FarEnd:
    """The leg of a call whose listener is ``listener``."""

    def __init__(self, network: Network, seed: int, *, lead_ms: int = 300) -> None:
        rng = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._network = network
        self._rng = rng
        self._lead_ms = lead_ms
        now = self._loop.time()
        self._down = _Line(Path(network, random.Random(rng.random()), now))
        self._up = _Line(Path(network, random.Random(rng.random()), now))
        self._mark_timer: asyncio.TimerHandle | None = None
        self._next = now
        self._sent_frames = 0
        self.playback = Playback()
        self.spoken: list[Spoken] = []
        self.listener: LegListener | None = None
        self.closed = False

    @property
    def format(self) -> LegFormat:
        return LegFormat(RATE_HZ, self._lead_ms)

    # --- hearing ------------------------------------------------------------------------------------------

    def send(self, pcm: Pcm) -> None:
        assert len(pcm) % 160 == 0
        self._down.push(lambda at: self.playback.media(pcm, at), self._loop.time())

    def mark(self, name: str) -> None:
        self._down.push(lambda at: self._on_mark(name, at), self._loop.time())

    def clear(self) -> None:
        self._down.push(self._on_clear, self._loop.time())

    async def hang_up(self, detail: str) -> None:
        """What is under way still arrives at the far end, and nothing leaves it."""
        if self.closed:
            return
        self.closed = True
        self._down.push(self._on_clear, self._loop.time())
        self._down.deliver(math.inf)
        self._down.close()
        self._up.close()
        if self._mark_timer is not None:
            self._mark_timer.cancel()

    def _on_mark(self, name: str, at: float) -> None:
        self._return_due(at)
        self.playback.mark(name, at)
        self._set_mark_timer()

    def _on_clear(self, at: float) -> None:
        self._return_due(at)
        for name in self.playback.clear(at):
            self._return(name, at)
        self._set_mark_timer()

    def _set_mark_timer(self) -> None:
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        due = self.playback.next_mark_s
        if due is not None and not self.closed:
            self._mark_timer = self._loop.call_at(due, self._on_mark_timer)

    def _on_mark_timer(self) -> None:
        # Audio that came before was not seen yet where the loop was held up; marks behind it are not due.
        self._mark_timer = None
        self._return_due(self._loop.time())
        self._set_mark_timer()

    def _return_due(self, at: float) -> None:
        for due_s, name in self.playback.due_marks(at):
            self._return(name, due_s)

    def _return(self, name: str, at: float) -> None:
        if self.closed or self._rng.random() < self._network.marks_lost:
            return
        times = 2 if self._rng.random() < self._network.marks_repeated else 1
        for _ in range(times):
            self._up.push(lambda _: self._tell(name), at)

    def _tell(self, name: str) -> None:
        if self.listener is not None:
            self.listener.on_mark(name)

    # --- speaking -----------------------------------------------------------------------------------------

    async def speak(self, seconds: float, level: int = 8000) -> None:
        """Sound (at level 0: silence) for so long, in frames of 20 ms, on the far end's own clock."""
        frames = round(seconds / FRAME_S)
        pcm = np.full(160, level, dtype=np.int16)
        pcm[::2] *= -1
        if level:
            self.spoken.append(Spoken(self._next, self._next + frames * FRAME_S))
        for _ in range(frames):
            self._next += FRAME_S
            await asyncio.sleep(self._next - self._loop.time())
            if self.closed:
                return
            frame = AudioFrame(pcm, RATE_HZ, self._sent_frames * 160)
            self._sent_frames += 1
            self._up.push(lambda _, frame=frame: self._hand_over(frame), self._next)  # type: ignore[misc]

    async def silence(self, seconds: float) -> None:
        await self.speak(seconds, 0)

    def _hand_over(self, frame: AudioFrame) -> None:
        if self.listener is not None:
            self.listener.on_audio(frame)
