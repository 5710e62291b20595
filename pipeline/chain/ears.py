"""A chain of recognisers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from media.frames import Pcm
from pipeline.chain.row import Chain, Choice, Deadlines, Health, attempts, late
from pipeline.errors import ProviderError
from pipeline.ports import (
    SpeechToText,
    SttCapabilities,
    SttEvent,
    SttFailed,
    SttFinal,
    SttOptions,
    SttPartial,
    SttStream,
    SttTurn,
    Takeover,
)

log = logging.getLogger(__name__)

MAX_SEGMENT_S = 120.0
"""Audio of one segment that is kept to be heard again; a longer one has one hearing."""


class SttChain(Chain[SpeechToText]):
    """Recognisers in a row. The next one is given the audio of what the first one lost."""

    stage = "stt"

    @property
    def capabilities(self) -> SttCapabilities:
        """Those of the one that is asked first."""
        return self._choices[0].engine.capabilities

    def open(self, options: SttOptions, on_event: Callable[[SttEvent | Takeover], None]) -> SttStream:
        return _ChainedEar(self._choices, options, on_event, self._deadlines, self._health)


@dataclass(eq=False, slots=True)
class _Hearing:
    """One engine at work on one segment."""

    choice: Choice[SpeechToText]
    stream: SttStream


@dataclass(eq=False, slots=True)
class _Segment:
    segment_id: int
    waiting: deque[Choice[SpeechToText]]
    hearings: list[_Hearing] = field(default_factory=list)
    audio: list[Pcm] = field(default_factory=list)
    samples: int = 0
    kept: bool = True
    """All of its audio is at hand."""
    ended: bool = False
    ended_at: float = 0.0
    outcome: SttFinal | SttFailed | None = None
    timer: asyncio.TimerHandle | None = None

    def set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer


def _raised(name: str, cause: Exception) -> ProviderError:
    return ProviderError(name, "stt", f"{type(cause).__name__}: {cause}"[:300])


def _begin(stream: SttStream, segment: _Segment) -> None:
    """From the beginning of the segment to where it is by now."""
    stream.begin(segment.segment_id)
    for pcm in segment.audio:
        stream.feed(pcm)
    if segment.ended:
        stream.end()


class _ChainedEar:
    """One call's ear on several recognisers. Finals keep the order of the segments."""

    def __init__(
        self,
        choices: Sequence[Choice[SpeechToText]],
        options: SttOptions,
        on_event: Callable[[SttEvent | Takeover], None],
        deadlines: Deadlines,
        health: Health,
    ) -> None:
        self._options = options
        self._on_event = on_event
        self._deadlines = deadlines
        self._health = health
        self._loop = asyncio.get_running_loop()
        self._streams: dict[str, SttStream] = {}
        self._retired: list[SttStream] = []
        self._segments: deque[_Segment] = deque()
        self._open: _Segment | None = None
        self._closed = False
        self._choices = self._able(choices)

    def _able(self, choices: Sequence[Choice[SpeechToText]]) -> list[Choice[SpeechToText]]:
        """Those that take the options. Raises what the last one said where none does."""
        able: list[Choice[SpeechToText]] = []
        refusal: Exception | None = None
        for choice in choices:
            try:
                if not able:  # Of the others a stream is opened when it is needed.
                    self._stream_of(choice)
                able.append(choice)
            except (ValueError, RuntimeError, ProviderError) as error:
                refusal = error
        if not able and refusal is not None:
            raise refusal
        return able

    # --- what the call does -------------------------------------------------------------------------------

    def begin(self, segment_id: int) -> None:
        if self._closed:
            return
        if self._open is not None:
            raise RuntimeError("the segment before has not ended")
        row = attempts(self._health.order("stt", self._choices, self._loop.time()))
        segment = _Segment(segment_id, deque(row))
        self._segments.append(segment)
        self._open = segment
        self._hear(segment)

    def feed(self, pcm: Pcm) -> None:
        if self._closed:
            return
        segment = self._opened()
        self._have(segment, lambda stream: stream.feed(pcm))
        if segment.kept:
            segment.audio.append(pcm)
            segment.samples += len(pcm)
            if segment.samples > MAX_SEGMENT_S * self._options.sample_rate_hz:
                segment.kept = False
                segment.audio.clear()

    def pause(self) -> None:
        if not self._closed:
            self._have(self._opened(), lambda stream: stream.pause())

    def end(self) -> None:
        if self._closed:
            return
        segment, self._open = self._opened(), None
        segment.ended = True
        segment.ended_at = self._loop.time()
        self._have(segment, lambda stream: stream.end())
        if segment.outcome is None:
            self._be_patient(segment)

    async def aclose(self) -> None:
        self._closed = True
        for segment in self._segments:
            segment.set_timer(None)
        self._segments.clear()
        streams = [*self._streams.values(), *self._retired]
        self._streams.clear()
        self._retired.clear()
        for stream in streams:
            try:
                await stream.aclose()
            except Exception:
                # Whatever it is: the others are to be closed, and the call has its own end.
                log.exception("an ear could not be closed")

    def _opened(self) -> _Segment:
        if self._open is None:
            raise RuntimeError("no segment is open")
        return self._open

    # --- who hears ----------------------------------------------------------------------------------------

    def _stream_of(self, choice: Choice[SpeechToText]) -> SttStream:
        name = choice.engine.name
        stream = self._streams.get(name)
        if stream is None:
            options = replace(self._options, model=choice.model)
            # What a stream says counts for a segment as long as that one has no outcome, whoever says it.
            try:
                stream = choice.engine.open(options, lambda event: self._heed(name, event))
            except (ValueError, RuntimeError, ProviderError):
                raise
            except Exception as cause:
                raise _raised(name, cause) from cause
            self._streams[name] = stream
        return stream

    def _hear(self, segment: _Segment) -> None:
        """Have the next engine in the row hear the segment from its beginning."""
        choice = segment.waiting.popleft()
        self._spare(segment, choice.engine.name)
        try:
            stream = self._stream_of(choice)
        except (ValueError, RuntimeError, ProviderError) as cause:
            error = ProviderError(choice.engine.name, "stt", str(cause), retryable=False)
            self._loop.call_soon(self._failed, segment, choice.engine.name, error)
            return
        hearing = _Hearing(choice, stream)
        segment.hearings.append(hearing)
        self._do(segment, hearing, lambda stream: _begin(stream, segment))
        if segment.ended and hearing in segment.hearings:
            self._be_patient(segment)

    def _have(self, segment: _Segment, act: Callable[[SttStream], None]) -> None:
        """Have all that hear a segment do something."""
        for hearing in tuple(segment.hearings):
            self._do(segment, hearing, act)

    def _do(self, segment: _Segment, hearing: _Hearing, act: Callable[[SttStream], None]) -> None:
        """An engine that raises, whatever it is, has failed on the segment: no bug of one ends the call."""
        try:
            act(hearing.stream)
        except Exception as cause:  # noqa: BLE001 - told as what it is: a failed provider
            segment.hearings.remove(hearing)
            self._retire(hearing)  # Nobody knows what state it is in.
            name = hearing.choice.engine.name
            # No event comes from within what the call does.
            self._loop.call_soon(self._failed, segment, name, _raised(name, cause))

    def _spare(self, segment: _Segment, name: str) -> None:
        """A stream in the middle of the speech that goes on is left to it: another one hears beside it."""
        going_on = self._open
        if going_on is not None and going_on is not segment:
            for hearing in going_on.hearings:
                if hearing.choice.engine.name == name:
                    self._retire(hearing)

    def _be_patient(self, segment: _Segment) -> None:
        limit_s = self._deadlines.last_s
        if segment.waiting:
            limit_s = self._deadlines.answer_s
            name = segment.waiting[0].engine.name
            if segment.hearings and segment.hearings[-1].choice.engine.name == name:
                limit_s = self._health.patience_s(
                    "stt", segment.hearings[-1].choice, limit_s, self._deadlines.last_s
                )
        segment.set_timer(self._loop.call_later(limit_s, self._out_of_patience, segment))

    def _out_of_patience(self, segment: _Segment) -> None:
        segment.timer = None
        if not segment.hearings:
            return
        youngest = segment.hearings[-1]
        self._retire(youngest)
        error = late(youngest.choice.engine.name, "stt", round(self._loop.time() - segment.ended_at, 1))
        self._health.failed(youngest.choice, error, self._loop.time())
        if not self._next(segment, error):
            self._settle(segment, SttFailed(segment.segment_id, error))

    def _retire(self, hearing: _Hearing) -> None:
        """What comes after a segment that hangs must not hang behind it."""
        name = hearing.choice.engine.name
        if self._streams.get(name) is hearing.stream:
            self._retired.append(self._streams.pop(name))

    def _next(self, segment: _Segment, error: ProviderError) -> bool:
        """Go on with the next in the row; False: there is none, or nothing to give it."""
        if not segment.waiting or not segment.kept or self._closed:
            return False
        name = segment.waiting[0].engine.name
        closed_s = self._health.closed_s("stt", segment.waiting[0], self._loop.time())
        if name == error.provider and (not error.retryable or closed_s > self._deadlines.answer_s):
            return False  # The same engine will say the same.
        self._on_event(Takeover(error, name))
        if segment.outcome is None and not self._closed:
            self._hear(segment)
        return True

    # --- what the engines say -----------------------------------------------------------------------------

    def _heed(self, name: str, event: SttEvent) -> None:
        if isinstance(event, SttTurn):
            # Also after the final of its segment, which says nothing of the turn.
            if not self._closed and name in self._streams:
                self._on_event(event)
            return
        segment = next((s for s in self._segments if s.segment_id == event.segment_id), None)
        if segment is None or segment.outcome is not None or self._closed:
            return
        match event:
            case SttPartial():
                if segment.hearings and segment.hearings[-1].choice.engine.name == name:
                    self._on_event(event)
            case SttFinal():
                waited_s = self._loop.time() - segment.ended_at if segment.ended else 0.0
                self._health.answered("stt", self._choice(name), waited_s)
                self._settle(segment, event)
            case SttFailed():
                self._failed(segment, name, event.error)

    def _failed(self, segment: _Segment, name: str, error: ProviderError) -> None:
        if segment.outcome is not None or self._closed:
            return
        self._health.failed(self._choice(name), error, self._loop.time())
        failed = next((h for h in segment.hearings if h.choice.engine.name == name), None)
        if failed is not None:
            segment.hearings.remove(failed)
        segment.set_timer(None)
        if self._next(segment, error):
            return
        if segment.hearings:
            # Another one is still at it.
            self._on_event(Takeover(error, segment.hearings[-1].choice.engine.name))
            self._be_patient(segment)
        else:
            self._settle(segment, SttFailed(segment.segment_id, error))

    def _choice(self, name: str) -> Choice[SpeechToText]:
        return next(choice for choice in self._choices if choice.engine.name == name)

    def _settle(self, segment: _Segment, outcome: SttFinal | SttFailed) -> None:
        segment.outcome = outcome
        segment.set_timer(None)
        segment.audio.clear()
        while self._segments and (first := self._segments[0].outcome) is not None:
            self._segments.popleft()
            self._on_event(first)
