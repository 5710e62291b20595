"""A segment in its worker, with searches that only pretend: partials, parts, and what becomes the final."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from media.frames import Pcm
from pipeline.providers.pocketsphinx.grammar import Path, spoken
from pipeline.providers.pocketsphinx.model import TELEPHONE_MEANS, WIDEBAND_MEAN, Mean
from pipeline.providers.pocketsphinx.recogniser import HeardWord, OpenSearch, PhraseSearch, Reading
from pipeline.providers.pocketsphinx.segment import (
    PART_AFTER_S,
    PART_AT_LATEST_S,
    PARTIAL_EVERY_MS,
    Segment,
    phrase_times,
)
from pipeline.providers.pocketsphinx.wire import Begin, Final, Part, Partial

RATE_HZ = 16000
LEARNT: Mean = tuple(40.0 + n for n in range(13))
PHONES = {
    "room": "R UW M", "two": "T UW", "to": "T UW", "forty": "F AO R T IY", "rum": "R AH M", "broom": "B R UW M",
}  # fmt: skip


def reading(text: str, score: float = 0.0, probability: float = 0.8) -> Reading:
    """A word every 20 frames."""
    words = text.split()
    return Reading(
        tuple(
            HeardWord(w, tuple(PHONES.get(w, "AH").split()), 20 * i, 20 * i + 20, probability)
            for i, w in enumerate(words)
        ),
        score,
    )


class Words:
    """The open search: hears what it is told to, once it has heard anything."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.means: list[Mean] = []
        self.heard = 0
        self.finished = 0
        self.learnt: Mean | None = LEARNT

    def begin(self, mean: Mean) -> None:
        self.means.append(mean)
        self.heard = 0

    def feed(self, pcm: Pcm) -> None:
        self.heard += len(pcm)

    def partial(self) -> str:
        return self.text

    def finish(self) -> Reading:
        self.finished += 1
        return reading(self.text if self.heard else "")

    @property
    def frames(self) -> int:
        return self.heard // 160

    def mean(self) -> Mean | None:
        return self.learnt


class Phrases:
    """The phrase search: finds the first phrase, with a score."""

    def __init__(self, score: float = 0.0, rival: float | None = 0.0, found: bool = True) -> None:
        self.given = score
        self.rival = rival
        self.found = found
        self.searched: list[int] = []
        self.scored: list[Sequence[str]] = []

    def prepare(self, phrases: tuple[str, ...]) -> None:
        self.paths = [path for phrase in phrases for path in spoken(phrase)]

    def longest(self, phrases: tuple[str, ...]) -> int:
        return 10

    def possible(self, phrases: tuple[str, ...], heard: tuple[str, ...]) -> bool:
        return True

    def search(self, phrases: tuple[str, ...], pcm: Pcm, mean: Mean) -> tuple[Path, Reading] | None:
        self.searched.append(len(pcm))
        return (self.paths[0], reading(" ".join(self.paths[0].words), self.given)) if self.found else None

    def score(self, words: Sequence[str], pcm: Pcm, mean: Mean) -> float | None:
        self.scored.append(words)
        return self.rival


def segment(
    words: Words,
    phrases: Phrases | None = None,
    *expected: str,
    rate_hz: int = RATE_HZ,
    mean: Mean | None = None,
) -> Segment:
    begin = Begin(7, rate_hz, expected, mean)
    return Segment(begin, cast("OpenSearch", words), cast("PhraseSearch", phrases or Phrases()))


def speech(length_s: float, level: int = 6000, rate_hz: int = RATE_HZ) -> Pcm:
    t = np.arange(int(length_s * rate_hz)) / rate_hz
    return np.asarray(level * np.sin(2 * np.pi * 300 * t), dtype=np.int16)


def feed(to: Segment, pcm: Pcm, piece: int = 320) -> list[Partial | Part]:
    told: list[Partial | Part] = []
    for at in range(0, len(pcm), piece):
        to.feed(pcm[at : at + piece])
        if event := to.part() or to.partial():
            told.append(event)
    return told


