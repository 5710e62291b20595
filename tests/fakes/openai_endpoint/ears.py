"""What hears behind the route for transcriptions: a fixed sentence, or a recogniser."""

from __future__ import annotations

import asyncio
import itertools
from typing import Protocol

import numpy as np

from media.frames import Pcm
from media.resample import resample
from pipeline.ports import SpeechToText, SttEvent, SttFailed, SttFinal, SttOptions

_TAIL_S = 0.3
"""Silence behind the audio, without which a recogniser may miss the last sound."""


class Ears(Protocol):
    async def hear(self, pcm: Pcm, rate_hz: int, language: str) -> str: ...


class FixedEars:
    """Hears the same whatever is said. ``{n}`` in it counts what was heard, from 1."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._numbers = itertools.count(1)

    async def hear(self, pcm: Pcm, rate_hz: int, language: str) -> str:
        return self._text.replace("{n}", str(next(self._numbers)))


class EngineEars:
    """One of the server's own engines. It has been started, and is closed by who made it."""

    def __init__(self, engine: SpeechToText, rate_hz: int = 16_000) -> None:
        self._engine = engine
        self._rate_hz = rate_hz

    async def hear(self, pcm: Pcm, rate_hz: int, language: str) -> str:
        at_rate = await asyncio.to_thread(resample, pcm, rate_hz, self._rate_hz)
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def listen(event: SttEvent) -> None:
            match event:
                case SttFinal(text=text) if not heard.done():
                    heard.set_result(text)
                case SttFailed(error=error) if not heard.done():
                    heard.set_exception(error)

        stream = self._engine.open(SttOptions(self._rate_hz, language), listen)
        try:
            stream.begin(1)
            stream.feed(np.concatenate((at_rate, np.zeros(round(_TAIL_S * self._rate_hz), np.int16))))
            stream.end()
            async with asyncio.timeout(30 + len(pcm) / rate_hz):
                return await heard
        finally:
            await stream.aclose()
