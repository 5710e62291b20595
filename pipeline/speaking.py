"""The sentence in the making: asks the voice for one after the other, ahead of the ear, and fills the queue."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Protocol

import numpy as np

from media.frames import Pcm
from pipeline.alignment import Pace
from pipeline.errors import ProviderError
from pipeline.message import Job, Message
from pipeline.ports import Takeover, TtsAudio, TtsFrom, TtsRequest, TtsWord, Voice
from pipeline.speech import SpeechQueue
from pipeline.text import speakable

PIECE_MS = 300
"""Small pieces of audio are handed on together where there is time: each costs as much as a large one."""
HURRY_MS = 500
"""With less than this ready to be sent there is none."""
MAX_SENTENCE_S = 180.0
"""Audio of one sentence. A voice that gives more does not end."""


class Speaker(Protocol):
    """The call, as far as its voice is concerned."""

    def synthesised(self) -> None:
        """Something of a sentence has come, or it is over."""

    def told(self, error: ProviderError, by: str | None) -> None:
        """The voice failed; ``by`` takes its place."""


class Manner(Protocol):
    """How a call is spoken in: ``pipeline.config.SessionConfig`` is one."""

    @property
    def language(self) -> str: ...

    @property
    def voice_language(self) -> str | None: ...

    @property
    def speed(self) -> float: ...


class Speaking:
    """At most one sentence at a time."""

    def __init__(
        self, voice: Voice, queue: SpeechQueue, sample_rate_hz: int, speaker: Speaker, manner: Manner
    ) -> None:
        self._voice = voice
        self._queue = queue
        self._rate = sample_rate_hz
        self._speaker = speaker
        self._manner = manner
        self._paces: dict[str, Pace] = {}
        """Of each voice that has spoken in this call."""
        self._task: asyncio.Task[None] | None = None
        self._job: Job | None = None

    def change(self, voice: Voice, manner: Manner) -> None:
        """Speak otherwise from the next sentence on."""
        self._voice, self._manner = voice, manner

    @property
    def busy(self) -> bool:
        return self._task is not None

    def next(self, tasks: asyncio.TaskGroup) -> Job | None:
        """Begin the next sentence, where there is one and none is in the making."""
        if self._task is not None:
            return None
        job = self._queue.next_job()
        if job is not None:
            self._job = job
            self._task = tasks.create_task(self._make(job), name="synthesis")
            self._task.add_done_callback(self._over)
        return job

    def cancel(self, message: Message | None = None) -> None:
        """Stop the sentence in the making; of another message than this one it is left alone."""
        task, job = self._task, self._job
        if task is None or job is None or (message is not None and job.message is not message):
            return
        if not task.cancelling():  # A second cancel would break into the engine's clean-up.
            task.cancel()

    def cancel_orphan(self) -> None:
        """Stop a sentence whose message was dropped."""
        if self._job is not None and not self._queue.holds(self._job.message):
            self.cancel(self._job.message)

    def _over(self, _: asyncio.Task[None]) -> None:
        # Also where the task was cancelled before its first step.
        self._task = self._job = None
        self._speaker.synthesised()

    async def _make(self, job: Job) -> None:
        request = TtsRequest(
            speakable(job.text.strip()), self._rate, _language(self._manner), speed=self._manner.speed
        )
        try:
            await self._speak(job, request)
            job.done()
        except ProviderError as error:
            # Also after a refusal: another voice may stand behind, and the next request tells.
            resumed = job.go_on()
            self._speaker.told(error, self._voice.name if resumed else None)
            if not resumed:
                job.fail()

    async def _speak(self, job: Job, request: TtsRequest) -> None:
        pieces = _Pieces(self._rate)
        try:
            await self._hear_out(job, request, pieces)
        finally:
            # Also what came before a failure is said.
            if pieces.samples:
                job.audio(pieces.take())

    async def _hear_out(self, job: Job, request: TtsRequest, pieces: _Pieces) -> None:
        begun = False
        voice = self._voice
        async with aclosing(voice.speak(request)) as events:
            async for event in events:
                match event:
                    case TtsAudio(pcm):
                        if not begun and not voice.capabilities.word_times:
                            self._align(job, voice.name)
                        begun = True
                        pieces.add(pcm)
                        if job.seconds > MAX_SENTENCE_S:
                            cause = f"a sentence of more than {MAX_SENTENCE_S:g} s"
                            raise ProviderError(voice.name, "tts", cause, retryable=False)
                        if self._queue.ready_ms < HURRY_MS or pieces.enough:
                            job.audio(pieces.take())
                            self._speaker.synthesised()
                    case TtsWord(index, start_s, end_s):
                        job.word(index, start_s, end_s)
                    case TtsFrom(engine, word_times):
                        begun = True
                        if not word_times:
                            self._align(job, engine)
                    case Takeover(error, by):
                        self._speaker.told(error, by)

    def _align(self, job: Job, engine: str) -> None:
        job.align(self._paces.setdefault(engine, Pace()), _language(self._manner))


class _Pieces:
    """Audio that was not handed on yet."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._parts: list[Pcm] = []
        self._enough = sample_rate_hz * PIECE_MS // 1000
        self.samples = 0

    @property
    def enough(self) -> bool:
        return self.samples >= self._enough

    def add(self, pcm: Pcm) -> None:
        self._parts.append(pcm)
        self.samples += len(pcm)

    def take(self) -> Pcm:
        parts, self._parts, self.samples = self._parts, [], 0
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _language(manner: Manner) -> str:
    return manner.voice_language or manner.language
