"""Speech for a caller to say, coded once and shared by all calls that say it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from media import wav
from media.frames import Pcm
from media.g711 import ulaw_encode
from media.resample import resample
from telephony.carriers.twilio.simulator.loudness import loud_bounds
from telephony.carriers.twilio.simulator.playback import RATE_HZ

_FRAME = 160


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording as the carrier sends it: mu-law at 8 kHz in frames of 20 ms."""

    name: str
    ulaw: bytes
    """Padded with silence to whole frames."""
    frames: tuple[str, ...]
    """Each 20 ms as base64."""
    onset: int
    """First sample that can be heard; the end of the clip where none can."""
    voice_end: int
    """One past the last sample that can be heard."""

    @property
    def duration_s(self) -> float:
        return len(self.ulaw) / RATE_HZ

    @classmethod
    def from_ulaw(cls, ulaw: bytes, name: str = "") -> Clip:
        padded = ulaw + b"\xff" * (-len(ulaw) % _FRAME)
        onset, voice_end = loud_bounds(padded) or (len(padded), len(padded))
        frames = tuple(
            base64.b64encode(padded[start : start + _FRAME]).decode("ascii")
            for start in range(0, len(padded), _FRAME)
        )
        return cls(name, padded, frames, onset, voice_end)

    @classmethod
    def from_pcm(cls, pcm: Pcm, rate_hz: int, name: str = "") -> Clip:
        """From linear samples of any usual rate. Computes: not on the loop of a running call."""
        return cls.from_ulaw(ulaw_encode(resample(pcm, rate_hz, RATE_HZ)), name)

    @classmethod
    def from_wav(cls, path: str | Path) -> Clip:
        """From a WAV file, read at once. Raises ``ValueError`` for what is none, and ``OSError``."""
        pcm, rate_hz = wav.read(Path(path))
        return cls.from_pcm(pcm, rate_hz, Path(path).name)
