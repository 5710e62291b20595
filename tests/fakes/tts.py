"""A voice made of tones, with a fixed duration a word, that waits by ``asyncio.sleep`` only.

Under a loop with virtual time a test knows every instant of it: word ``i`` sounds from ``i * word_ms`` for
``word_ms - GAP_MS``, at ``tone_hz(i)``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np

from media.frames import Pcm
from pipeline.errors import ProviderError, ProviderUnavailable
from pipeline.ports import TtsAudio, TtsCapabilities, TtsEvent, TtsRequest, TtsWord
from pipeline.text import tokens

GAP_MS = 40
"""Silence at the end of each word."""
_AMPLITUDE = 0.16  # of full scale: -20 dBFS over the words and their gaps


def tone_hz(index: int) -> int:
    """The pitch of a word, so that a test can tell from a recording which words were heard."""
    return 300 + 100 * (index % 12)


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one request."""

    first_audio_s: float = 0.0
    """Before anything is given."""
    per_word_s: float = 0.0
    """Before each word after the first: an engine that is slower or faster than speech."""
    fail_after_words: int | None = None
    """Raise once so many words were given; 0: before any."""
    error: ProviderError | None = None
    """What is raised then; None: a retryable ``ProviderError``."""


class FakeTts:
    """The engine. ``plan`` holds for every request that ``script`` does not name one for."""

    def __init__(self, *, word_ms: int = 300, word_times: bool = True, plan: Plan | None = None) -> None:
        self.word_ms = word_ms
        self.word_times = word_times
        self.plan = plan or Plan()
        self.requests: list[TtsRequest] = []
        """All requests in the order in which they began."""
        self.cancelled: list[TtsRequest] = []
        """Those that were closed before they were over."""
        self._scripted: deque[Plan] = deque()
        self._started = False

    name = "fake"

    @property
    def capabilities(self) -> TtsCapabilities:
        return TtsCapabilities(word_times=self.word_times, languages=("en", "es"))

    def script(self, *plans: Plan) -> None:
        """What happens to the next requests, one plan each."""
        self._scripted.extend(plans)

    async def start(self) -> None:
        self._started = True

    async def warm(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        self._started = False

    def duration_s(self, text: str) -> float:
        """Of the audio of a text at speed 1."""
        return len(tokens(text)) * self.word_ms / 1000

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        if not self._started:
            raise ProviderUnavailable(self.name, "tts", "it is not started")
        self._check(request)
        self.requests.append(request)
        plan = self._scripted.popleft() if self._scripted else self.plan
        try:
            await asyncio.sleep(plan.first_audio_s)
            word_s = self.word_ms / 1000 / request.speed
            for index in range(len(tokens(request.text))):
                if index > 0:
                    await asyncio.sleep(plan.per_word_s)
                self._fail(plan, index)
                if self.word_times:
                    start_s = index * word_s
                    yield TtsWord(index, start_s, start_s + word_s - GAP_MS / 1000)
                yield TtsAudio(_tone(index, word_s, request.sample_rate_hz))
            self._fail(plan, len(tokens(request.text)))
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled.append(request)
            raise

    def _check(self, request: TtsRequest) -> None:
        cause = None
        if request.voice not in (None, "tone"):
            cause = f"no voice {request.voice!r}; use tone"
        elif request.language.partition("-")[0] not in self.capabilities.languages:
            cause = f"no language {request.language!r}; there are en and es"
        if cause is not None:
            error = ProviderError(self.name, "tts", cause)
            error.retryable = False
            raise error

    def _fail(self, plan: Plan, given: int) -> None:
        if plan.fail_after_words is not None and given >= plan.fail_after_words:
            raise plan.error or ProviderError(self.name, "tts", "failed as the test wants it")


def _tone(index: int, word_s: float, sample_rate_hz: int) -> Pcm:
    first, last = (round(i * word_s * sample_rate_hz) for i in (index, index + 1))
    pcm = np.zeros(last - first, np.int16)
    sounding = max(len(pcm) - sample_rate_hz * GAP_MS // 1000, 0)
    phase = np.arange(sounding) * (2 * np.pi * tone_hz(index) / sample_rate_hz)
    pcm[:sounding] = np.rint(np.sin(phase) * _AMPLITUDE * 32767).astype(np.int16)
    return pcm
