"""Words in time: a stretch of audio shared among tokens, and a text cut into pieces of bounded length."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.text import Token, sentences, tokens

PIECE_CHARS = 300
"""A piece ends at the first end of a sentence beyond a third of this, and at a word before it in any case.
It is what a worker does in one go, so it bounds how long a short request waits behind a long one."""
MAX_TOKEN_CHARS = 1000
"""A longer run without white space is refused: no engine here speaks it in bounded time."""


@dataclass(frozen=True, slots=True)
class Span:
    """The samples in which one token is spoken."""

    index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that starts and ends at tokens: its tokens are those of the text, in order."""

    text: str
    first_token: int
    tokens: int


def weight(token: Token) -> int:
    """How long a token is, for want of anything better: its letters and digits."""
    return max(1, sum(c.isalnum() for c in token.text))


def share(
    start: int, end: int, first: int, weights: Sequence[int], boundaries: Sequence[int] = ()
) -> list[Span]:
    """Divide the samples ``start`` to ``end`` among the tokens from ``first`` on, in proportion to their
    weights. Each inner cut moves to the nearest of ``boundaries`` (starts of phonemes), since a word never
    begins inside a phoneme."""
    total = sum(weights)
    cuts = [start]
    for upto in itertools.accumulate(weights[:-1]):
        cut = start + (end - start) * upto // total
        free = [b for b in boundaries if cuts[-1] < b < end]
        cuts.append(min(free, key=lambda b: abs(b - cut)) if free else max(cut, cuts[-1]))
    cuts.append(end)
    return [Span(first + i, a, b) for i, (a, b) in enumerate(itertools.pairwise(cuts))]


def pieces(text: str) -> Iterator[Piece]:
    """Cut a text at tokens. A text without any token has no pieces."""
    found = tokens(text)
    ends = list(itertools.accumulate(map(len, sentences(text))))
    sentence = [bisect.bisect_right(ends, token.start) for token in found]
    begin = 0
    for i, token in enumerate(found):
        start = found[begin].start
        last = i + 1 == len(found)
        ends_sentence = not last and sentence[i + 1] != sentence[i]
        full = not last and found[i + 1].end - start > PIECE_CHARS
        if last or full or (ends_sentence and token.end - start > PIECE_CHARS // 3):
            yield Piece(text[start : token.end], begin, i + 1 - begin)
            begin = i + 1
