"""When a phrase of the grammar is believed.

Pure. A grammar has no way to say "none of these": whatever it hears, a cough or a different sentence, it
turns into the phrase that fits least badly. The open search has no such bias, but it does not know what is
expected. So the phrase wins only where both of them heard nearly the same sounds, and the sounds of the phrase
fit the audio nearly as well as the best words that the open search found among all words that it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import accumulate

Phones = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at the end of an utterance about the phrase that the grammar would have."""

    open_words: tuple[Phones, ...]
    """What the open search heard: the phones of each word."""
    phrase_words: tuple[Phones, ...]
    """What the grammar heard, likewise. A whole phrase, from beginning to end."""
    word_frames: tuple[int, ...]
    """How long each word of the phrase would be, in frames of 10 ms."""
    open_frames: int
    """Frames that lie within words of the open search."""
    phrase_frames: int
    common_frames: int
    phrase_score: float
    """How well the phrase fits the audio: natural logarithm of its acoustic likelihood, whole utterance."""
    open_score: float | None = None
    """The same for the words of the open search, taken by the same decoder with the same cepstral mean;
    None while it has not been taken. It costs a decoding, so it is taken only where ``Judgement`` asks."""

    @property
    def phones(self) -> int:
        return sum(map(len, self.phrase_words))


