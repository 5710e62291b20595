"""The embedded recogniser: English, no key, no download; computed in worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from media.frames import Pcm
from pipeline import workers as processes
from pipeline.errors import ProviderBusy, ProviderError, ProviderUnavailable
from pipeline.ports import SttCapabilities, SttEvent, SttFailed, SttFinal, SttOptions, SttPartial, SttWord
from pipeline.providers.pocketsphinx import schedule, wire, worker
from pipeline.providers.pocketsphinx.frontend import RATES_HZ

NAME = "pocketsphinx"
MAX_UNSETTLED_S = 40.0
"""Audio of one segment that is kept to be heard (again): more than a worker leaves unsettled."""
READY_WITHIN_S = 60.0
FINAL_WITHIN_S = 10.0
"""Beyond the length of the audio itself. A worker that takes longer hangs, and is killed."""
_PIECE_S = 0.1
_MIN_LIFE_S, _BACKOFF_S = 5.0, 1.0

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Segment:
    stream: PocketsphinxStream
    segment_id: int
    serial: int
    """Its place in the order of the begins."""
    run: int = 0
    """Under which number its worker has it: another one each time, so that late answers are known."""
    audio: bytearray = field(default_factory=bytearray)
    """All that no final or part covers yet, so that another worker can hear it."""
    ended: bool = False
    slot: _Slot | None = None
    taken: bool = False
    """Its worker has said that it works on it: a worker may be dead before the engine knows."""
    deaths: int = 0
    """Workers that died while they worked on it."""
    settled_s: float = 0.0
    texts: list[str] = field(default_factory=list)
    words: list[SttWord] = field(default_factory=list)
    error: ProviderError | None = None
    """It was given up, which is said when those before it have had their outcome."""
    timer: asyncio.TimerHandle | None = None
    """Waiting and ended: until it is refused. Running and ended: until its worker counts as hung."""

    @property
    def unheard_samples(self) -> int:
        return len(self.audio) // 2

    def set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer

    def settle(self, part: wire.Part | wire.Final) -> None:
        """Take over what a worker has made of the audio."""
        if part.text:
            self.texts.append(part.text)
        self.words += (
            SttWord(
                w.word, round(w.start_s + self.settled_s, 3), round(w.end_s + self.settled_s, 3), w.confidence
            )
            for w in part.words
        )


@dataclass(eq=False)
class _Slot:
    """The place of one worker process; the process in it may change."""

    number: int
    started: asyncio.Future[None]
    process: processes.Worker | None = None
    segment: _Segment | None = None


class PocketsphinxStream:
    """One call's ear. After ``aclose`` all methods do nothing."""

    def __init__(
        self, engine: PocketsphinxStt, options: SttOptions, on_event: Callable[[SttEvent], None]
    ) -> None:
        self._engine = engine
        self._on_event = on_event
        self.options = options
        self.mean: tuple[float, ...] | None = None
        """What the caller's voice and line look like to the model, learnt from segment to segment."""
        self.segments: deque[_Segment] = deque()
        """Without a final yet; only the first one may have a worker."""
        self._open: _Segment | None = None
        self._open_id: int | None = None
        self._closed = False

    def begin(self, segment_id: int) -> None:
        """Raises ``RuntimeError`` while another segment is open."""
        if self._closed:
            return
        if self._open_id is not None:
            raise RuntimeError(
                f"segment {self._open_id} is still open: call end() before begin({segment_id})"
            )
        self._open_id = segment_id
        self._open = self._engine.admit(self, segment_id)

    def feed(self, pcm: Pcm) -> None:
        """Raises ``RuntimeError`` where no segment is open, ``ValueError`` for anything but int16 samples."""
        if self._closed:
            return
        if self._open_id is None:
            raise RuntimeError("audio outside of a segment: call begin() first")
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise ValueError(f"mono 16-bit samples are wanted, not {pcm.dtype} of {pcm.ndim} dimensions")
        if self._open is not None:
            self._engine.feed(self._open, pcm.tobytes())

    def pause(self) -> None:
        """Nothing to do early: the worker hears the audio as it comes."""

    def end(self) -> None:
        """Raises ``RuntimeError`` where no segment is open."""
        if self._closed:
            return
        if self._open_id is None:
            raise RuntimeError("no segment is open: call begin() first")
        ended, self._open, self._open_id = self._open, None, None
        if ended is not None:
            self._engine.end(ended)

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._open = None
            self._engine.forget(self)

    def deliver(self, event: SttEvent) -> None:
        if self._closed:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - one broken listener must not deafen all other calls
            _log.exception("a listener to speech failed; its call goes on without this event")

    def over(self, segment: _Segment) -> None:
        """The segment has had its last event."""
        self.segments.remove(segment)
        self.deafen(segment)

    def deafen(self, segment: _Segment) -> None:
        """It may still be open for audio that nobody wants."""
        if self._open is segment:
            self._open = None


