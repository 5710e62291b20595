"""From flite's tokens to ours.

flite splits at white space as we do, but knows ASCII only, sets some punctuation apart, and gives what it
does not speak no time. So it reads each of our tokens folded to ASCII, its tokens are found again in that
text in their order, and a token of ours that was not spoken lies in the gap between its neighbours.
"""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Iterable

from pipeline.synthesis.spans import Span, share, weight
from pipeline.text import tokens

_ASCII = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2212", "-"),
        **dict.fromkeys("\u2013\u2014\u2026", ","),
        "\u20ac": " euro ",
        "\u00a3": " pound ",
        "\u00b0": " degrees ",
        "\u00df": "ss",
        "\u00e6": "ae",
        "\u00c6": "AE",
        "\u0153": "oe",
        "\u00f8": "o",
        "\u00d8": "O",
    }
)


def fold(text: str) -> str:
    """The text in printable ASCII: accents are dropped, what has no likeness is left out."""
    plain = unicodedata.normalize("NFKD", text.translate(_ASCII))
    return "".join(c if " " <= c <= "~" else "" for c in plain)


class Alignment:
    """The text as flite shall read it, and the way back."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._starts: list[int] = []
        folded: list[str] = []
        length = 0
        for token in self._tokens:
            part = " ".join(fold(token.text).split())
            self._starts.append(length)
            folded.append(part)
            length += len(part) + 1
        self.text = " ".join(folded)

    def spans(self, spoken: Iterable[tuple[str, int, int]]) -> list[Span]:
        """One span for each of our tokens, from the names of flite's tokens with their first and last sample
        (in order, those without a sound left out)."""
        found: dict[int, tuple[int, int]] = {}
        position = 0
        for name, start, end in spoken:
            place = self.text.find(name, position)
            if place < 0:
                continue
            position = place + len(name)
            index = bisect.bisect_right(self._starts, place) - 1
            found[index] = (found.get(index, (start, end))[0], end)
        spans: list[Span] = []
        at = 0
        silent: list[int] = []
        for index in range(len(self._tokens)):
            if index not in found:
                silent.append(index)
                continue
            start, end = found[index]
            start = max(start, at)
            spans += self._in_gap(silent, at if spans else start, start)
            silent = []
            spans.append(Span(index, start, max(end, start)))
            at = spans[-1].end
        return spans + self._in_gap(silent, at, at)

    def _in_gap(self, silent: list[int], start: int, end: int) -> list[Span]:
        if not silent:
            return []
        return share(start, end, silent[0], [weight(self._tokens[i]) for i in silent])
