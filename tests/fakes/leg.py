"""A caller in virtual time: hears what is sent at the pace of an ear, returns marks, and speaks frames."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from media.frames import AudioFrame, Pcm
from media.ports import LegFormat, LegListener

FRAME_S = 0.02


@dataclass
class Stretch:
    """Audio that was sent together: when it began to be heard, and how much of it was."""

    at: float
    pcm: Pcm
    heard: int = -1
    """Samples that were heard; -1: all of them."""


@dataclass
class FakeLeg:
    """The far end of a phone call at 8 kHz. ``delay_s`` is the way of a mark back, ``way_s`` that of audio there."""

    lead_ms: int = 300
    delay_s: float = 0.0
    way_s: float = 0.0
    marks_on_clear: bool = True
    stretches: list[Stretch] = field(default_factory=list)
    hung_up: str | None = None
    listener: LegListener | None = None

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends = 0.0
        self._marks: dict[str, asyncio.TimerHandle] = {}
        self._position = 0
        self._next = self._loop.time()

    @property
    def format(self) -> LegFormat:
        return LegFormat(8000, self.lead_ms)

    # --- hearing ------------------------------------------------------------------------------------------

    def send(self, pcm: Pcm) -> None:
        assert len(pcm) % 160 == 0
        start = max(self._loop.time() + self.way_s, self._ends)
        self.stretches.append(Stretch(start, pcm))
        self._ends = start + len(pcm) / 8000

    def mark(self, name: str) -> None:
        due = max(self._loop.time() + self.way_s, self._ends) + self.delay_s
        self._marks[name] = self._loop.call_at(due, self._return, name)

    def clear(self) -> None:
        if self.way_s:
            self._loop.call_later(self.way_s, self._clear)
        else:
            self._clear()

    def _clear(self) -> None:
        now = self._loop.time()
        for stretch in self.stretches:
            if stretch.heard < 0 and stretch.at + len(stretch.pcm) / 8000 > now:
                stretch.heard = max(0, round((now - stretch.at) * 8000))
        self._ends = min(self._ends, now)
        for name, handle in list(self._marks.items()):
            handle.cancel()
            del self._marks[name]
            if self.marks_on_clear:
                self._loop.call_later(self.delay_s, self._tell, name)

    def _return(self, name: str) -> None:
        del self._marks[name]
        self._tell(name)

    def _tell(self, name: str) -> None:
        if self.listener is not None:
            self.listener.on_mark(name)

    async def hang_up(self, detail: str) -> None:
        self.hung_up = detail

    def heard_ms(self) -> float:
        """Audio that reached the ear by now, silence among it."""
        now = self._loop.time()
        total = 0.0
        for stretch in self.stretches:
            samples = len(stretch.pcm) if stretch.heard < 0 else stretch.heard
            total += min(samples / 8000, max(0.0, now - stretch.at))
        return total * 1000

    # --- speaking -----------------------------------------------------------------------------------------

    async def speak(self, seconds: float, level: int = 8000) -> None:
        """Sound (or, at level 0, silence) for so long, in frames of 20 ms, on the call's own clock."""
        assert self.listener is not None
        for _ in range(round(seconds / FRAME_S)):
            self._next += FRAME_S
            await asyncio.sleep(self._next - self._loop.time())
            pcm = np.full(160, level, dtype=np.int16)
            pcm[::2] *= -1
            self.listener.on_audio(AudioFrame(pcm, 8000, self._position))
            self._position += 160

    async def silence(self, seconds: float) -> None:
        await self.speak(seconds, 0)
