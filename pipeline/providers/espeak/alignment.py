"""From espeak's events to one span for each token.

espeak reports where in the text a word begins, and when. But it reports several words for what it expands
("234.56", with positions that lie inside the number), one for what it merges ("of the", "have been"), and
several for what it spells ("3:30pm", addresses). So only the first event whose place lies in a later token
than all before begins a token; tokens that were passed over share the time of the one before them.
"""

from __future__ import annotations

import bisect

from pipeline.synthesis.spans import Span, share, weight
from pipeline.text import tokens


class Aligner:
    """One request. Samples are those of the synthesis, from its first one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._starts = [token.start for token in self._tokens]
        self._current = -1
        self._boundaries: list[int] = []
        """Starts of the phonemes of the open word."""
        self._sounding = False
        self._sound_end: int | None = None
        self.horizon = 0
        """Up to this sample every word is known: the audio before it may go out."""

    def word(self, place: int, sample: int) -> list[Span]:
        """A word begins at this character (from 0). Returns the spans that are known by that."""
        index = bisect.bisect_right(self._starts, place) - 1
        if index >= 0 and place >= self._tokens[index].end:
            # Behind a full stop that ends no sentence ("Dr. at") the next word is reported one too early.
            # Behind a digit the same place is a later part of the number.
            index += not self._text[place - 1 : place].isalnum()
        if not self._current < index < len(self._tokens):
            return []
        spans = self._close(index, sample)
        self._current = index
        self.horizon = sample
        return spans

    def phoneme(self, sounding: bool, sample: int) -> None:
        """A phoneme begins (``sounding``) or a pause: that ends the one before."""
        if self._sounding:
            self._sound_end = sample
        self._sounding = sounding
        if sounding:
            self._boundaries.append(sample)

    def finish(self, sample: int) -> list[Span]:
        """The synthesis is over after this many samples. Returns the rest of the spans."""
        spans = self._close(len(self._tokens), sample)
        self._current = len(self._tokens)
        self.horizon = sample
        return spans

    def _close(self, upto: int, sample: int) -> list[Span]:
        """Tokens before ``upto`` end here, where they did not end with a pause before."""
        if self._sounding:
            self._sound_end = sample
        # Before the first word event nothing is spoken: tokens without a sound get no time at the front.
        end = 0 if self._current < 0 else sample if self._sound_end is None else self._sound_end
        first = max(self._current, 0)
        weights = [weight(token) for token in self._tokens[first:upto]]
        spans = (
            share(self.horizon, max(end, self.horizon), first, weights, self._boundaries) if weights else []
        )
        self._boundaries = []
        self._sounding = False
        self._sound_end = None
        return spans