class PocketsphinxStt:
    """``SpeechToText`` by pocketsphinx. Construct it before any worker of the process is started: only then
    is the model loaded once for all workers.

    ``workers`` bounds the processes, ``queue_s`` how long a segment that is over waits for one of them; the
    policy is in ``schedule``.
    """

    name = NAME
    capabilities = SttCapabilities(partials=True, word_times=True, languages=("en",))

    def __init__(self, workers: int = 2, queue_s: float = 2.0) -> None:
        if workers < 1:
            raise ValueError(f"at least one worker is needed, not {workers}")
        self._count = workers
        self._queue_s = queue_s
        self._slots: list[_Slot] = []
        self._streams: set[PocketsphinxStream] = set()
        self._serials = itertools.count(1)
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        processes.context(worker.PRELOAD)

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self._task is not None:
            return
        self._loop = loop = asyncio.get_running_loop()
        self._slots = [_Slot(number, loop.create_future()) for number in range(self._count)]
        self._task = loop.create_task(self._supervise(), name="pocketsphinx")
        try:
            for slot in self._slots:
                await slot.started
        except BaseException:
            await self.aclose()
            raise

    async def warm(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        for stream in list(self._streams):
            stream.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for slot in self._slots:
            if not slot.started.done():
                slot.started.set_exception(_unavailable("it was closed while it started"))
            slot.started.exception()  # only the first failure is anybody's to await
        self._slots = []

    async def _supervise(self) -> None:
        async with asyncio.TaskGroup() as group:
            for slot in self._slots:
                group.create_task(self._keep(slot), name=f"pocketsphinx-{slot.number}")

    async def _keep(self, slot: _Slot) -> None:
        """Keep a worker process in this slot for as long as the engine lives."""
        loop = asyncio.get_running_loop()
        while True:
            born_at = loop.time()
            try:
                process = await self._launch()
            except ProviderUnavailable as error:
                if not slot.started.done():
                    slot.started.set_exception(error)
                    return
                _log.error("a worker could not be restarted: %s", error)
                await asyncio.sleep(_BACKOFF_S)
                continue
            try:
                slot.process = process
                if not slot.started.done():
                    slot.started.set_result(None)
                self._schedule()
                await self._listen(slot, process)
            finally:
                slot.process = None
                process.kill()
                await process.aclose()
            self._bereaved(slot)
            if loop.time() - born_at < _MIN_LIFE_S:
                await asyncio.sleep(_BACKOFF_S)

    async def _launch(self) -> processes.Worker:
        """Start a worker and wait until it has the model. Raises ``ProviderUnavailable``."""
        try:
            process = await processes.Worker.start(worker.main, name="talkwire-stt", preload=worker.PRELOAD)
        except (OSError, EOFError) as error:
            raise _unavailable(f"no worker process could be started ({error})") from error
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                frame = await process.receive()
            answer = wire.decode_answer(frame) if frame is not None else None
            if isinstance(answer, wire.Ready):
                return process
            reason = answer.reason if isinstance(answer, wire.Failed) else "the worker died while loading"
            raise _unavailable(
                f"its model did not load ({reason}); is the package pocketsphinx installed whole?"
            )
        except TimeoutError as error:
            await process.aclose()
            raise _unavailable(f"its model did not load within {READY_WITHIN_S:.0f} s") from error
        except BaseException:
            await process.aclose()
            raise

    # --- what the streams ask -----------------------------------------------------------------------------

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> PocketsphinxStream:
        """Raises ``ValueError`` for a rate or a language that it does not take, ``RuntimeError`` before
        ``start``."""
        if self._task is None:
            raise RuntimeError("the recogniser has not been started")
        if options.sample_rate_hz not in RATES_HZ:
            raise ValueError(f"{NAME} takes {RATES_HZ} Hz, not {options.sample_rate_hz}: resample the audio")
        if options.language.replace("_", "-").split("-")[0].lower() != "en":
            raise ValueError(
                f"{NAME} hears English only, not {options.language!r}: choose another STT provider"
            )
        stream = PocketsphinxStream(self, options, on_event)
        self._streams.add(stream)
        return stream

    def admit(self, stream: PocketsphinxStream, segment_id: int) -> _Segment | None:
        """A segment begins. None where it is refused at once."""
        segment = _Segment(stream, segment_id, next(self._serials))
        wanted = sum(other.error is None for s in self._streams for other in s.segments)
        stream.segments.append(segment)
        if wanted >= self._count * (schedule.MAX_WAITING + 1):
            self._fail(segment, _busy("too many callers wait already"))
            return None
        self._schedule()
        return segment

    def feed(self, segment: _Segment, pcm: bytes) -> None:
        if segment.unheard_samples > MAX_UNSETTLED_S * segment.stream.options.sample_rate_hz:
            running = segment.slot is not None
            self._take_back(segment)
            self._fail(
                segment, _failed("the worker does not keep up") if running else _busy("no worker is free")
            )
            self._schedule()
            return
        segment.audio += pcm
        if segment.slot is not None:
            self._send_audio(segment, pcm)

    def end(self, segment: _Segment) -> None:
        segment.ended = True
        if segment.slot is not None:
            self._send_end(segment)
        else:
            self._schedule()

    def forget(self, stream: PocketsphinxStream) -> None:
        self._streams.discard(stream)
        for segment in stream.segments:
            self._take_back(segment)
            segment.set_timer(None)
        stream.segments.clear()
        self._schedule()

    # --- who has which worker -----------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Carry out the policy; called whenever anything that it looks at has changed."""
        if self._loop is None:
            return
        heads = [s.segments[0] for s in self._streams if s.segments]
        free = [slot for slot in self._slots if slot.process is not None and slot.segment is None]
        moves = schedule.plan(
            [s for s in heads if s.slot is None], [s for s in heads if s.slot is not None], len(free)
        )
        for segment in moves.take_back:
            if segment.slot is not None:
                free.append(segment.slot)
            self._take_back(segment)
        for segment, slot in zip(moves.give, free, strict=False):
            self._give(segment, slot)
        for segment in heads:
            if segment.ended and segment.slot is None and segment.timer is None:
                segment.set_timer(self._loop.call_later(self._queue_s, self._refuse, segment))

    def _give(self, segment: _Segment, slot: _Slot) -> None:
        options = segment.stream.options
        segment.slot, slot.segment = slot, segment
        segment.set_timer(None)
        segment.run = next(self._serials)
        segment.taken = False
        phrases = options.phrases if not segment.settled_s else ()
        self._send(slot, wire.Begin(segment.run, options.sample_rate_hz, phrases, segment.stream.mean))
        self._send_audio(segment, bytes(segment.audio))
        if segment.ended:
            self._send_end(segment)

    def _take_back(self, segment: _Segment) -> None:
        """Free its worker, if it has one. Its audio is kept."""
        slot, segment.slot = segment.slot, None
        if slot is not None:
            slot.segment = None
            self._send(slot, wire.Cancel(segment.run))
            segment.set_timer(None)

    def _refuse(self, segment: _Segment) -> None:
        segment.timer = None
        self._fail(segment, _busy(f"all workers stayed taken for {self._queue_s:g} s"))
        self._schedule()

    def _fail(self, segment: _Segment, error: ProviderError) -> None:
        segment.set_timer(None)
        segment.error = error
        segment.audio.clear()
        segment.stream.deafen(segment)
        self._say_failed(segment.stream)

    def _say_failed(self, stream: PocketsphinxStream) -> None:
        """Outcomes come in the order of the segments, those of the ones that were given up too. Not from
        within the call that caused it: a listener may well call us back."""
        while stream.segments and (error := stream.segments[0].error) is not None and self._loop is not None:
            self._loop.call_soon(stream.deliver, SttFailed(stream.segments[0].segment_id, error))
            stream.over(stream.segments[0])

    # --- what goes to a worker, and what comes from it ----------------------------------------------------

    def _send(self, slot: _Slot, message: wire.ToWorker) -> None:
        if slot.process is not None:
            slot.process.send(wire.encode(message))

    def _send_audio(self, segment: _Segment, pcm: bytes) -> None:
        """In small pieces, so that a cancel overtakes a long one. What piles up here is bounded by what a
        segment may keep."""
        if segment.slot is not None:
            piece = int(_PIECE_S * segment.stream.options.sample_rate_hz) * 2
            for at in range(0, len(pcm), piece):
                self._send(segment.slot, wire.Audio(segment.run, pcm[at : at + piece]))

    def _send_end(self, segment: _Segment) -> None:
        if segment.slot is not None and self._loop is not None:
            self._send(segment.slot, wire.End(segment.run))
            audio_s = segment.unheard_samples / segment.stream.options.sample_rate_hz
            segment.set_timer(self._loop.call_later(FINAL_WITHIN_S + audio_s, self._hung, segment.slot))

    def _hung(self, slot: _Slot) -> None:
        _log.error("worker %d gave no final in time: it is killed and its utterance replayed", slot.number)
        if slot.process is not None:
            slot.process.kill()

    async def _listen(self, slot: _Slot, process: processes.Worker) -> None:
        """Take the worker's answers until it dies."""
        while (frame := await process.receive()) is not None:
            try:
                answer = wire.decode_answer(frame)
            except (ValueError, KeyError, TypeError):
                _log.exception("worker %d speaks nonsense: it is replaced", slot.number)
                return
            self._heed(slot, answer)

    def _heed(self, slot: _Slot, answer: wire.FromWorker) -> None:
        if isinstance(answer, wire.Dropped):
            for phrase, reason in answer.phrases:
                _log.warning("the phrase %r cannot be listened for: %s", phrase[:80], reason)
        segment = slot.segment
        if segment is None or not isinstance(answer, wire.Begun | wire.Partial | wire.Part | wire.Final):
            return
        if answer.serial != segment.run:
            return  # of a segment that was taken back meanwhile
        stream = segment.stream
        match answer:
            case wire.Begun():
                segment.taken = True
            case wire.Partial(_, text, confidence):
                text = " ".join((*segment.texts, text)).strip()
                stream.deliver(SttPartial(segment.segment_id, text, confidence))
            case wire.Part():
                segment.settle(answer)
                segment.settled_s += answer.samples / stream.options.sample_rate_hz
                del segment.audio[: answer.samples * 2]
            case wire.Final():
                self._finish(slot, segment, answer)

    def _finish(self, slot: _Slot, segment: _Segment, final: wire.Final) -> None:
        segment.settle(final)
        segment.set_timer(None)
        slot.segment = segment.slot = None
        stream = segment.stream
        stream.mean = final.mean
        stream.over(segment)
        self._say_failed(stream)
        words = tuple(segment.words)
        confidence = final.confidence
        if segment.settled_s and words:
            confidence = round(sum(word.confidence for word in words) / len(words), 3)
        self._schedule()
        stream.deliver(SttFinal(segment.segment_id, " ".join(segment.texts), confidence, words))

    def _bereaved(self, slot: _Slot) -> None:
        """The worker in this slot is dead. What it heard is heard again, once; a worker that was dead before it
        took the segment up says nothing about the segment."""
        segment, slot.segment = slot.segment, None
        _log.warning("worker %d died%s", slot.number, " over an utterance" if segment else "")
        if segment is not None:
            segment.slot = None
            segment.set_timer(None)
            segment.deaths += segment.taken
            if segment.deaths > 1:
                self._fail(segment, _failed("two workers died over this utterance"))
        self._schedule()


def _busy(cause: str) -> ProviderBusy:
    return ProviderBusy(NAME, "stt", cause)


def _failed(cause: str) -> ProviderError:
    return ProviderError(NAME, "stt", cause)


def _unavailable(cause: str) -> ProviderUnavailable:
    return ProviderUnavailable(NAME, "stt", cause)