def test_a_partial_comes_when_the_text_is_new_and_not_too_often() -> None:
    words = Words("one")
    heard = segment(words)
    assert [p.text for p in feed(heard, speech(0.5)) if isinstance(p, Partial)] == ["one"]
    assert feed(heard, speech(0.5)) == []
    texts = []
    for number in range(100):
        words.text = f"word {number}"
        texts += feed(heard, speech(0.02))
    assert len(texts) == pytest.approx(2000 / PARTIAL_EVERY_MS, abs=1)
    assert all(isinstance(p, Partial) and p.serial == 7 and 0 < p.confidence < 1 for p in texts)


def test_the_mean_of_an_unknown_caller_fits_his_line() -> None:
    for rate_hz, known, used in (
        (16000, None, WIDEBAND_MEAN),
        (8000, None, TELEPHONE_MEANS[0]),
        (8000, LEARNT, LEARNT),
    ):
        words = Words()
        segment(words, rate_hz=rate_hz, mean=known)
        assert words.means == [used]


def test_the_final_has_text_words_and_what_was_learnt() -> None:
    words = Words("two room")
    heard = segment(words)
    feed(heard, speech(1.0))
    final = heard.end()
    assert final.text == "two room"
    assert [(w.word, w.start_s, w.end_s, w.confidence) for w in final.words] == [
        ("two", 0.0, 0.2, 0.8),
        ("room", 0.2, 0.4, 0.8),
    ]
    assert final.confidence == pytest.approx(0.8)
    assert final.mean == LEARNT
    assert words.heard == RATE_HZ


def test_all_audio_is_heard_even_where_it_was_too_short_to_be_measured() -> None:
    words = Words("two")
    heard = segment(words)
    feed(heard, speech(0.1))
    assert words.heard == 0
    assert heard.end().text == "two"
    assert words.heard == 1600


def test_what_cannot_be_learnt_from_silence_is_not() -> None:
    words = Words("")
    words.learnt = None
    heard = segment(words, mean=LEARNT)
    feed(heard, np.zeros(RATE_HZ, np.int16))
    assert heard.end() == Final(7, "", 0.0, (), LEARNT)


def test_an_expected_phrase_comes_in_the_spelling_of_the_agent() -> None:
    phrases = Phrases()
    heard = segment(Words("room forty to"), phrases, "Room 42!")
    feed(heard, speech(1.0))
    final = heard.end()
    assert final.text == "Room 42!"
    assert [(w.word, w.start_s, w.end_s) for w in final.words] == [("Room", 0.0, 0.2), ("42!", 0.2, 0.6)]
    assert 0.5 <= final.confidence <= 0.95
    assert phrases.searched == [RATE_HZ]
    assert phrases.scored == []  # the sounds are the same: no need to ask


@pytest.mark.parametrize(
    ("rival", "text"), [(-1000.0, "room 42"), (0.0, "room 42"), (1000.0, "rum to to"), (None, "rum to to")]
)
def test_the_score_of_what_was_heard_decides_the_doubtful(rival: float | None, text: str) -> None:
    phrases = Phrases(rival=rival)
    heard = segment(Words("rum to to"), phrases, "room 42")
    feed(heard, speech(1.0))
    assert heard.end().text == text
    assert phrases.scored == [["rum", "to", "to"]]


@pytest.mark.parametrize(
    ("said", "expected"), [("", ("two",)), ("room", ()), ("forty forty", ("two",)), ("room", ("two",))]
)
def test_without_agreement_the_open_text_stands(said: str, expected: tuple[str, ...]) -> None:
    heard = segment(Words(said), Phrases(rival=1000.0), *expected)
    feed(heard, speech(1.0))
    assert heard.end().text == said


def test_where_the_grammar_finds_nothing_the_open_text_stands() -> None:
    heard = segment(Words("two"), Phrases(found=False), "two")
    feed(heard, speech(1.0))
    assert heard.end().text == "two"


