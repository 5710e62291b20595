"""Chains of engines that answer with a stream: voices and language models."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pipeline.chain.row import Chain, Choice, Deadlines, E_co, Health, late
from pipeline.errors import ProviderBusy, ProviderError
from pipeline.ports import (
    LanguageModel,
    LlmEvent,
    LlmRequest,
    Takeover,
    TextToSpeech,
    TtsCapabilities,
    TtsEvent,
    TtsFrom,
    TtsRequest,
)

PAUSE_S = 0.2
"""Before the same engine is asked again after it said no."""

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Attempt(Generic[E_co, T]):
    choice: Choice[E_co]
    stream: AsyncGenerator[T, None]
    first: asyncio.Task[T]
    begun_s: float
    ended_s: float = 0.0

    @property
    def waited_s(self) -> float:
        """For its first piece."""
        return self.ended_s - self.begun_s

    @property
    def name(self) -> str:
        return self.choice.engine.name


class _Race(Generic[E_co, T]):
    """The attempts at one request, of which the first that gives something wins. Owns their tasks."""

    def __init__(
        self,
        stage: str,
        row: Sequence[Choice[E_co]],
        start: Callable[[Choice[E_co]], AsyncGenerator[T, None]],
        deadlines: Deadlines,
        health: Health,
    ) -> None:
        self._stage = stage
        self._waiting = deque(row)
        self._start = start
        self._deadlines = deadlines
        self._health = health
        self._loop = asyncio.get_running_loop()
        self._running: list[_Attempt[E_co, T]] = []

    async def news(self) -> Takeover | _Attempt[E_co, T]:
        """What happens next: another engine takes over, or one has given its first piece. Raises
        ``ProviderError`` when all have failed, ``StopAsyncIteration`` where the answer is empty."""
        if not self._running:
            self._skip_closed()
            self._begin()
        while True:
            firsts = [attempt.first for attempt in self._running]
            done, _ = await asyncio.wait(
                firsts, timeout=self._patience_s(), return_when=asyncio.FIRST_COMPLETED
            )
            ready = next((a for a in self._running if a.first in done), None)
            if ready is None:
                told = await self._out_of_patience()
            else:
                error = ready.first.exception()
                if not isinstance(error, ProviderError):
                    if error is not None:
                        raise error
                    ready.ended_s = self._loop.time()
                    return ready
                told = await self._failed(ready, error)
            if told is not None:
                return told

    def _begin(self, pause_s: float = 0.0) -> str:
        choice = self._waiting.popleft()
        now = self._loop.time()
        closed_s = self._health.closed_s(self._stage, choice, now)
        stream = self._start(choice)
        pausing = _first_of(stream, max(pause_s, closed_s))
        first = self._loop.create_task(pausing, name=f"{self._stage} attempt")
        self._running.append(_Attempt(choice, stream, first, now + closed_s))
        return choice.engine.name

    def _skip_closed(self) -> None:
        """Nobody is asked who wants to be left alone for longer than one waits for an answer. Raises
        ``ProviderBusy`` where there is nobody else."""
        while True:
            choice = self._waiting[0]
            closed_s = self._health.closed_s(self._stage, choice, self._loop.time())
            if closed_s <= self._deadlines.answer_s:
                return
            self._waiting.popleft()
            if not self._waiting:
                cause = f"it wants to be left alone for {closed_s:.0f} s more"
                raise ProviderBusy(choice.engine.name, self._stage, cause)

    def _patience_s(self) -> float:
        """Until the youngest attempt counts as late; of several the oldest may go on as long as the last."""
        limit = self._deadlines.last_s
        if self._waiting:
            limit = self._deadlines.answer_s
            if self._waiting[0] is self._running[-1].choice:
                limit = self._health.patience_s(
                    self._stage, self._running[-1].choice, limit, self._deadlines.last_s
                )
        return max(0.0, self._running[-1].begun_s + limit - self._loop.time())

    async def _out_of_patience(self) -> Takeover | None:
        youngest = self._running[-1]
        waited_s = self._loop.time() - youngest.begun_s
        error = late(youngest.name, self._stage, round(waited_s, 1))
        self._health.failed(youngest.choice, error, self._loop.time())
        if self._waiting:
            return Takeover(error, self._begin())
        raise error

    async def _failed(self, attempt: _Attempt[E_co, T], error: ProviderError) -> Takeover | None:
        self._health.failed(attempt.choice, error, self._loop.time())
        self._running.remove(attempt)
        await attempt.stream.aclose()
        pause_s = 0.0
        if self._waiting and self._waiting[0] is attempt.choice:
            pause_s = PAUSE_S
            closed_s = self._health.closed_s(self._stage, attempt.choice, self._loop.time())
            if not error.retryable or closed_s > self._deadlines.answer_s:
                self._waiting.popleft()  # The same engine will say the same.
        if self._waiting:
            return Takeover(error, self._begin(pause_s))
        if self._running:
            return Takeover(error, self._running[0].name)  # Another one is still at it.
        raise error

    async def aclose(self, winner: _Attempt[E_co, T] | None = None) -> None:
        """End all attempts but the winner, and wait for that."""
        losers = [attempt for attempt in self._running if attempt is not winner]
        for attempt in losers:
            if not attempt.first.cancelling():  # A second time would break into its clean-up.
                attempt.first.cancel()
        if losers:
            # Not awaited themselves: their end must not be taken for our own cancellation, nor that for theirs.
            await asyncio.wait([attempt.first for attempt in losers])
        for attempt in losers:
            if not attempt.first.cancelled():
                attempt.first.exception()
            await attempt.stream.aclose()
        self._running = [attempt for attempt in self._running if attempt is winner]


async def _first_of(stream: AsyncGenerator[T, None], pause_s: float) -> T:
    if pause_s:
        await asyncio.sleep(pause_s)
    try:
        return await anext(stream)
    except StopAsyncIteration:
        # A task may not end with it.
        raise _Empty from None


class _Empty(Exception):
    """The stream was over before it gave anything."""


@asynccontextmanager
async def _racing(race: _Race[E_co, T]) -> AsyncIterator[_Race[E_co, T]]:
    try:
        yield race
    finally:
        await race.aclose()


class _StreamChain(Chain[E_co]):
    async def _stream(
        self, start: Callable[[Choice[E_co]], AsyncGenerator[T, None]]
    ) -> AsyncGenerator[T | Takeover | Choice[E_co], None]:
        """Who answers, then all that he gives. Raises ``ProviderError``."""
        race = _Race(self.stage, self._row(), start, self._deadlines, self._health)
        async with _racing(race):
            try:
                while isinstance(news := await race.news(), Takeover):
                    yield news
            except _Empty:
                return
            await race.aclose(winner=news)
            yield news.choice
            yield news.first.result()
            try:
                while True:
                    event = await self._next(news)
                    if event is None:
                        break
                    yield event
            finally:
                await news.stream.aclose()
            self._health.answered(self.stage, news.choice, news.waited_s)

    async def _next(self, winner: _Attempt[E_co, T]) -> T | None:
        """The winner's next piece; None where the answer is complete."""
        try:
            async with asyncio.timeout(self._deadlines.gap_s):
                return await anext(winner.stream, None)
        except TimeoutError:
            error: ProviderError = late(winner.name, self.stage, self._deadlines.gap_s)
        except ProviderError as failure:
            error = failure
        self._health.failed(winner.choice, error, asyncio.get_running_loop().time())
        raise error


class TtsChain(_StreamChain[TextToSpeech]):
    """Voices in a row. What the first one cannot begin, the next one says."""

    stage = "tts"

    @property
    def capabilities(self) -> TtsCapabilities:
        return self._choices[0].engine.capabilities

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent | TtsFrom | Takeover, None]:
        def start(choice: Choice[TextToSpeech]) -> AsyncGenerator[TtsEvent, None]:
            return choice.engine.speak(replace(request, model=choice.model, voice=choice.voice))

        async with aclosing(self._stream(start)) as events:
            async for event in events:
                if isinstance(event, Choice):
                    yield TtsFrom(event.engine.name, event.engine.capabilities.word_times)
                else:
                    yield event


class LlmChain(_StreamChain[LanguageModel]):
    """Language models in a row."""

    stage = "llm"

    @property
    def model(self) -> str | None:
        first = self._row()[0]
        return first.model or first.engine.model

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent | Takeover, None]:
        def start(choice: Choice[LanguageModel]) -> AsyncGenerator[LlmEvent, None]:
            return choice.engine.generate(replace(request, model=choice.model))

        async with aclosing(self._stream(start)) as events:
            async for event in events:
                if not isinstance(event, Choice):
                    yield event
