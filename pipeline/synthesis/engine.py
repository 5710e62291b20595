"""The server's side of an embedded voice: a queue of requests in front of one worker process.

Such a library keeps its state in globals, so one process does one request at a time, and is fast enough to
serve all calls that way. First come, first served, piece by piece: a long text goes to the back of the queue
after each piece (``pieces``), so nobody waits for more than one piece of each of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator

from pipeline.errors import ProviderBusy, ProviderError, ProviderUnavailable
from pipeline.ports import TtsAudio, TtsCapabilities, TtsEvent, TtsRequest, TtsWord
from pipeline.synthesis.spans import MAX_TOKEN_CHARS, Piece, pieces
from pipeline.synthesis.wire import (
    Cancel,
    Done,
    Failed,
    FromWorker,
    Missing,
    Ready,
    Speak,
    ToWorker,
    decode_report,
    encode_order,
)
from pipeline.text import tokens
from pipeline.workers import Worker, WorkerMain

SAMPLE_RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
MIN_SPEED, MAX_SPEED = 0.25, 4.0
_START_S = 10.0
_STALL_S = 5.0
"""A worker that says nothing for so long in the middle of a request is killed."""
_CANCEL_S = 1.0


class _Job:
    """One piece in the queue or in the worker."""

    def __init__(self, order: Speak) -> None:
        self.order = order
        self.events: asyncio.Queue[TtsEvent | ProviderError | None] = asyncio.Queue()
        """Bounded by the size of a piece: the worker must not wait for a slow consumer. None ends them."""
        self.over = asyncio.Event()
        """The worker has nothing more to do with it."""
        self.answered = False
        self.cancelled = False

    def end(self, error: ProviderError | None = None) -> None:
        if not self.over.is_set():
            self.over.set()
            self.events.put_nowait(error)


class WorkerTts:
    """An engine whose synthesis runs in one worker process, started by ``start`` and restarted when it dies.

    ``max_waiting`` requests may wait; one more raises ``ProviderBusy``.
    """

    def __init__(self, name: str, worker_main: WorkerMain, *, max_waiting: int = 64) -> None:
        self._name = name
        self._worker_main = worker_main
        self._max_waiting = max_waiting
        self._waiting: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._current: _Job | None = None
        self._worker: Worker | None = None
        self._ready = Ready((), ())
        self._dispatcher: asyncio.Task[None] | None = None
        self._next_id = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> TtsCapabilities:
        """Before ``start`` the languages are not known."""
        return TtsCapabilities(word_times=True, languages=self._ready.languages)

    @property
    def voices(self) -> tuple[str, ...]:
        """What ``TtsRequest.voice`` may name, as the library's data has it."""
        return self._ready.voices

    @property
    def worker_pid(self) -> int | None:
        """The process, for meters; None while there is none."""
        return self._worker.pid if self._worker is not None else None

    async def start(self) -> None:
        if self._dispatcher is not None:
            return
        self._worker = await self._start_worker()
        # Not a call's task: the engine itself owns it, and aclose waits for its end.
        self._dispatcher = asyncio.get_running_loop().create_task(
            self._dispatch(), name=f"{self._name} voice queue"
        )

    async def warm(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.cancel()
            await asyncio.wait([dispatcher])
        await self._drop_worker()

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        """See the port. Whatever cannot be spoken raises a ``ProviderError`` that is not ``retryable``."""
        self._check(request)
        samples = 0
        for piece in pieces(request.text):
            job = self._enqueue(request, piece)
            offset_s = samples / request.sample_rate_hz
            try:
                while (event := await job.events.get()) is not None:
                    match event:
                        case TtsWord(index, start_s, end_s):
                            first = piece.first_token
                            yield TtsWord(first + index, offset_s + start_s, offset_s + end_s)
                        case TtsAudio(pcm):
                            samples += len(pcm)
                            yield event
                        case ProviderError():
                            raise event
            finally:
                await self._settle(job)

    def refuse(self, cause: str) -> ProviderError:
        """An error that another try will not help; ``cause`` says what to change."""
        error = ProviderError(self._name, "tts", cause)
        error.retryable = False
        return error

    def _check(self, request: TtsRequest) -> None:
        if self._dispatcher is None or self._dispatcher.done():
            raise ProviderUnavailable(self._name, "tts", "it is not started, or closed already")
        if request.sample_rate_hz not in SAMPLE_RATES_HZ:
            rates = ", ".join(map(str, SAMPLE_RATES_HZ))
            raise self.refuse(f"no audio at {request.sample_rate_hz} Hz; use one of {rates}")
        if not MIN_SPEED <= request.speed <= MAX_SPEED:
            raise self.refuse(f"no speed of {request.speed}; use {MIN_SPEED} to {MAX_SPEED}")
        longest = max((len(token.text) for token in tokens(request.text)), default=0)
        if longest > MAX_TOKEN_CHARS:
            raise self.refuse(f"{longest} characters without white space; at most {MAX_TOKEN_CHARS}")

    def _enqueue(self, request: TtsRequest, piece: Piece) -> _Job:
        if self._dispatcher is None or self._dispatcher.done():
            raise ProviderUnavailable(self._name, "tts", "it was closed while it spoke")
        # Who has begun to speak is not cut off: each caller has one piece in the queue at most.
        if piece.first_token == 0 and len(self._waiting) >= self._max_waiting:
            raise ProviderBusy(self._name, "tts", f"{self._max_waiting} requests are waiting already")
        self._next_id = (self._next_id + 1) & 0xFFFFFFFF
        order = Speak(
            self._next_id, piece.text, request.sample_rate_hz, request.language, request.voice, request.speed
        )
        job = _Job(order)
        self._waiting.append(job)
        self._arrived.set()
        return job

    async def _settle(self, job: _Job) -> None:
        """The consumer is done with the job, perhaps early: see that the worker is, too."""
        if job.over.is_set():
            return
        job.cancelled = True
        if job is not self._current:
            self._waiting.remove(job)
            job.end()
            return
        self._send(Cancel(job.order.request_id))
        try:
            async with asyncio.timeout(_CANCEL_S):
                await job.over.wait()
        except TimeoutError:
            if self._worker is not None:
                self._worker.kill()
            await job.over.wait()

    # --- the one task ---------------------------------------------------------------------------------------

    async def _dispatch(self) -> None:
        try:
            while True:
                if not self._waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                self._current = self._waiting.popleft()
                self._current.end(await self._perform(self._current))
                self._current = None
        finally:
            # By aclose, or by a bug: nobody may wait for ever.
            for job in (self._current, *self._waiting):
                if job is not None:
                    job.end(ProviderUnavailable(self._name, "tts", "it was closed while it spoke"))
            self._current = None
            self._waiting.clear()

    async def _perform(self, job: _Job) -> ProviderError | None:
        """Have the job spoken, by a second worker where the first one dies before it said anything."""
        for _ in range(2):
            try:
                if self._worker is None:
                    self._worker = await self._start_worker()
            except ProviderError as failure:
                return failure
            if job.cancelled:
                return None
            outcome = await self._relay(self._worker, job) if self._send(job.order) else None
            if isinstance(outcome, Done):
                return None
            if isinstance(outcome, Failed):
                error = ProviderError(self._name, "tts", outcome.cause)
                error.retryable = outcome.retryable
                return error
            await self._drop_worker()
            if job.answered:
                return ProviderError(self._name, "tts", "its worker died in the middle of a sentence")
        return ProviderError(self._name, "tts", "its worker died twice on the same text")

    def _send(self, order: ToWorker) -> bool:
        """False where the worker is known to be dead."""
        if self._worker is None:
            return False
        try:
            self._worker.send(encode_order(order))
        except (OSError, RuntimeError):  # uvloop raises the latter for a transport that has closed
            return False
        return True

    async def _relay(self, worker: Worker, job: _Job) -> Done | Failed | None:
        """Pass on what the worker says of this job. None: it is dead, or has to be."""
        while True:
            try:
                report = await self._report(worker, _STALL_S, job.order.request_id)
            except (TimeoutError, ValueError):
                return None
            match report:
                case None | Done() | Failed():
                    return report
                case TtsAudio() | TtsWord():
                    job.answered = True
                    if not job.cancelled:
                        job.events.put_nowait(report)
                case Ready() | Missing():
                    return None

    async def _report(self, worker: Worker, timeout_s: float, request_id: int) -> FromWorker | None:
        """The worker's next frame; None where it is dead. Raises ``TimeoutError`` and ``ValueError``."""
        async with asyncio.timeout(timeout_s):
            frame = await worker.receive()
        if frame is None:
            return None
        about, report = decode_report(frame)
        if about != request_id:
            raise ValueError(f"a frame about request {about} while {request_id} is spoken")
        return report

    async def _start_worker(self) -> Worker:
        try:
            worker = await Worker.start(
                self._worker_main, name=f"talkwire-{self._name}", preload=self._worker_main.__module__
            )
        except (OSError, EOFError) as error:
            raise ProviderError(self._name, "tts", f"its worker did not start: {error}") from error
        report: FromWorker | None = None
        try:
            with contextlib.suppress(TimeoutError, ValueError):
                report = await self._report(worker, _START_S, 0)
            if isinstance(report, Ready):
                self._ready = report
                return worker
        except BaseException:
            await worker.aclose()
            raise
        worker.kill()
        await worker.aclose()
        if isinstance(report, Missing):
            raise ProviderUnavailable(self._name, "tts", report.cause)
        raise ProviderError(self._name, "tts", "its worker died at the start; the server's stderr says why")

    async def _drop_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            await worker.aclose()
