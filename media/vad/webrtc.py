"""The voice detector of WebRTC (a Gaussian mixture on six bands): small, quick, and easily fooled.

It reports an onset as soon as a neural detector does. But it calls almost any steady noise speech, and then
never releases: on a noisy line a turn that ends by silence may not end at all. It is the fallback where the
Silero model cannot be had.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from media.frames import Pcm
from media.ports import VadStream, VadWindow
from media.vad import VadUnavailable, require_rate

_RATES = (8000, 16000)
_WINDOW_MS = 20
_SMOOTHING = 3
"""Windows whose votes make the probability: one voiced window alone is 0.3, two are 0.59."""
_UNANIMOUS = 0.89
"""The probability of three. Noise gets as much from this detector: it is never beyond doubt."""


class WebrtcUnavailable(VadUnavailable):
    """The package is missing."""


class WebrtcVad:
    """``media.ports.VoiceDetector`` for 8 and 16 kHz; each verdict comes from the ``feed`` that completes
    its window of 20 ms.

    ``mode`` is 0 (calls most things speech) to 3. Raises ``ValueError`` and ``WebrtcUnavailable``.
    """

    def __init__(self, mode: int = 3) -> None:
        if mode not in (0, 1, 2, 3):
            raise ValueError(f"the mode of the WebRTC voice detector must be 0 to 3, not {mode}")
        try:
            self._engine: Any = importlib.import_module("webrtcvad")
        except ImportError as missing:
            raise WebrtcUnavailable(
                "the WebRTC voice detector needs the package webrtcvad-wheels, which cannot be imported: "
                f"{missing}"
            ) from missing
        self._mode = mode

    def open(self, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> VadStream:
        """Start one call. Raises ``ValueError`` for another rate than 8000 or 16000."""
        require_rate("the WebRTC voice detector", sample_rate_hz, _RATES)
        return _WebrtcStream(self._engine.Vad(self._mode), sample_rate_hz, on_window)


class _WebrtcStream:
    def __init__(self, engine: Any, sample_rate_hz: int, on_window: Callable[[VadWindow], None]) -> None:
        self._engine = engine
        self._rate = sample_rate_hz
        self._window = sample_rate_hz * _WINDOW_MS // 1000
        self._on_window: Callable[[VadWindow], None] | None = on_window
        self._rest = np.zeros(0, np.int16)
        self._recent: deque[bool] = deque([False] * _SMOOTHING, maxlen=_SMOOTHING)
        self._start = 0

    def feed(self, pcm: Pcm) -> None:
        if self._on_window is None:
            return
        if len(self._rest):
            pcm = np.concatenate((self._rest, pcm))
        whole = len(pcm) - len(pcm) % self._window
        self._rest = pcm[whole:].copy()
        for at in range(0, whole, self._window):
            frame = pcm[at : at + self._window]
            self._recent.append(self._engine.is_speech(frame.tobytes(), self._rate))
            rms = float(np.sqrt(np.square(frame, dtype=np.float32).mean())) / 32768.0
            start = self._start
            self._start = start + self._window
            if self._on_window is not None:  # the callback may close the stream
                probability = sum(self._recent) * _UNANIMOUS / _SMOOTHING
                self._on_window(VadWindow(probability, start, self._start, rms))

    def close(self) -> None:
        self._on_window = None
