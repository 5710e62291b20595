"""A voice detector whose verdicts are written down beforehand, or follow from plain loudness."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from media.frames import Pcm
from media.ports import VadStream, VadWindow


class FakeVad:
    """Synchronous verdicts on windows of ``window_ms``.

    With ``probabilities`` each stream that is opened gets them in turn, and 0.0 after the last. Without, a
    window whose peak reaches ``loud`` has probability 0.95, another 0.02.
    """

    def __init__(
        self, probabilities: Sequence[float] | None = None, *, window_ms: int = 32, loud: int = 1000
    ) -> None:
        self.probabilities = probabilities
        self.window_ms = window_ms
        self.loud = loud
        self.streams: list[FakeVadStream] = []
        """All that were ever opened."""

    def open(self, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> VadStream:
        if sample_rate_hz not in (8000, 16000):
            raise ValueError(f"FakeVad takes 8000 or 16000 Hz, not {sample_rate_hz}")
        stream = FakeVadStream(self, sample_rate_hz, on_window)
        self.streams.append(stream)
        return stream


class FakeVadStream:
    def __init__(self, vad: FakeVad, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.fed = 0
        """Samples that came in."""
        self.closed = False
        self._vad = vad
        self._window = sample_rate_hz * vad.window_ms // 1000
        self._on_window = on_window
        self._rest = np.zeros(0, np.int16)
        self._told = 0

    def feed(self, pcm: Pcm) -> None:
        if self.closed:
            return
        self.fed += len(pcm)
        self._rest = np.concatenate((self._rest, pcm))
        while len(self._rest) >= self._window and not self.closed:
            window, self._rest = self._rest[: self._window], self._rest[self._window :]
            start = self._told * self._window
            self._told += 1
            self._on_window(VadWindow(self._judge(window), start, start + self._window))

    def _judge(self, window: Pcm) -> float:
        script = self._vad.probabilities
        if script is None:
            return 0.95 if int(np.abs(window.astype(np.int32)).max()) >= self._vad.loud else 0.02
        return script[self._told - 1] if self._told <= len(script) else 0.0

    def close(self) -> None:
        self.closed = True
