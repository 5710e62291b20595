"""From a voice detector's verdicts to segments of voice, with an onset that is dated back to the sample.

::

            enough voice in the last 100 ms
     quiet ---------------------------------> speaking
           <---------------------------------
            no voice for speech_end_delay_ms, or flush

Two thresholds keep it from fluttering: voice begins above the higher one and goes on above the lower one.

A recurrent detector believes in a voice for a while after its end, 50 ms at the median and 100 ms often: what
is far below the loudest of the segment by then, and not speech beyond doubt, is its echo in the detector. It
moves the end forward by at most ``ECHO_MS``, so that a voice that has become quiet is not cut off.

A segment begins with what stands out of the line's noise (``media.noise``), or is speech beyond reasonable
doubt. What goes on may be as quiet as it likes: a voice fades into the noise, and comes back out of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from media.noise import NoiseFloor
from media.ports import VadWindow

LOOKBACK_MS = 100
"""Voice is added up over so long before it counts as begun, so that a short dip inside a word does not
start the count anew."""

ECHO_MS = 160
QUIET_DB = 30.0
"""How far below the loudest window of a segment its echo lies."""
BEYOND_DOUBT = 0.99
BEYOND_NOISE = 0.9
"""As likely as this, a window is voice though it does not stand out of the noise."""


@dataclass(frozen=True, slots=True)
class VadParams:
    """When voice counts as begun and as ended. Raises ``ValueError`` naming the field."""

    threshold: float = 0.5
    """Probability from which a window is voice."""
    release_threshold: float = 0.35
    """Probability from which it still is, once voice has begun."""
    sure_threshold: float = 0.8
    """One window as likely as this begins a segment by itself, a window's length sooner. No noise, tone, click
    or breath that was tried came near it (0.38 at most). Above 1: voice always has to add up."""
    onset_ms: int = 64
    """Voice needed within the last 100 ms before ``VoiceStarted`` is said."""
    speech_end_delay_ms: int = 300
    """Silence needed before ``VoiceEnded`` is said, to the nearest window."""
    noise_margin_db: float = 5.0
    """How far above the noise of the line a window must lie to begin a segment. 0: it need not."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must lie above 0 and not above 1, not {self.threshold}")
        if not 0 < self.release_threshold <= self.threshold:
            raise ValueError(
                f"release_threshold must lie above 0 and not above threshold ({self.threshold}), "
                f"not {self.release_threshold}"
            )
        if not 1 <= self.onset_ms <= LOOKBACK_MS:
            raise ValueError(f"onset_ms must be 1 to {LOOKBACK_MS}, not {self.onset_ms}")
        if not 1 <= self.speech_end_delay_ms <= 10_000:
            raise ValueError(f"speech_end_delay_ms must be 1 to 10000, not {self.speech_end_delay_ms}")
        if not 0 <= self.noise_margin_db <= 30:
            raise ValueError(f"noise_margin_db must be 0 to 30, not {self.noise_margin_db}")


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    """All positions are samples of the leg."""

    onset: int
    """First sample of the first voiced window: when the voice began."""
    at: int
    """When that was certain: one past the last sample that was needed."""
    confidence: float
    """Mean probability of the voiced windows that decided it, 0 to 1."""


@dataclass(frozen=True, slots=True)
class VoiceEnded:
    onset: int
    """That of the ``VoiceStarted`` which it closes."""
    end: int
    """One past the last voiced sample."""
    at: int
    """When that was certain."""


class VoiceSegmenter:
    """The segments of one leg. Starts and ends alternate; nothing depends on anything but the verdicts."""

    def __init__(self, sample_rate_hz: int, params: VadParams | None = None) -> None:
        self._params = params = params or VadParams()
        self._lookback = sample_rate_hz * LOOKBACK_MS // 1000
        self._onset_samples = sample_rate_hz * params.onset_ms // 1000
        self._end_delay = sample_rate_hz * params.speech_end_delay_ms // 1000
        self._recent: deque[VadWindow] = deque()  # voiced windows of the lookback, while quiet
        self._echo = sample_rate_hz * ECHO_MS // 1000
        self._onset: int | None = None
        self._voiced_until = 0
        self._loudest = 0.0
        self._now = 0
        self._noise = NoiseFloor(sample_rate_hz)

    @property
    def noise_db(self) -> float | None:
        """The noise of the line in dBFS; None: not known yet."""
        return self._noise.floor_db

    @property
    def speaking(self) -> bool:
        """Between ``VoiceStarted`` and ``VoiceEnded``."""
        return self._onset is not None

    @property
    def voiced_until(self) -> int:
        """One past the last sample of the last voiced window, whether or not it began a segment."""
        return self._voiced_until

    def push(self, window: VadWindow) -> list[VoiceStarted | VoiceEnded]:
        """Take the next verdict, in order; returns what it makes certain: nothing or one edge."""
        self._now = max(self._now, window.end)
        self._noise.push(window)
        if self._onset is None:
            return self._quiet(window)
        return self._speaking(self._onset, window)

    def flush(self, at: int) -> list[VoiceStarted | VoiceEnded]:
        """The leg is gone, at this sample: closes an open segment. Voice that was not yet certain is
        forgotten. The segmenter may be used on."""
        self._now = max(self._now, at)
        self._recent.clear()
        if self._onset is None:
            return []
        return [self._end(self._onset)]

    def _quiet(self, window: VadWindow) -> list[VoiceStarted | VoiceEnded]:
        recent = self._recent
        while recent and recent[0].start < window.end - self._lookback:
            recent.popleft()
        if window.probability < self._params.threshold or self._is_noise(window):
            return []
        self._voiced_until = window.end
        if not recent:
            self._loudest = 0.0
        self._loudest = max(self._loudest, window.rms or 0.0)
        recent.append(window)
        sure = window.probability >= self._params.sure_threshold
        if not sure and sum(voiced.end - voiced.start for voiced in recent) < self._onset_samples:
            return []
        confidence = sum(voiced.probability for voiced in recent) / len(recent)
        self._onset = recent[0].start
        recent.clear()
        return [VoiceStarted(self._onset, self._now, confidence)]

    def _is_noise(self, window: VadWindow) -> bool:
        if not self._params.noise_margin_db or window.probability >= BEYOND_NOISE:
            return False
        return self._noise.above_db(window) < self._params.noise_margin_db

    def _speaking(self, onset: int, window: VadWindow) -> list[VoiceStarted | VoiceEnded]:
        if window.probability >= self._params.release_threshold:
            self._voiced_until = (
                window.end if self._sounds(window) else max(self._voiced_until, window.end - self._echo)
            )
            return []
        # To the nearest window: waiting for the next one would make each answer later by its length.
        half = (window.end - window.start) // 2
        if self._now - self._voiced_until + half < self._end_delay:
            return []
        return [self._end(onset)]

    def _sounds(self, window: VadWindow) -> bool:
        """There is something to hear in it, next to the loudest of the segment."""
        if window.rms is None:
            return True
        self._loudest = max(self._loudest, window.rms)
        return window.probability >= BEYOND_DOUBT or window.rms >= self._loudest * 10.0 ** (-QUIET_DB / 20.0)

    def _end(self, onset: int) -> VoiceEnded:
        self._onset = None
        return VoiceEnded(onset, self._voiced_until, self._now)
