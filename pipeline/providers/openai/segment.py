"""What is to be asked about a segment of speech, and which answer stands. Pure: time is samples fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipeline.errors import ProviderError
from pipeline.providers.openai.wire import Heard

SILENCE_PEAK = 16
"""Samples below are digital silence, and what a mu-law line makes of it. Recognisers of this kind invent words
for it."""
UNTOLD_CONFIDENCE = 0.8
"""Where the service gives no probabilities: it understood, and more is not known."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In samples."""

    part: int
    """At most so much is sent at once: what is longer is settled in parts."""
    settle: int
    """So much more audio after a pause does not count."""
    partials: int
    """How often the growing segment is asked about; 0: never."""


@dataclass(frozen=True, slots=True)
class Span:
    """A request that is wanted: about the first samples of what is not settled yet."""

    samples: int
    purpose: Literal["part", "whole", "partial"]
    """The first part of a long segment, all of it as far as one knows, or text to show meanwhile."""


@dataclass(eq=False, slots=True)
class Segment:
    """One segment, from its begin to its outcome."""

    segment_id: int
    limits: Limits
    ended: bool = False
    over: bool = False
    """It has had its outcome, though audio may still be fed."""
    shown: str = ""
    """The last interim text."""
    _audio: bytearray = field(default_factory=bytearray)
    """What is not settled yet."""
    _settled: list[Heard] = field(default_factory=list)
    _paused_at: int | None = None
    _partial_at: int = 0
    _answer: tuple[int, Heard | ProviderError] | None = None
    """Samples that it is about, and what was said of them."""

    @property
    def samples(self) -> int:
        return len(self._audio) // 2

    def feed(self, pcm: bytes) -> bool:
        """Whether something else may be wanted now."""
        if self.over:
            return False
        self._audio += pcm
        voided = self._paused_at is not None and self.samples - self._paused_at > self.limits.settle
        if voided:
            self._paused_at = None
        return voided or self._full or self._partial_due

    def pause(self) -> None:
        self._paused_at = self.samples

    def audio(self, span: Span) -> bytes:
        return bytes(memoryview(self._audio)[: span.samples * 2])

    def silent(self, span: Span) -> bool:
        """Whether there is nothing to ask about."""
        samples = np.frombuffer(self.audio(span), np.int16)
        return not len(samples) or (
            int(samples.max()) <= SILENCE_PEAK and int(samples.min()) >= -SILENCE_PEAK
        )

    # --- what is wanted -----------------------------------------------------------------------------------

    @property
    def wanted(self) -> Span | None:
        """The request to make where none is made."""
        if self.over or (self._answer is not None and self._stands(self._answer[0])):
            return None
        if self._full:
            return Span(self.limits.part, "part")
        if self.ended:
            return Span(self.samples, "whole")
        if self._paused_at is not None:
            return Span(self._paused_at, "whole")
        return Span(self.samples, "partial") if self._partial_due else None

    def wants(self, span: Span) -> bool:
        """Whether a request that is being made is still worth its answer."""
        if self.over:
            return False
        match span.purpose:
            case "part":
                return True
            case "whole":
                return self._stands(span.samples)
            case "partial":
                return not self.ended and self._paused_at is None and not self._full

    def _stands(self, samples: int) -> bool:
        """Whether what is said of so many samples holds for all of them."""
        return self.samples - samples <= self.limits.settle and (
            self._paused_at is None or self._paused_at <= samples
        )

    @property
    def _full(self) -> bool:
        return self.samples > self.limits.part

    @property
    def _partial_due(self) -> bool:
        return bool(self.limits.partials) and self.samples - self._partial_at >= self.limits.partials

    # --- what was answered --------------------------------------------------------------------------------

    def asked(self, span: Span) -> None:
        self._partial_at = span.samples

    def take(self, span: Span, answer: Heard | ProviderError) -> None:
        """The answer to a request that ``wants`` it."""
        match span.purpose:
            case "whole":
                self._answer = (span.samples, answer)
            case "part" if isinstance(answer, Heard):
                self._settled.append(answer)
                del self._audio[: span.samples * 2]
                self._partial_at = 0
                if self._paused_at is not None:
                    self._paused_at = max(0, self._paused_at - span.samples)
            case "part":
                self._answer = (self.samples, answer)
                self.ended = True  # what follows is lost, too
            case "partial":
                pass

    @property
    def outcome(self) -> Heard | ProviderError | None:
        """What is to be said of the segment as a whole, once it has ended."""
        if not self.ended or self.over or self._answer is None:
            return None
        samples, answer = self._answer
        if not self._stands(samples):
            return None
        return answer if isinstance(answer, ProviderError) else joined((*self._settled, answer))

    def text_with(self, text: str) -> str:
        """Interim text of the segment, where ``text`` is that of what is not settled."""
        return " ".join(filter(None, (*(heard.text for heard in self._settled), text)))


def joined(parts: Sequence[Heard]) -> Heard:
    """The parts as one; the confidence is the mean of those that hold words."""
    spoken = [part for part in parts if part.text]
    if not spoken:
        return Heard("", True, 0.0)
    told = [UNTOLD_CONFIDENCE if part.confidence is None else part.confidence for part in spoken]
    languages = {part.language for part in spoken if part.language}
    language = languages.pop() if len(languages) == 1 else None
    return Heard(" ".join(part.text for part in spoken), True, round(sum(told) / len(told), 3), language)
