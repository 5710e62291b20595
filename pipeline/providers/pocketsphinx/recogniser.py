"""One segment of speech through the decoders, inside a worker."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.providers.pocketsphinx import agreement
from pipeline.providers.pocketsphinx import grammar as grammars
from pipeline.providers.pocketsphinx.agreement import Evidence, Phones
from pipeline.providers.pocketsphinx.model import (
    Mean,
    Model,
    mean_from_text,
    mean_to_text,
)
from pipeline.providers.pocketsphinx.pronounce import pronunciations

FRAME_S = 0.01
_NATS = 1024
"""A score comes as exp(log / 1024): the decoder shifts its logarithms by ten bits."""
_RIVAL = "rival"
_SETS_KEPT = 8
_WORDS_KEPT = 5000


@dataclass(frozen=True, slots=True)
class HeardWord:
    word: str
    phones: Phones
    start: int
    """Frames of 10 ms from the beginning of the utterance."""
    end: int
    probability: float
    """Posterior of the word among the rivals that the search kept."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one search made of an utterance."""

    words: tuple[HeardWord, ...]
    score: float = 0.0
    """Of a phrase: natural logarithm of the acoustic likelihood."""

    @property
    def text(self) -> str:
        return " ".join(word.word for word in self.words)

    @property
    def probabilities(self) -> tuple[float, ...]:
        return tuple(word.probability for word in self.words)


@dataclass(slots=True)
class _Set:
    """A set of phrases that has been made ready."""

    search: str
    grammar: grammars.Grammar
    phones: tuple[Phones, ...]
    paths: dict[tuple[str, ...], grammars.Path] = field(default_factory=dict)


class OpenSearch:
    """The large vocabulary, streaming."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._decoder = model.decoder

    def begin(self, mean: Mean) -> None:
        self._decoder.set_cmn(mean_to_text(mean))
        self._decoder.start_utt()

    def feed(self, pcm: npt.NDArray[np.int16]) -> None:
        """Samples of 16 kHz."""
        if len(pcm):
            self._decoder.process_raw(pcm.tobytes(), full_utt=False)

    def partial(self) -> str:
        hypothesis = self._decoder.hyp()
        return plain(hypothesis.hypstr) if hypothesis else ""

    def finish(self) -> Reading:
        self._decoder.end_utt()
        if not self._decoder.hyp():
            return Reading(())
        return Reading(tuple(heard_words(self._decoder.seg(), self._model.lookup)))

    @property
    def frames(self) -> int:
        return int(self._decoder.n_frames())

    def mean(self) -> Mean | None:
        return mean_from_text(self._decoder.get_cmn(True))


class PhraseSearch:
    """The grammars of the calls that this worker has served lately."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._sets: OrderedDict[tuple[str, ...], _Set] = OrderedDict()
        self._words: dict[str, str] = {}
        self._decoder: Any = model.new_grammar_decoder()
        self._made = 0

    def prepare(self, phrases: tuple[str, ...]) -> grammars.Grammar:
        """Make a set of phrases ready, or find it made. The least recently used one is forgotten."""
        if len(self._words) > _WORDS_KEPT:  # a decoder cannot forget a word, but a new one takes only 7 ms
            self._decoder, self._words = self._model.new_grammar_decoder(), {}
            self._sets.clear()
        if phrases in self._sets:
            self._sets.move_to_end(phrases)
            return self._sets[phrases].grammar
        grammar = grammars.build(phrases, self._model.lookup)
        self._made += 1
        made = _Set(f"set{self._made}", grammar, grammar.phones)
        self._sets[phrases] = made
        if grammar.paths:
            made.paths = {tuple(self._key(w, grammar.lexicon[w]) for w in p.words): p for p in grammar.paths}
            self._decoder.add_jsgf_string(made.search, grammars.jsgf(grammar, self._words.__getitem__))
        if len(self._sets) > _SETS_KEPT:
            _, old = self._sets.popitem(last=False)
            if old.paths:
                self._decoder.remove_search(old.search)
        return grammar

    def _key(self, word: str, pronunciations: Iterable[str]) -> str:
        """The word's name in the decoder: one that no grammar format can misread."""
        if word not in self._words:
            self._words[word] = key = f"w{len(self._words)}"
            for number, phones in enumerate(pronunciations, 1):
                self._decoder.add_word(key if number == 1 else f"{key}({number})", phones, False)
        return self._words[word]

    def longest(self, phrases: tuple[str, ...]) -> int:
        """The phones of the longest phrase of a prepared set: what bounds how long one can last."""
        return max(map(len, self._sets[phrases].phones), default=0)

    def possible(self, phrases: tuple[str, ...], heard: Phones) -> bool:
        """Whether any phrase of a prepared set could be believed, given what the open search heard."""
        return any(agreement.possible(heard, phones) for phones in self._sets[phrases].phones)

    def search(
        self, phrases: tuple[str, ...], pcm: npt.NDArray[np.int16], mean: Mean
    ) -> tuple[grammars.Path, Reading] | None:
        """The best phrase of a prepared set for a whole utterance; None where none was heard to its end."""
        made = self._sets[phrases]
        if not made.paths or not len(pcm):
            return None
        reading = self._decode(made.search, pcm, mean)
        path = made.paths.get(tuple(word.word for word in reading.words)) if reading else None
        return (path, reading) if path is not None and reading is not None else None

    def score(self, words: Sequence[str], pcm: npt.NDArray[np.int16], mean: Mean) -> float | None:
        """How well these words fit an utterance, comparable with the score of a phrase that was found in it;
        None where they do not fit at all."""
        keys = [self._key(word, pronunciations(word, self._model.lookup)) for word in words]
        self._decoder.add_jsgf_string(
            _RIVAL, f"#JSGF V1.0; grammar rival; public <words> = {' '.join(keys)};"
        )
        reading = self._decode(_RIVAL, pcm, mean)
        return reading.score if reading is not None and len(reading.words) == len(keys) else None

    def _decode(self, search: str, pcm: npt.NDArray[np.int16], mean: Mean) -> Reading | None:
        decoder = self._decoder
        decoder.activate_search(search)
        decoder.set_cmn(mean_to_text(mean))
        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        if not hypothesis:
            return None
        words = tuple(heard_words(decoder.seg(), decoder.lookup_word))
        return Reading(words, math.log(max(hypothesis.score, 1e-300)) * _NATS)


def heard_words(segments: Iterable[Any], lookup: grammars.Lookup) -> Iterable[HeardWord]:
    """The words among a decoder's segments, without its marks for silence and noise."""
    for segment in segments:
        if segment.word[0] not in "<[+":
            yield HeardWord(
                plain(segment.word),
                tuple((lookup(segment.word) or "").split()),
                segment.start_frame,
                segment.end_frame + 1,
                min(1.0, segment.prob),
            )


def plain(text: str) -> str:
    """Without the marks of second pronunciations: "the(2)"."""
    return re.sub(r"\(\d+\)", "", text)


def evidence(open_reading: Reading, phrase: Reading) -> Evidence:
    """Lay the two readings of one utterance side by side."""
    open_frames = {f for word in open_reading.words for f in range(word.start, word.end)}
    phrase_frames = {f for word in phrase.words for f in range(word.start, word.end)}
    return Evidence(
        open_words=tuple(word.phones for word in open_reading.words),
        phrase_words=tuple(word.phones for word in phrase.words),
        word_frames=tuple(word.end - word.start for word in phrase.words),
        open_frames=len(open_frames),
        phrase_frames=len(phrase_frames),
        common_frames=len(open_frames & phrase_frames),
        phrase_score=phrase.score,
    )
