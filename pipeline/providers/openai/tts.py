"""A voice by ``/audio/speech``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import numpy as np

from media.frames import Pcm
from media.resample import Resampler
from pipeline.errors import ProviderError
from pipeline.ports import Probe, TtsAudio, TtsCapabilities, TtsEvent, TtsRequest
from pipeline.providers.openai import wire
from pipeline.providers.openai.audio import AudioReader
from pipeline.providers.openai.client import NAME, Client, Endpoint, Reply
from pipeline.text import tokens

DEFAULT_MODEL = "gpt-4o-mini-tts"
"""The hosted service announces the end of all its models for this route for 2027-01-06, and names no other."""
DEFAULT_VOICE = "alloy"
SAMPLE_RATE_HZ = 24000
"""Of the hosted service's PCM."""
_PIECE_BYTES = 1 << 15
"""Resampled in one go: half a millisecond of the core."""


class OpenAiTts:
    """``TextToSpeech`` by ``/audio/speech``, streamed as PCM.

    ``sample_rate_hz`` is that of the endpoint's PCM where it does not say so itself.
    """

    name = NAME
    capabilities = TtsCapabilities(word_times=False, languages=())

    def __init__(
        self,
        endpoint: Endpoint,
        model: str = DEFAULT_MODEL,
        voice: str = DEFAULT_VOICE,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
    ) -> None:
        self._client = Client(endpoint, "tts", "/audio/speech")
        self.model = model
        """Where a request names none."""
        self._voice = voice
        self._rate_hz = sample_rate_hz

    async def start(self) -> None:
        await self._client.start()

    async def warm(self) -> None:
        await self._client.warm()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def probe(self) -> Probe:
        return await self._client.probe()

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        """See the port. A text without a word is not asked for and has no audio."""
        self._client.check_open()
        if not tokens(request.text):
            return
        body = wire.speech_body(request, request.model or self.model, request.voice or self._voice)
        async with self._client.post(body) as reply:
            sound = self._sound(reply, request.sample_rate_hz)
            while data := await reply.read():
                for at in range(0, len(data), _PIECE_BYTES):
                    if at:
                        await asyncio.sleep(0)
                    pcm = sound.feed(data[at : at + _PIECE_BYTES])
                    if len(pcm):
                        yield TtsAudio(pcm)
            rest = sound.flush()
        if len(rest):
            yield TtsAudio(rest)

    def _sound(self, reply: Reply, rate_hz: int) -> _Sound:
        try:
            return _Sound(self._client, AudioReader(reply.content_type, self._rate_hz), rate_hz)
        except ValueError as error:
            raise _unplayable(self._client, error) from error


class _Sound:
    """One answer's audio at the rate that is wanted. Raises ``ProviderError``."""

    def __init__(self, client: Client, reader: AudioReader, rate_hz: int) -> None:
        self._client = client
        self._reader = reader
        self._rate_hz = rate_hz
        self._resampler: Resampler | None = None
        """None until the audio begins: only then its own rate is certain."""

    def feed(self, data: bytes) -> Pcm:
        try:
            return self._resampled(self._reader.feed(data))
        except ValueError as error:
            raise _unplayable(self._client, error) from error

    def flush(self) -> Pcm:
        rest = self._resampled(self._reader.flush())
        if self._resampler is None:
            raise self._client.error("it answered without any audio")
        return np.concatenate((rest, self._resampler.flush()))

    def _resampled(self, pcm: Pcm) -> Pcm:
        if not len(pcm):
            return pcm
        if self._resampler is None:
            self._resampler = Resampler(self._reader.rate_hz, self._rate_hz)
        return self._resampler.process(pcm)


def _unplayable(client: Client, error: ValueError) -> ProviderError:
    return client.error(
        f"{error}: choose a model and a server that heed response_format=pcm (or answer with wav)",
        retryable=False,
    )
