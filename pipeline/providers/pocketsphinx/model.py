"""The acoustic model, the dictionary and the language model: loaded once, then shared by forked workers.

Nothing here is loaded by an import of this module; ``preload`` does that in the fork server. A decoder holds
the interpreter's lock while it computes and keeps one utterance at a time, so it never runs in the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

Mean = tuple[float, ...]

WIDEBAND_MEAN: Mean = (51.8, 6.5, -1.1, 7.7, -4.2, 0.4, -5.9, -4.6, -1.0, -3.5, 0.7, -1.2, 2.4)
TELEPHONE_MEANS: tuple[Mean, ...] = (
    (52.1, 3.5, -3.1, 5.4, 4.1, -13.6, 10.9, -11.6, 1.8, 0.4, -7.7, 5.8, -3.7),  # a line open up to 4 kHz
    (52.9, 4.6, -11.7, -7.8, -0.4, -42.6, 4.2, -32.4, -23.0, -3.4, -34.4, -2.4, -14.8),  # 300 to 3400 Hz
)
"""The cepstral mean of a caller not yet heard: the median over recorded speech behind our ``frontend``, at
16 kHz and over two kinds of telephone line. A wrong one costs the first utterance of a call dearly (words wrong
on a line open to 4 kHz: 91 % with the mean of the narrow one, 57 % with its own)."""

_PRIOR_FRAMES = 500
"""The weight that the decoder gives to a mean that it is set to (CMN_WIN in its sources), in frames."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a worker computes with. The decoders come without types: the library has none."""

    decoder: Any
    """The open search over 134 thousand words."""
    new_grammar_decoder: Callable[[], Any]
    """One that knows the same sounds but no word yet. It scores all sounds in each frame
    (``compallsen``), so that its scores can be compared with those of another search."""

    def lookup(self, word: str) -> str | None:
        """A word's phones, or None where the dictionary does not have it."""
        phones: str | None = self.decoder.lookup_word(word)
        return phones


@cache
def load() -> Model:
    """Load everything, once a process. Raises ``ImportError`` or ``RuntimeError``."""
    from pocketsphinx import Decoder

    # fwdflat: a second pass that costs 100 ms at the end and makes it worse. The mean is carried (cmn=live):
    # the mean of a whole utterance is known only when it is too late for partials.
    decoder = Decoder(loglevel="FATAL", cmn="live", fwdflat=False)

    def new_grammar_decoder() -> Any:
        # Every other frame and the two nearest densities: half the time, and as good at telling phrases apart.
        return Decoder(loglevel="FATAL", cmn="live", compallsen=True, ds=2, topn=2, lm=None, dict=None)

    new_grammar_decoder()
    return Model(decoder, new_grammar_decoder)


def mean_to_text(mean: Mean) -> str:
    """As the decoder wants to be set."""
    return ",".join(f"{value:.2f}" for value in mean)


def mean_from_text(text: str) -> Mean | None:
    """As the decoder tells it; None where it is not a number (it has heard digital silence)."""
    mean = tuple(float(value) for value in text.split(","))
    return mean if all(math.isfinite(value) for value in mean) else None


def nearest(mean: Mean, known: Sequence[Mean]) -> Mean:
    """The line that an utterance came over, by its mean. How loud it was (the first value) says nothing."""
    return min(known, key=lambda line: sum((a - b) ** 2 for a, b in zip(mean[1:], line[1:], strict=True)))


def utterance_mean(before: Mean, after: Mean, frames: int, prior_frames: int = 100) -> Mean:
    """The mean of one utterance, taken with a prior of one second where the decoder itself takes five."""
    heard = [
        (a * (frames + _PRIOR_FRAMES) - b * _PRIOR_FRAMES) / max(frames, 1)
        for a, b in zip(after, before, strict=True)
    ]
    weight = frames / (frames + prior_frames)
    return tuple(h * weight + b * (1 - weight) for h, b in zip(heard, before, strict=True))
