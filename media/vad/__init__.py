"""Voice detectors behind ``media.ports.VoiceDetector``, and what they raise when they cannot be had."""

from __future__ import annotations


class VadUnavailable(RuntimeError):
    """A voice detector cannot be used in this process. The message names the package that is missing."""


def require_rate(engine: str, sample_rate_hz: int, allowed: tuple[int, ...]) -> None:
    """Raise ``ValueError`` for a sample rate that this detector does not take."""
    if sample_rate_hz not in allowed:
        rates = " or ".join(map(str, allowed))
        raise ValueError(f"{engine} takes {rates} Hz, not {sample_rate_hz}: resample the audio first")
