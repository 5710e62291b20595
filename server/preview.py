"""Short samples of voices, made when they are asked for and kept for a while."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import numpy as np

from media.frames import Pcm
from pipeline.errors import ProviderError
from pipeline.ports import TextToSpeech, TtsAudio, TtsRequest
from server.voices import SAMPLES, base

RATE_HZ: Final = 24_000
MAX_S: Final = 15
WITHIN_S: Final = 15.0
AT_ONCE: Final = 2
WAITING: Final = 8
"""Requests that may wait for one another."""
KEPT: Final = 64
BIT_RATE: Final = 48_000


class TooBusy(Exception):
    """Too many previews are being made."""


class Previews:
    """Of the voices of some engines."""

    def __init__(self, engines: Sequence[TextToSpeech]) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._made: OrderedDict[tuple[str, str | None, str], bytes] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def mp3(self, provider: str | None, voice: str | None, language: str) -> bytes:
        """A sample. Raises ``TooBusy``, ``TimeoutError``, ``ProviderError``; ``LookupError`` where there is no engine."""
        name = provider if provider in self._engines else next(iter(self._engines), None)
        if name is None:
            raise LookupError("this server has no voices")
        key = (name, voice, language)
        if key not in self._made:
            if self._waiting >= WAITING:
                raise TooBusy
            self._waiting += 1
            try:
                async with asyncio.timeout(WITHIN_S), self._turns:
                    self._made[key] = await self._make(self._engines[name], voice, language)
            finally:
                self._waiting -= 1
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        return self._made[key]

    async def _make(self, engine: TextToSpeech, voice: str | None, language: str) -> bytes:
        text = SAMPLES.get(base(language), SAMPLES["en"])
        pieces: list[Pcm] = []
        room = MAX_S * RATE_HZ
        async with aclosing(engine.speak(TtsRequest(text, RATE_HZ, language, voice=voice))) as events:
            async for event in events:
                if isinstance(event, TtsAudio) and room > 0:
                    pieces.append(event.pcm[:room])
                    room -= len(event.pcm)
        if not pieces:
            raise ProviderError(engine.name, "tts", "it gave no sound", retryable=True)
        return await asyncio.to_thread(encoded, np.concatenate(pieces))


def encoded(pcm: Pcm) -> bytes:
    """16-bit samples as MP3. Blocks."""
    import av  # A tenth of a second, which a server without previews does not need.

    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE_HZ)
        stream.bit_rate = BIT_RATE
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm.astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", RATE_HZ, frame_size=stream.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()