_VOWELS = frozenset("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
_ALIKE = tuple(
    frozenset(group.split())
    for group in (
        "P B", "T D", "K G", "F V TH DH HH", "S Z SH ZH CH JH", "S TH", "T CH", "D JH", "D DH", "M N NG",
        "L R ER W", "IY IH Y", "AA AO AH AW", "AO OW UH", "AE EH EY IH", "AE AW", "UW UH OW", "AY AA OY",
        "AH IH EH UH ER",
    )
)  # fmt: skip
_LIGHT = frozenset("AH IH HH T D".split())
"""Sounds that are swallowed most easily."""


@cache
def substitution(a: str, b: str) -> float:
    """What it costs that one phone was heard as another: 0 the same, 0.4 related, up to 1.5."""
    if a == b:
        return 0.0
    if any(a in group and b in group for group in _ALIKE):
        return 0.4
    if a in _VOWELS and b in _VOWELS:
        return 0.7
    return 1.0 if (a in _VOWELS) == (b in _VOWELS) else 1.5


def gap(phone: str) -> float:
    """What it costs that a phone is there only once."""
    return 0.7 if phone in _LIGHT else 1.0


def distance(heard: Phones, phrase: Phones) -> float:
    """What the cheapest alignment costs, and no more than that."""
    row = list(accumulate((gap(phone) for phone in phrase), initial=0.0))
    for a in heard:
        before, skipped = row, gap(a)
        row = [before[0] + skipped]
        for j, b in enumerate(phrase):
            row.append(min(before[j] + substitution(a, b), before[j + 1] + skipped, row[j] + gap(b)))
    return row[-1]


@dataclass(frozen=True, slots=True)
class Alignment:
    """The cheapest way to lay one sequence of phones over another."""

    cost: float
    word_costs: tuple[float, ...]
    """The share of each word of the phrase in it."""


def align(heard: Sequence[str], phrase: Sequence[Sequence[str]]) -> Alignment:
    """Lay what was heard over a phrase. What was heard between two words is charged to the former."""
    expected = [(phone, number) for number, word in enumerate(phrase) for phone in word]
    rows: list[list[tuple[float, tuple[float, ...]]]] = []
    zero = (0.0,) * len(phrase)

    def charge(
        cell: tuple[float, tuple[float, ...]], cost: float, word: int
    ) -> tuple[float, tuple[float, ...]]:
        total, shares = cell
        return (total + cost, (*shares[:word], shares[word] + cost, *shares[word + 1 :])) if cost else cell

    for i in range(len(heard) + 1):
        row: list[tuple[float, tuple[float, ...]]] = []
        for j in range(len(expected) + 1):
            word = expected[max(j - 1, 0)][1] if expected else 0
            ways = []
            if i and j:
                ways.append(charge(rows[i - 1][j - 1], substitution(heard[i - 1], expected[j - 1][0]), word))
            if i:
                ways.append(charge(rows[i - 1][j], gap(heard[i - 1]), word))
            if j:
                ways.append(charge(row[j - 1], gap(expected[j - 1][0]), word))
            row.append(min(ways, key=lambda cell: cell[0]) if ways else (0.0, zero))
        rows.append(row)
    total, shares = rows[-1][-1]
    return Alignment(total, shares)


# --- the rule ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of a phrase of so many phones. A short phrase is like many other words; a long one is
    hardly ever heard by accident, so that more of it may be misheard."""

    up_to_phones: int
    alike: float
    """From this similarity on the two have heard the same: the phrase is believed."""
    related: float
    """From this one on they may have, and the acoustic scores decide."""
    worse: float
    """By how much the phrase may fit worse than the open words, in nats for a frame of speech."""
    word: float
    """How much of one word of the phrase may be missing, unless all words have a natural length."""


LIMITS: tuple[Limits, ...] = (
    Limits(3, alike=0.95, related=2.0, worse=0.0, word=0.0),
    Limits(5, alike=0.93, related=0.60, worse=0.50, word=0.45),
    Limits(7, alike=0.85, related=0.70, worse=0.50, word=0.70),
    Limits(10, alike=0.85, related=0.50, worse=0.60, word=0.95),
    Limits(14, alike=0.80, related=0.66, worse=0.25, word=0.95),
    Limits(1000, alike=0.75, related=0.42, worse=1.00, word=1.30),
)
"""Measured by ``benchmarks/recognition.py``; the table is in ``docs/recognition.md``."""

_WORD_ALIKE = 0.5
_OVERLAP = 0.8
"""The share of all frames with speech that both searches must give to words: a phrase does not explain an
utterance of which it leaves a part out."""
_NATURAL_FRAMES = 5.0
"""A word shorter than this for each of its phones was squeezed in by the grammar. Counted only for phrases from
eight phones on; shorter ones have no word to spare."""
_NATURAL_FROM_PHONES = 8


_LENIENCE = 0.25


class Judgement(Enum):
    BELIEVED = "believed"
    REJECTED = "rejected"
    SCORE_WANTED = "score wanted"
    """It depends on ``Evidence.open_score``."""


def limits(phones: int) -> Limits:
    return next(limit for limit in LIMITS if phones <= limit.up_to_phones)


def similarity(evidence: Evidence) -> float:
    """1 for the same phones, 0 and less for nothing in common."""
    return 1 - _alignment(evidence).cost / max(evidence.phones, 1)


def judge(evidence: Evidence) -> Judgement:
    """Believe the phrase or not."""
    phones = evidence.phones
    limit = limits(phones)
    heard = sum(map(len, evidence.open_words))
    if not phones or not heard or heard > 2 * phones + 2:
        return Judgement.REJECTED
    laid = _alignment(evidence)
    alike = 1 - laid.cost / phones
    worst = max(
        cost / sum(map(gap, word)) for cost, word in zip(laid.word_costs, evidence.phrase_words, strict=True)
    )
    if alike >= limit.alike and worst <= _WORD_ALIKE:
        return Judgement.BELIEVED
    apart = evidence.open_frames + evidence.phrase_frames - evidence.common_frames
    pace = min(f / len(w) for f, w in zip(evidence.word_frames, evidence.phrase_words, strict=True))
    natural = phones >= _NATURAL_FROM_PHONES and pace >= _NATURAL_FRAMES
    if (
        alike < limit.related
        or evidence.common_frames < _OVERLAP * apart
        or not (worst <= limit.word or natural)
    ):
        return Judgement.REJECTED
    if evidence.open_score is None:
        return Judgement.SCORE_WANTED
    speech = max(evidence.open_frames, evidence.phrase_frames, 1)
    fits = (evidence.phrase_score - evidence.open_score) / speech >= -limit.worse
    return Judgement.BELIEVED if fits else Judgement.REJECTED


def possible(heard: Phones, phrase: Phones) -> bool:
    """Whether ``judge`` could believe this phrase at all: a look that is a hundred times cheaper than a
    decoding. It is lenient, since a word may be said in other ways than its first pronunciation."""
    if not heard or len(heard) > 2 * len(phrase) + 2 or 2 * len(heard) + 2 < len(phrase):
        return False
    limit = limits(len(phrase))
    return 1 - distance(heard, phrase) / len(phrase) >= min(limit.related, limit.alike) - _LENIENCE


def phrase_confidence(evidence: Evidence) -> float:
    """Between 0.5 (a bare agreement) and 0.95 (the same phones): see the table of calibration."""
    return round(min(0.95, 0.5 + 0.45 * max(0.0, similarity(evidence))), 3)


def open_confidence(probabilities: Sequence[float]) -> float:
    """The mean posterior of the words; 0 where there is none. On recorded speech it is about the share of
    words that are right."""
    return round(sum(probabilities) / len(probabilities), 3) if probabilities else 0.0


def _alignment(evidence: Evidence) -> Alignment:
    return align([phone for word in evidence.open_words for phone in word], evidence.phrase_words)
