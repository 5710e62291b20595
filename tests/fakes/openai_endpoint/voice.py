"""What speaks behind the route for speech: a buzz for each word, or a voice that a person can follow."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Protocol

import numpy as np

from pipeline.ports import TextToSpeech, TtsAudio, TtsRequest
from pipeline.text import tokens

WORD_MS = 320
"""Each word of the buzz takes so long at speed 1."""
QUIET_MS = 40
"""Of that, silence at its end, by which the far end tells words apart."""
BUZZ_HZ = 125
_NOT_A_WORD_MS = 100
"""Silence in place of a text without a word."""
_SPEAK_WITHIN_S = 30


class Voice(Protocol):
    async def speak(self, text: str, rate_hz: int, speed: float) -> bytes:
        """Samples of 16 bits, little endian, mono."""


class Buzz:
    """As deep as a voice, and exact: word ``i`` sounds from ``i * 320`` ms for 280 ms, each sample of it."""

    async def speak(self, text: str, rate_hz: int, speed: float) -> bytes:
        words = len(tokens(text))
        if words == 0:
            return bytes(2 * (rate_hz * _NOT_A_WORD_MS // 1000))
        return _word(rate_hz, speed) * words


@lru_cache(maxsize=64)
def _word(rate_hz: int, speed: float) -> bytes:
    total = round(rate_hz * WORD_MS / speed / 1000)
    loud = np.arange(round(rate_hz * (WORD_MS - QUIET_MS) / speed / 1000))
    sign = np.where(loud * BUZZ_HZ * 2 // rate_hz % 2, 1, -1)
    swell = 2000 + 1500 * np.cos(loud * 6 * np.pi / len(loud))
    pcm = np.zeros(total, "<i2")
    pcm[: len(loud)] = sign * swell
    return pcm.tobytes()


class EngineVoice:
    """One of the server's own engines. It has been started, and is closed by who made it."""

    def __init__(self, engine: TextToSpeech) -> None:
        self._engine = engine

    async def speak(self, text: str, rate_hz: int, speed: float) -> bytes:
        request = TtsRequest(text, rate_hz, speed=speed)
        async with asyncio.timeout(_SPEAK_WITHIN_S):
            events = [event async for event in self._engine.speak(request)]
        return b"".join(event.pcm.astype("<i2").tobytes() for event in events if isinstance(event, TtsAudio))