def test_an_utterance_too_long_for_any_phrase_is_not_searched() -> None:
    phrases = Phrases()
    heard = segment(Words("two"), phrases, "two")
    feed(heard, speech(4.5))
    assert heard.end().text == "two"
    assert phrases.searched == []


def test_a_long_segment_is_settled_at_a_pause() -> None:
    words = Words("blah")
    heard = segment(words, None, "blah")
    assert all(isinstance(e, Partial) for e in feed(heard, speech(PART_AFTER_S + 1)))
    told = feed(heard, speech(0.5, level=10))
    (part,) = (e for e in told if isinstance(e, Part))
    assert part.samples == pytest.approx((PART_AFTER_S + 1.3) * RATE_HZ, abs=640)
    assert (part.serial, part.text) == (7, "blah")
    assert words.means == [WIDEBAND_MEAN, LEARNT]
    words.text = "more"
    feed(heard, speech(0.5))
    assert heard.end().text == "more"


def test_without_a_pause_it_is_settled_anyhow() -> None:
    heard = segment(Words("blah"), rate_hz=8000)
    told = feed(heard, speech(PART_AT_LATEST_S + 1, rate_hz=8000), 160)
    (part,) = (e for e in told if isinstance(e, Part))
    assert part.samples == pytest.approx(PART_AT_LATEST_S * 8000, abs=160)  # at the rate of the segment


def test_after_a_part_no_phrase_is_looked_for() -> None:
    phrases = Phrases()
    heard = segment(Words("two"), phrases, "two")
    feed(heard, speech(PART_AT_LATEST_S + 0.5))
    heard.end()
    assert phrases.searched == []


def test_a_misjudged_level_has_the_beginning_heard_again() -> None:
    words = Words("two")
    heard = segment(words)
    feed(heard, speech(0.4, level=500))
    feed(heard, speech(0.6, level=20000))
    assert words.means == [WIDEBAND_MEAN] * 2
    assert words.heard == RATE_HZ
    assert heard.end().text == "two"


def line(mean: Mean, frames: int) -> Mean:
    """What the decoder would tell of an utterance of this mean."""
    return tuple(
        (500 * a + frames * b) / (500 + frames) for a, b in zip(TELEPHONE_MEANS[0], mean, strict=True)
    )


@pytest.mark.parametrize("length_s", [0.3, 1.0])
def test_the_line_of_a_new_caller_is_found_out(length_s: float) -> None:
    narrow = TELEPHONE_MEANS[1]
    words = Words("two")
    words.learnt = line((30.0, *(v + 3 for v in narrow[1:])), round(100 * min(length_s, 0.62)))
    heard = segment(words, rate_hz=8000)
    feed(heard, speech(length_s, rate_hz=8000), 160)
    assert heard.end().text == "two"
    assert words.means == [TELEPHONE_MEANS[0], narrow]
    assert words.heard == length_s * RATE_HZ


def test_a_line_that_was_guessed_right_is_not_heard_twice() -> None:
    words = Words("two")
    words.learnt = line(TELEPHONE_MEANS[0], 60)
    heard = segment(words, rate_hz=8000)
    feed(heard, speech(1.0, rate_hz=8000), 160)
    heard.end()
    known = segment(words, rate_hz=8000, mean=LEARNT)
    feed(known, speech(1.0, rate_hz=8000), 160)
    assert words.means == [TELEPHONE_MEANS[0], LEARNT]


def test_a_segment_that_is_dropped_leaves_the_search_free() -> None:
    words = Words("two")
    heard = segment(words)
    feed(heard, speech(0.5))
    heard.drop()
    assert words.finished == 1


def test_times_of_a_phrase_need_all_its_words() -> None:
    (path,) = spoken("room 42")
    with pytest.raises(StopIteration):
        phrase_times(path, reading("room forty"), 0.9)
