"""A recogniser that hears what a test has written down. It computes nothing and sleeps never."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from media.frames import Pcm
from pipeline.errors import ProviderError
from pipeline.ports import SttCapabilities, SttEvent, SttFailed, SttFinal, SttOptions, SttPartial, SttWord


@dataclass(frozen=True, slots=True)
class Hears:
    """What one segment is heard as."""

    text: str = ""
    partials: tuple[str, ...] = ()
    """Told one by one, each with a feed, from the first feed on."""
    error: ProviderError | None = None
    """Told instead of the final."""
    final_delay_s: float = 0.0
    """From the end of the segment to its final, by the clock of the loop."""
    confidence: float = 0.9
    language: str | None = None


class FakeStt:
    """The engine. ``script`` holds for the segments of all its calls, in the order of their begins; when it is
    used up, segments are heard as ``otherwise`` or, where that is None, wait for the test to tell their final
    (``FakeSttStream.tell``)."""

    name = "fake"

    def __init__(
        self,
        script: Iterable[Hears | str] = (),
        *,
        otherwise: Hears | None = None,
        capabilities: SttCapabilities | None = None,
    ) -> None:
        self.capabilities = capabilities or SttCapabilities(partials=True, word_times=True, languages=("en",))
        self.script = deque(Hears(h) if isinstance(h, str) else h for h in script)
        self.otherwise = otherwise
        self.streams: list[FakeSttStream] = []
        """All that were ever opened."""
        self.started = False

    async def start(self) -> None:
        self.started = True

    async def warm(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        self.started = False
        for stream in self.streams:
            await stream.aclose()

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> FakeSttStream:
        if not self.started:
            raise RuntimeError("the recogniser has not been started")
        if options.sample_rate_hz not in (8000, 16000):
            raise ValueError(f"FakeStt takes 8000 or 16000 Hz, not {options.sample_rate_hz}")
        languages = self.capabilities.languages
        if languages and options.language.split("-")[0] not in languages:
            raise ValueError(f"FakeStt hears {languages} only, not {options.language!r}")
        stream = FakeSttStream(self, options, on_event)
        self.streams.append(stream)
        return stream


@dataclass(eq=False)
class FakeSegment:
    segment_id: int
    plan: Hears | None
    samples: int = 0
    """That were fed."""
    ended: bool = False
    over: bool = False
    """It has had its final or failed."""
    partials: deque[str] = field(default_factory=deque)


class FakeSttStream:
    """One call's ear; ``segments`` is what a test looks at."""

    def __init__(self, engine: FakeStt, options: SttOptions, on_event: Callable[[SttEvent], None]) -> None:
        self.options = options
        self.segments: list[FakeSegment] = []
        self.closed = False
        self._engine = engine
        self._on_event = on_event
        self._open: FakeSegment | None = None
        self._due = 0.0

    def begin(self, segment_id: int) -> None:
        if self.closed:
            return
        if self._open is not None:
            raise RuntimeError(f"segment {self._open.segment_id} is still open")
        plan = self._engine.script.popleft() if self._engine.script else self._engine.otherwise
        self._open = FakeSegment(segment_id, plan, partials=deque(plan.partials if plan else ()))
        self.segments.append(self._open)

    def feed(self, pcm: Pcm) -> None:
        if self.closed:
            return
        if self._open is None:
            raise RuntimeError("audio outside of a segment")
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise ValueError(f"mono 16-bit samples are wanted, not {pcm.dtype}")
        segment = self._open
        segment.samples += len(pcm)
        if segment.partials and self._engine.capabilities.partials:
            partial = SttPartial(segment.segment_id, segment.partials.popleft(), 0.5)
            asyncio.get_running_loop().call_soon(self._tell, segment, partial)

    def pause(self) -> None:
        """Nothing to do early."""

    def end(self) -> None:
        if self.closed:
            return
        if self._open is None:
            raise RuntimeError("no segment is open")
        segment, self._open = self._open, None
        segment.ended = True
        if segment.plan is not None:
            plan = segment.plan
            event = SttFailed(segment.segment_id, plan.error) if plan.error else self.heard(segment, plan)
            loop = asyncio.get_running_loop()
            # Finals come in the order of their segments, as from a real engine, whatever their delays.
            self._due = max(loop.time() + plan.final_delay_s, self._due + 1e-6)
            loop.call_at(self._due, self._tell, segment, event)

    def heard(self, segment: FakeSegment, plan: Hears) -> SttFinal:
        """The final of a segment; its words lie evenly over the audio."""
        words = plan.text.split() if self._engine.capabilities.word_times else []
        each_s = segment.samples / self.options.sample_rate_hz / max(len(words), 1)
        timed = tuple(SttWord(w, i * each_s, (i + 1) * each_s, plan.confidence) for i, w in enumerate(words))
        confidence = plan.confidence if plan.text else 0.0
        return SttFinal(segment.segment_id, plan.text, confidence, timed, plan.language)

    def tell(self, event: SttEvent) -> None:
        """Say this now, on behalf of a segment that has no plan."""
        found = [s for s in self.segments if s.segment_id == event.segment_id]
        self._tell(found[-1], event)

    async def aclose(self) -> None:
        self.closed = True

    def _tell(self, segment: FakeSegment, event: SttEvent) -> None:
        if self.closed or segment.over:
            return
        segment.over = not isinstance(event, SttPartial)
        self._on_event(event)
