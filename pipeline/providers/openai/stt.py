"""A recogniser by ``/audio/transcriptions``: each segment is sent as one recording, once it seems over.

Text comes in pieces where the endpoint streams its answer, and while the user still speaks where
``partials_ms`` has the growing segment asked about again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np

from media.frames import Pcm
from pipeline.errors import ProviderBusy, ProviderError
from pipeline.ports import Probe, SttCapabilities, SttEvent, SttFailed, SttFinal, SttOptions, SttPartial
from pipeline.providers.openai import wire
from pipeline.providers.openai.client import NAME, Client, Endpoint, Reply
from pipeline.providers.openai.segment import UNTOLD_CONFIDENCE, Limits, Segment, Span

DEFAULT_MODEL = "gpt-transcribe"
"""The only one that the package names without an announced end."""
MAX_PART_S = 120.0
REQUEST_S = 30.0
"""The caller's deadline is shorter; this bounds what he forgot."""
MAX_SEGMENTS = 16
"""Of one stream without an outcome."""
MIN_RATE_HZ, MAX_RATE_HZ = 8000, 48000
_LOGPROBS = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe")
"""How the names of the models begin that give probabilities."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Job:
    """One request, and the task that makes it."""

    segment: Segment
    span: Span
    task: asyncio.Task[None] | None = None


class OpenAiStream:
    """One call's ear. At most one request at a time, about the oldest segment without an outcome. After
    ``aclose`` all methods do nothing."""

    def __init__(
        self, engine: OpenAiStt, options: SttOptions, limits: Limits, on_event: Callable[[SttEvent], None]
    ) -> None:
        self._engine = engine
        self._options = options
        self._limits = limits
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._segments: deque[Segment] = deque()
        self._open: Segment | None = None
        self._job: _Job | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        """That of the job, and those that were cancelled and are not over yet."""
        self._due = False
        self._closed = False

    # --- what the call does -------------------------------------------------------------------------------

    def begin(self, segment_id: int) -> None:
        """Raises ``RuntimeError`` while another segment is open."""
        if self._closed:
            return
        if self._open is not None:
            raise RuntimeError(
                f"segment {self._open.segment_id} is still open: call end() before begin({segment_id})"
            )
        self._open = segment = Segment(segment_id, self._limits)
        if len(self._segments) >= MAX_SEGMENTS:
            segment.over = True
            busy = ProviderBusy(
                self._engine.name, "stt", f"{MAX_SEGMENTS} segments wait for their text already"
            )
            self._loop.call_soon(self._deliver, SttFailed(segment_id, busy))
        else:
            self._segments.append(segment)

    def feed(self, pcm: Pcm) -> None:
        """Raises ``RuntimeError`` where no segment is open, ``ValueError`` for anything but int16 samples."""
        if self._closed:
            return
        if self._open is None:
            raise RuntimeError("audio outside of a segment: call begin() first")
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise ValueError(f"mono 16-bit samples are wanted, not {pcm.dtype} of {pcm.ndim} dimensions")
        if self._open.feed(pcm.tobytes()):
            self._look_soon()

    def pause(self) -> None:
        """Raises ``RuntimeError`` where no segment is open."""
        if self._closed:
            return
        if self._open is None:
            raise RuntimeError("no segment is open: call begin() first")
        if self._engine.early:
            self._open.pause()
            self._look_soon()

    def end(self) -> None:
        """Raises ``RuntimeError`` where no segment is open."""
        if self._closed:
            return
        if self._open is None:
            raise RuntimeError("no segment is open: call begin() first")
        self._open.ended = True
        self._open = None
        self._look_soon()

    async def aclose(self) -> None:
        """Waits until the requests are over."""
        self.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._segments.clear()
        self._open = None
        self._drop_job()
        self._engine.forget(self)

    # --- what is asked ------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        """Not at once: what is fed in one go is one request, and no event comes from within a call."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Bring what is asked in line with what is wanted, and tell what is known."""
        self._due = False
        while self._segments and not self._closed:
            segment = self._segments[0]
            if self._job is not None and not segment.wants(self._job.span):
                self._drop_job()
            outcome = segment.outcome
            if outcome is not None:
                self._segments.popleft()
                segment.over = True
                self._deliver(_told(segment.segment_id, outcome))
                continue
            span = segment.wanted
            if self._job is not None or span is None:
                return
            segment.asked(span)
            if segment.silent(span):
                segment.take(span, wire.Heard("", whole=True, confidence=0.0))
                continue
            self._ask(segment, span)
            return

    def _ask(self, segment: Segment, span: Span) -> None:
        self._job = job = _Job(segment, span)
        job.task = task = self._engine.spawn(lambda: self._perform(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drop_job(self) -> None:
        job, self._job = self._job, None
        if job is not None and job.task is not None:
            job.task.cancel()

    async def _perform(self, job: _Job) -> None:
        def show(text: str) -> None:
            if self._job is job:
                self._show(job.segment, text)

        answer = await self._engine.transcribe(job.segment.audio(job.span), self._options, show)
        if self._job is not job:
            return
        self._job = None
        if isinstance(answer, wire.Heard) and not job.segment.ended:
            self._show(job.segment, answer.text)
        job.segment.take(job.span, answer)
        self._look()

    # --- what is told -------------------------------------------------------------------------------------

    def _show(self, segment: Segment, text: str) -> None:
        """Interim text, but for what is only the beginning of what was shown: it was about less audio."""
        text = segment.text_with(text.strip())
        if text and not segment.shown.startswith(text):
            segment.shown = text
            self._deliver(SttPartial(segment.segment_id, text, UNTOLD_CONFIDENCE))

    def _deliver(self, event: SttEvent) -> None:
        if self._closed:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - one broken listener must not deafen all other calls
            _log.exception("a listener to speech failed; its call goes on without this event")


class OpenAiStt:
    """``SpeechToText`` by ``/audio/transcriptions``.

    ``stream`` asks for the text in pieces; an endpoint that gives it whole is understood as well.
    ``partials_ms`` of further audio have the growing segment asked about meanwhile (0: never; each such request
    costs like any other). ``early`` asks at a pause instead of at the end; ``settle_ms`` of audio after it do
    not count: the answer asked for at the pause is the final.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        model: str = DEFAULT_MODEL,
        name: str = NAME,
        *,
        stream: bool = True,
        partials_ms: int = 0,
        early: bool = True,
        settle_ms: int = 400,
    ) -> None:
        self._client = Client(endpoint, "stt", "/audio/transcriptions", name)
        self.name = name
        """As in settings: of several services of this shape each has its own."""
        self.model = model
        """Where a request names none."""
        self._stream = stream
        self._partials_ms = partials_ms
        self.early = early
        self._settle_ms = settle_ms
        self._unstreamed: set[str] = set()
        """Models whose endpoint refused to stream."""
        self._streams: set[OpenAiStream] = set()
        self._group: asyncio.TaskGroup | None = None
        self._owner: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> SttCapabilities:
        return SttCapabilities(partials=self._partials_ms > 0, word_times=False, languages=())

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self._owner is not None:
            return
        await self._client.start()
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[asyncio.TaskGroup] = loop.create_future()
        # Not a call's task: the engine owns it, and it owns the requests of all streams.
        self._owner = loop.create_task(_own(opened), name=f"{self.name} transcriptions")
        self._group = await opened

    async def warm(self) -> None:
        await self._client.warm()

    async def probe(self) -> Probe:
        return await self._client.probe()

    async def aclose(self) -> None:
        for stream in list(self._streams):
            stream.close()
        owner, self._owner, self._group = self._owner, None, None
        if owner is not None:
            owner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await owner
        await self._client.aclose()

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> OpenAiStream:
        """Raises ``ValueError`` for a rate that it does not take, ``RuntimeError`` before ``start``."""
        if self._group is None:
            raise RuntimeError("the recogniser has not been started")
        rate = options.sample_rate_hz
        if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
            raise ValueError(
                f"{self.name} takes {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, not {rate}: resample the audio"
            )
        limits = Limits(
            int(MAX_PART_S * rate), self._settle_ms * rate // 1000, self._partials_ms * rate // 1000
        )
        stream = OpenAiStream(self, options, limits, on_event)
        self._streams.add(stream)
        return stream

    # --- what the streams ask -----------------------------------------------------------------------------

    def forget(self, stream: OpenAiStream) -> None:
        self._streams.discard(stream)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        assert self._group is not None, "a stream that outlived its engine"
        return self._group.create_task(_guarded(work))

    async def transcribe(
        self, pcm: bytes, options: SttOptions, show: Callable[[str], None]
    ) -> wire.Heard | ProviderError:
        """The text of the audio. ``show`` is given what is known of it so far. Never raises but for a
        cancellation."""
        try:
            async with asyncio.timeout(REQUEST_S):
                return await self._transcribe(pcm, options, show)
        except TimeoutError:
            return self._client.error(f"no text within {REQUEST_S:g} s")
        except ProviderError as error:
            return error
        except Exception as bug:  # noqa: BLE001 - it would end the requests of all calls
            _log.exception("a transcription failed by a fault of ours")
            return self._client.error(f"{type(bug).__name__} while its answer was read")

    async def _transcribe(self, pcm: bytes, options: SttOptions, show: Callable[[str], None]) -> wire.Heard:
        model = options.model or self.model
        streamed = self._stream and model not in self._unstreamed
        while True:
            form = wire.transcription_form(
                pcm, options, model, stream=streamed, logprobs=model.startswith(_LOGPROBS)
            )
            async with self._client.ask(form) as answer:
                if isinstance(answer, Reply):
                    return await self._understand(answer, show)
                if not streamed or not wire.unknown_field(answer, "stream"):
                    raise self._client.refused(answer)
            self._unstreamed.add(model)
            streamed = False

    async def _understand(self, reply: Reply, show: Callable[[str], None]) -> wire.Heard:
        try:
            if reply.content_type.startswith("text/event-stream"):
                return await self._follow(reply, show)
            return self._heard(wire.transcription(await reply.whole()))
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise self._client.error(f"its answer cannot be read ({type(error).__name__})") from error

    async def _follow(self, reply: Reply, show: Callable[[str], None]) -> wire.Heard:
        """A streamed answer: the pieces as they come, and its last word."""
        decoder = wire.EventDecoder()
        text = ""
        while data := await reply.read():
            for event in decoder.feed(data):
                if event == wire.DONE:
                    return wire.Heard(text.strip(), whole=True)
                heard = wire.transcription_event(event)
                if heard is None:
                    continue
                heard = self._heard(heard)
                if heard.whole:
                    await reply.drain()
                    return heard
                text += heard.text
            show(text)
        raise self._client.error("its answer was cut off")

    def _heard(self, answer: wire.Heard | wire.Refusal) -> wire.Heard:
        if isinstance(answer, wire.Refusal):
            raise self._client.gave_up(answer)
        return answer


async def _guarded(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A fault in what one stream makes of an answer must not end the requests of all others."""
    try:
        await work()
    except Exception:  # noqa: BLE001
        _log.exception("a fault of ours in a transcription; its call hears nothing of it")


async def _own(opened: asyncio.Future[asyncio.TaskGroup]) -> None:
    """Own the requests until the engine is closed, which cancels them all and waits for their end."""
    async with asyncio.TaskGroup() as group:
        opened.set_result(group)
        await asyncio.get_running_loop().create_future()


def _told(segment_id: int, outcome: wire.Heard | ProviderError) -> SttEvent:
    if isinstance(outcome, ProviderError):
        return SttFailed(segment_id, outcome)
    return SttFinal(segment_id, outcome.text, outcome.confidence or 0.0, language=outcome.language)
