"""The flite engine as the server sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from pipeline.errors import ProviderUnavailable
from pipeline.ports import TtsEvent, TtsRequest
from pipeline.providers.flite import worker
from pipeline.synthesis.engine import WorkerTts


class FliteTts(WorkerTts):
    """Text to speech with word times, English only, in one worker process for all calls.

    Voices: ``kal16`` (the quickest), ``slt``, ``rms``, ``awb``. ``start`` raises ``ProviderUnavailable``
    where the system has no libflite or not the voice that is the default here.
    """

    def __init__(self, voice: str = "slt", *, max_waiting: int = 64) -> None:
        super().__init__("flite", worker.main, max_waiting=max_waiting)
        self._voice = voice

    async def start(self) -> None:
        await super().start()
        if self._voice not in self.voices:
            await self.aclose()
            allowed = ", ".join(self.voices)
            raise ProviderUnavailable(self.name, "tts", f"no voice {self._voice!r}; installed are {allowed}")

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        events = super().speak(replace(request, voice=request.voice or self._voice))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
