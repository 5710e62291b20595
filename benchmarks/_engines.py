"""Providers that do no work, each with a known delay: what is left of a measurement is the server's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import numpy as np

from media.frames import Pcm
from pipeline.ports import (
    SttCapabilities,
    SttEvent,
    SttFinal,
    SttOptions,
    SttStream,
    TtsAudio,
    TtsCapabilities,
    TtsEvent,
    TtsRequest,
    TtsWord,
)
from pipeline.text import tokens

TEXT = "this is what was said"
"""What the null recogniser hears, whatever is said."""
WORD_MS = 320
"""Each word of the null voice takes so long."""
QUIET_MS = 40
"""Of that, silence at its end: the far end tells words apart by it."""
CHUNK_MS = 100
"""The null voice gives its audio in pieces of this length, as an engine does that streams over HTTP."""
SPEED = 5
"""How much faster than it is played the audio comes."""


class NullStt:
    """Gives the same text a fixed time after each segment."""

    name = "null"
    capabilities = SttCapabilities(partials=False, word_times=False, languages=())

    def __init__(self, delay_ms: float) -> None:
        self._delay_s = delay_ms / 1000

    async def start(self) -> None:
        pass

    async def warm(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
        return _NullEar(self._delay_s, on_event)


class _NullEar:
    def __init__(self, delay_s: float, on_event: Callable[[SttEvent], None]) -> None:
        self._delay_s = delay_s
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._segment = 0
        self._due: set[asyncio.TimerHandle] = set()

    def begin(self, segment_id: int) -> None:
        self._segment = segment_id

    def feed(self, pcm: Pcm) -> None:
        pass

    def pause(self) -> None:
        pass

    def end(self) -> None:
        segment = self._segment

        def tell() -> None:
            self._due.discard(handle)
            self._on_event(SttFinal(segment, TEXT, 0.9))

        handle = self._loop.call_later(self._delay_s, tell)
        self._due.add(handle)

    async def aclose(self) -> None:
        for handle in self._due:
            handle.cancel()
        self._due.clear()


class NullTts:
    """Gives a buzz for each word, with word times, from a fixed time after the request on."""

    name = "null"
    capabilities = TtsCapabilities(word_times=True, languages=())

    def __init__(self, first_byte_ms: float) -> None:
        self._first_byte_s = first_byte_ms / 1000

    async def start(self) -> None:
        pass

    async def warm(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        rate = request.sample_rate_hz
        words = len(tokens(request.text))
        audio = np.tile(_word(rate), words)
        told = 0
        chunk = rate * CHUNK_MS // 1000
        await asyncio.sleep(self._first_byte_s)
        for start in range(0, len(audio), chunk):
            if start:
                await asyncio.sleep(CHUNK_MS / 1000 / SPEED)
            while told < words and told * WORD_MS * rate // 1000 < start + chunk:
                begin_s = told * WORD_MS / 1000
                yield TtsWord(told, begin_s, begin_s + (WORD_MS - QUIET_MS) / 1000)
                told += 1
            yield TtsAudio(audio[start : start + chunk])


def _word(rate: int) -> Pcm:
    """A buzz as deep as a voice. Each of its samples can be heard, so that its edges are known exactly."""
    loud = np.arange(rate * (WORD_MS - QUIET_MS) // 1000)
    buzz = np.where(loud * 125 * 2 // rate % 2, 1, -1) * (2000 + 1500 * np.cos(loud * 6 * np.pi / len(loud)))
    return np.concatenate([buzz, np.zeros(rate * QUIET_MS // 1000)]).astype(np.int16)
