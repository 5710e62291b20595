"""One segment inside a worker: its audio in, its partials, parts and final out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipeline.ports import SttWord
from pipeline.providers.pocketsphinx import agreement
from pipeline.providers.pocketsphinx.frontend import MODEL_RATE_HZ, Frontend
from pipeline.providers.pocketsphinx.grammar import Path
from pipeline.providers.pocketsphinx.model import (
    TELEPHONE_MEANS,
    WIDEBAND_MEAN,
    Mean,
    nearest,
    utterance_mean,
)
from pipeline.providers.pocketsphinx.recogniser import FRAME_S, OpenSearch, PhraseSearch, Reading, evidence
from pipeline.providers.pocketsphinx.wire import Begin, Final, Part, Partial

PARTIAL_EVERY_MS = 120
"""Of audio, between two partials."""
PARTIAL_CONFIDENCE = 0.5
"""The search has no posterior before the end; see ``docs/recognition.md`` for what this stands for."""

PART_AFTER_S = 12.0
PART_AT_LATEST_S = 25.0
"""A segment longer than this is settled in parts, at a pause if there is one in time: the search keeps all
that it has seen, and the engine keeps all audio that is not settled, to hear it again if a worker dies."""
_PAUSE_S = 0.3
_PAUSE_LEVEL = 900
"""Of 32767, behind the front end, which puts speech at 8000."""

_LINE_S = 0.6
"""Heard before the kind of telephone line is told; it was told right from this much of all recordings."""

SECONDS_PER_PHONE = 0.25
_SLACK_S = 1.5
"""How much longer than its longest phrase an utterance may be and still be worth a look in the grammar."""


class Segment:
    """From begin to final. ``feed`` and ``end`` compute; a segment that is dropped midway needs ``drop``."""

    def __init__(self, begin: Begin, words: OpenSearch, phrases: PhraseSearch) -> None:
        self.serial = begin.serial
        self._words = words
        self._phrase_search = phrases
        self._phrases = begin.phrases
        self._rate_hz = begin.sample_rate_hz
        self._front = Frontend(begin.sample_rate_hz)
        telephone = begin.sample_rate_hz != MODEL_RATE_HZ
        lines = TELEPHONE_MEANS if telephone else (WIDEBAND_MEAN,)
        self._mean: Mean = begin.mean or lines[0]
        self._lines = () if begin.mean or len(lines) == 1 else lines
        """What the caller's line may be, while that is not known."""
        self._audio: list[npt.NDArray[np.int16]] = []
        """At the model's rate, since the last part."""
        self._heard_samples = 0
        self._fed_samples = 0
        self._told_samples = 0
        self._told = ""
        words.begin(self._mean)

    def feed(self, pcm: npt.NDArray[np.int16]) -> None:
        """Hear the next samples, at the segment's rate."""
        self._fed_samples += len(pcm)
        samples = self._front.push(pcm)
        if self._front.misjudged:
            samples = self._front.again()
            self._begin_again(self._mean)
        self._hear(samples)
        if self._lines and self._heard_samples >= _LINE_S * MODEL_RATE_HZ:
            self._find_line()

    def _hear(self, samples: npt.NDArray[np.int16]) -> None:
        self._words.feed(samples)
        self._audio.append(samples)
        self._heard_samples += len(samples)

    def _find_line(self) -> None:
        """By what was heard so far, choose the mean to go on with; hear it again where that is another one."""
        lines, self._lines = self._lines, ()
        after = self._words.mean()
        if after is None or not self._words.frames:
            return
        line = nearest(utterance_mean(self._mean, after, self._words.frames, 0), lines)
        if line != self._mean:
            heard = self._audio
            self._begin_again(line)
            self._hear(np.concatenate(heard))

    def _begin_again(self, mean: Mean) -> None:
        self._words.finish()
        self._mean = mean
        self._words.begin(mean)
        self._audio = []
        self._heard_samples = self._told_samples = 0

    def partial(self) -> Partial | None:
        """The text so far, where it is new and the last one is old enough."""
        if self._heard_samples - self._told_samples < PARTIAL_EVERY_MS * MODEL_RATE_HZ // 1000:
            return None
        text = self._words.partial()
        if text == self._told:
            return None
        self._told, self._told_samples = text, self._heard_samples
        return Partial(self.serial, text, PARTIAL_CONFIDENCE)

    def part(self) -> Part | None:
        """Settle what was heard so far, where the segment has become that long."""
        heard_s = self._heard_samples / MODEL_RATE_HZ
        if heard_s < PART_AFTER_S or (heard_s < PART_AT_LATEST_S and not self._pausing()):
            return None
        reading = self._words.finish()
        self._mean = self._words.mean() or self._mean
        self._words.begin(self._mean)
        samples, self._fed_samples = self._fed_samples, 0
        self._phrases = ()  # no phrase is that long
        self._audio.clear()
        self._heard_samples = self._told_samples = 0
        self._told = ""
        return Part(
            self.serial,
            samples,
            reading.text,
            agreement.open_confidence(reading.probabilities),
            times(reading),
        )

    def _pausing(self) -> bool:
        recent = np.concatenate(self._audio[-50:])[-int(_PAUSE_S * MODEL_RATE_HZ) :]
        return int(np.abs(recent.astype(np.int32)).max()) < _PAUSE_LEVEL

    def drop(self) -> None:
        """The segment was taken back: nobody wants its text."""
        self._words.finish()

    def end(self) -> Final:
        """The segment is over: what was it?"""
        reading, after = self._finish()
        carried = after or self._mean
        found = self._phrase(reading, after)
        if found is not None:
            path, phrase, confidence = found
            return Final(
                self.serial, path.phrase, confidence, phrase_times(path, phrase, confidence), carried
            )
        confidence = agreement.open_confidence(reading.probabilities)
        return Final(self.serial, reading.text, confidence, times(reading), carried)

    def _finish(self) -> tuple[Reading, Mean | None]:
        """What the open search heard, and the mean as it is now."""
        self._hear(self._front.flush())
        if self._lines:
            self._find_line()
        return self._words.finish(), self._words.mean()

    def _phrase(self, reading: Reading, after: Mean | None) -> tuple[Path, Reading, float] | None:
        """The phrase that was said, where the grammar and the open search agree on one."""
        if not self._phrases or not reading.words or after is None:
            return None
        self._phrase_search.prepare(self._phrases)
        longest_s = self._phrase_search.longest(self._phrases) * SECONDS_PER_PHONE + _SLACK_S
        phones = tuple(phone for word in reading.words for phone in word.phones)
        if self._heard_samples > longest_s * MODEL_RATE_HZ or not self._phrase_search.possible(
            self._phrases, phones
        ):
            return None
        mean = utterance_mean(self._mean, after, self._words.frames)
        audio = np.concatenate(self._audio)
        found = self._phrase_search.search(self._phrases, audio, mean)
        if found is None:
            return None
        path, phrase = found
        seen = evidence(reading, phrase)
        judgement = agreement.judge(seen)
        if judgement is agreement.Judgement.SCORE_WANTED:
            rival = self._phrase_search.score([word.word for word in reading.words], audio, mean)
            # Words that do not fit at all are no rival, but then nothing is known of the phrase either.
            seen = replace(seen, open_score=math.inf if rival is None else rival)
            judgement = agreement.judge(seen)
        self.considered(path.phrase, seen)
        believed = judgement is agreement.Judgement.BELIEVED
        return (path, phrase, agreement.phrase_confidence(seen)) if believed else None

    def considered(self, phrase: str, seen: agreement.Evidence) -> None:
        """On what grounds a phrase was believed or not: for measurements."""


def times(reading: Reading) -> tuple[SttWord, ...]:
    """The words with their times in seconds from the first sample of the utterance."""
    return tuple(
        SttWord(w.word, w.start * FRAME_S, w.end * FRAME_S, round(w.probability, 3)) for w in reading.words
    )


def phrase_times(path: Path, reading: Reading, confidence: float) -> tuple[SttWord, ...]:
    """The same for a phrase, in the spelling of the agent: a token that is several words ("42") is one."""
    words = iter(reading.words)
    found: list[SttWord] = []
    for text, spoken in path.tokens:
        parts = [next(words) for _ in spoken]
        found.append(SttWord(text, parts[0].start * FRAME_S, parts[-1].end * FRAME_S, confidence))
    return tuple(found)
