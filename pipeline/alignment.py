"""When each word of a sentence is spoken, for a voice that does not say so itself.

The text is turned into a chain of states: the rough kinds of sound that its letters stand for, each as long as that
sound usually takes, and after each word a pause that may be left out. The audio is turned into two figures for each
20 ms: how loud it is next to its loudest, and how much of it lies high. A forward pass then follows the sentence
through the chain as the audio comes (a hidden Markov model: Rabiner 1989; several states for each sound give it a
length of its own), and carries along with the probability of each state when the words before it began, in mean and
variance. So nothing is computed twice, no path is traced back, and what comes later still corrects what came before.

Pure: no clock, no I/O. Positions are samples of one sentence, from its first one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from media.frames import Pcm

Floats = npt.NDArray[np.float64]

# --- what is written, as it is said -----------------------------------------------------------------------

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_SYMBOLS = {
    "%": "percent",
    "&": "and",
    "+": "plus",
    "@": "at",
    "=": "equals",
    "#": "number",
    "/": "slash",
    "\u20ac": "euros",
    "\u00a3": "pounds",
    "\u00b0": "degrees",
}
_SHORT = {"dr": "doctor", "mr": "mister", "mrs": "misses", "st": "street", "vs": "versus", "etc": "etcetera"}
_LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "ay bee see dee ee eff jee aych eye jay kay ell em en oh pee cue ar ess tee you vee doubleyou ex why "
        "zee".split(),
        strict=True,
    )
)
_PIECE = re.compile(r"\$?\d[\d,.:]*\d|\$?\d|[^\W\d_]+(?:['\u2019][^\W\d_]+)*|[%&+@=#/\u20ac\u00a3\u00b0]")
_MAX_PIECES = 200
"""Of one token: what is longer than any word counts as that long."""


def _cardinal(number: int) -> list[str]:
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10]] + ([_ONES[number % 10]] if number % 10 else [])
    size, name = next((size, name) for size, name in _SCALES if number >= size)
    rest = number % size
    return [*_cardinal(number // size), name, *(_cardinal(rest) if rest else [])]


def _number(text: str) -> list[str]:
    """How a voice reads digits with commas, points and colons in them. English words stand for those of other
    languages: only the length counts."""
    price = text.startswith("$")
    text = text.lstrip("$")
    if re.fullmatch(r"\d{1,2}:\d\d", text):
        hour, minute = map(int, text.split(":"))
        return _cardinal(hour) + (
            [] if not minute else _cardinal(minute) if minute > 9 else ["oh", _ONES[minute]]
        )
    plain = text.replace(",", "")
    whole, point, decimals = plain.partition(".")
    if not whole.isdigit() or len(whole) > 9 or (len(whole) > 1 and whole[0] == "0") or not plain.isascii():
        return [_ONES[unicodedata.digit(c, 0)] for c in plain if c.isdigit()]
    words = _cardinal(int(whole))
    if price:
        cents = int(decimals) if decimals.isdigit() else 0
        return [*words, "dollars", *(["and", *_cardinal(min(cents, 99)), "cents"] if cents else [])]
    if point:
        return [*words, "point", *(_ONES[int(c)] for c in decimals if c.isdigit())]
    if text == plain and len(plain) == 4 and "11" <= plain[:2] <= "20" and plain[1:3] != "00":  # a year
        rest = int(plain[2:])
        return _cardinal(int(plain[:2])) + (["hundred"] if not rest else _cardinal(rest))
    return words


def spoken(token: str) -> list[str]:
    """The words that a voice is likely to say for a token: numbers, prices and times read out, initials spelt."""
    words: list[str] = []
    for match in _PIECE.finditer(token):
        piece, lower = match.group(), match.group().lower()
        after_digit = match.start() > 0 and token[match.start() - 1].isdigit()
        if piece[-1].isdigit():
            words += _number(piece)
        elif piece in _SYMBOLS:
            words.append(_SYMBOLS[piece])
        elif after_digit and lower in ("st", "nd", "rd", "th"):
            words[-1] += "th"
        elif lower in _SHORT and token[match.end() : match.end() + 1] == ".":
            words.append(_SHORT[lower])
        elif _is_initials(piece) or (lower in ("am", "pm") and (after_digit or lower == "pm")):
            words += [_LETTERS.get(c, c) for c in lower]
        else:
            words.append(lower)
        if len(words) > _MAX_PIECES:
            break
    return words[:_MAX_PIECES]


def _is_initials(piece: str) -> bool:
    vowels = sum(c in "AEIOUY" for c in piece)
    return 1 < len(piece) <= 5 and piece.isupper() and (len(piece) <= 3 or not vowels)


# --- words, as sounds -------------------------------------------------------------------------------------

_VOWEL, _SONORANT, _HISS, _STOP, _PAUSE, _BUZZ, _VOICED_STOP = range(7)

_KINDS = (
    (_VOWEL, "aeiouy\u00e6\u00f8\u0153\u0430\u0435\u0438\u043e\u0443\u044b\u044d\u044e\u044f\u03b1\u03b5\u03b7\u03b9\u03bf\u03c5\u03c9"),
    (_SONORANT, "lmnrw\u043b\u043c\u043d\u0440\u03bb\u03bc\u03bd\u03c1"),
    (_HISS, "sfx\u00df\u0441\u0444\u0448\u0449\u0445\u0446\u0447\u03c3\u03c2\u03c6\u03c7\u03be\u03c8\u03b8"),
    (_STOP, "ptkqc\u043f\u0442\u043a\u03c0\u03c4\u03ba"),
    (_BUZZ, "vzjh\u0432\u0437\u0436\u03b6\u03b2\u03b3\u03b4"),
    (_VOICED_STOP, "bdg\u0431\u0434\u0433"),
)  # fmt: skip
_KIND_OF = {letter: kind for kind, letters in _KINDS for letter in letters}
_PAIRS = {"th": _BUZZ, "sh": _HISS, "ch": _HISS, "ph": _HISS, "ck": _STOP, "ng": _SONORANT}
# Seconds, fitted to the words of five synthetic voices by least squares; a word is within 70 ms of it.
_LENGTH = {_VOWEL: 0.072, _SONORANT: 0.042, _HISS: 0.065, _STOP: 0.057, _BUZZ: 0.062, _VOICED_STOP: 0.057}
_MORE_VOWELS = 0.033
_ANY_WORD, _SMALL_WORD, _AT_A_PAUSE = 0.080, 0.015, 0.110
_SMALL_WORDS = frozenset(
    "a an the of to in on at for and or is are was be by it he she we you i my our your us me him her his that "
    "as with if but do can from this will have has had not so up".split()
)

Sound = tuple[int, float]
"""Its kind, and how long it usually takes in seconds."""


@lru_cache(maxsize=8192)
def _sounds(word: str, language: str) -> tuple[Sound, ...]:
    """The sounds of one spoken word, in lower case."""
    letters = [c for c in unicodedata.normalize("NFD", word) if c.isalnum()]
    text = _without_silent_e("".join(letters)) if language in ("en", "fr") else "".join(letters)
    found = list(_spell(text)) or [(_VOWEL, 0.080)]
    small = word in _SMALL_WORDS if language == "en" else len(text) <= 3
    total = sum(length for _, length in found)
    scale = (total + (_SMALL_WORD if small else _ANY_WORD)) / total
    return tuple((kind, length * scale) for kind, length in found)


def _without_silent_e(word: str) -> str:
    groups = len(re.findall(r"[aeiouy]+", word))
    if groups > 1:
        if re.search(r"[^aeiouyl]e$", word):
            return word[:-1]
        if re.search(r"[^aeiouytd]ed$", word) or re.search(r"[^aeiouysxzcgh]es$", word):
            return word[:-2] + word[-1]
    return word


def _spell(text: str) -> Iterator[Sound]:
    at = 0
    while at < len(text):
        letter, pair = text[at], text[at : at + 2]
        kind = _KIND_OF.get(letter)
        step = 1
        if kind == _VOWEL:
            while at + step < len(text) and _KIND_OF.get(text[at + step]) == _VOWEL:
                step += 1
            yield _VOWEL, _LENGTH[_VOWEL] + _MORE_VOWELS * min(2, step - 1)
        elif pair == "gh" and at:
            step = 2
            yield _SONORANT, 0.020
        elif pair in _PAIRS:
            step = 2
            yield _PAIRS[pair], _LENGTH[_PAIRS[pair]]
        elif kind is not None:
            if letter == "c" and text[at + 1 : at + 2] in tuple("eiy"):
                kind = _HISS
            if letter != text[at - 1 : at]:  # a double one is said once
                yield kind, _LENGTH[kind]
        else:  # a syllable of Chinese, Japanese or Korean, or a letter of a script that writes few vowels
            yield _STOP, 0.055
            yield _VOWEL, 0.120 if ord(letter) > 0x2E80 else 0.050
        at += step


def _pause_odds(token: str) -> float:
    """How likely the voice pauses after a token."""
    mark = token.rstrip("\"'\u201d\u2019)]*_")[-1:]
    if mark in ",\u3001\uff0c":
        return 0.8
    if mark in ".;:?!\u3002\uff01\uff1f":
        return 0.85
    return 0.5 if mark in "-\u2013\u2014\u2026" else 0.03


def _token_sounds(token: str, last: bool, language: str) -> list[Sound]:
    found = [sound for word in spoken(token) or ["a"] for sound in _sounds(word, language)]
    if last or _pause_odds(token) > 0.1:  # the last syllable before a pause is drawn out
        start = max((i for i, (kind, _) in enumerate(found) if kind == _VOWEL), default=len(found) - 1)
        total = sum(length for _, length in found[start:])
        scale = (total + _AT_A_PAUSE) / total
        found[start:] = [(kind, length * scale) for kind, length in found[start:]]
    return found


# --- the chain of states ----------------------------------------------------------------------------------

_HOP_S = 0.020
_STATE_S = 0.033
_SKIP = 0.2
"""Odds that a state is passed over: with frames of 20 ms the only way to be quick."""
_PAUSE_S = 0.2


class _Chain:
    """The states of one sentence, in order: a silence at the start, then each token's sounds and a pause."""

    def __init__(self, tokens: Sequence[str], pace: float, language: str) -> None:
        kinds, frames, skips = [_PAUSE], [0.08 / _HOP_S], [0.0]
        expected = [frames[0]]
        firsts = []
        self.weight = 0.0
        for index, token in enumerate(tokens):
            firsts.append(len(kinds))
            for kind, length_s in _token_sounds(token, index == len(tokens) - 1, language):
                self.weight += length_s
                count = max(1, round(length_s / _STATE_S))
                each = max(1.02, length_s * pace / _HOP_S / count)
                kinds += [kind] * count
                frames += [each] * count
                expected += [each] * count
                skips += [_SKIP] * count
            odds = _pause_odds(token)
            if len(kinds) - firsts[-1] > 1:
                skips[-2] = 0.0  # the pause is not entered but by the last state
            skips[-1] = 1 - odds
            kinds.append(_PAUSE)
            frames.append(_PAUSE_S / _HOP_S)
            expected.append(odds * frames[-1])
            skips.append(0.0)
        self.kinds = np.array(kinds)
        mean, skip = np.array(frames), np.array(skips)
        self.ways: Floats = np.stack((1 - 1 / mean, (1 - skip) / mean, skip / mean))
        """Odds by one frame: to stay in a state, to go on to the next, to pass that one over."""
        self.ways[0, -1] = 1.0
        self.firsts = np.array(firsts, np.intp)
        """State with which each token begins."""
        self.ahead: Floats = np.cumsum(expected) - expected
        """Frames that are expected before each state."""
        self.end = float(self.ahead[-1] + expected[-1])

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(slots=True)
class Pace:
    """What is learnt of a voice from the sentences before: one for each call and voice (and speed).

    A unit is what an ordinary voice says in a second.
    """

    seconds_per_unit: float = 1.0
    peak_db: float = 72.0
    """Level of its loudest 20 ms, over one step of 16 bits."""
    tilt_db: float = -8.3
    """How much less there is of its loud parts after a first difference at 8 kHz."""
    known: float = 3.0
    """Units that this rests on, the older ones forgotten; at first the weight of the default."""

    def learn(self, units: float, seconds: float) -> None:
        """A sentence of so many units took so long, pauses not counted."""
        if units <= 0 or not 0.4 < seconds / units < 2.5:
            return  # Not what the text says: cut short, or a text that is read in another way.
        kept = self.known * math.exp(-units / 12)
        self.seconds_per_unit = (self.seconds_per_unit * kept + seconds) / (kept + units)
        self.known = kept + units


# --- the audio, as figures --------------------------------------------------------------------------------

# Mean and deviation of level (dB under the loudest) and tilt (dB over the voice's own) in each kind of sound.
_MEANS = np.array(((-7, 0.4), (-10, -2.6), (-25, 8), (-29, 4.5), (-40, 4), (-19, 0.5), (-18, -1)), np.float64)
_DEVIATIONS = np.array(((6, 3.6), (7, 3.7), (9.5, 6.5), (11.3, 7), (9, 6), (11, 6), (10, 6)), np.float64)
_SURPRISE = 0.003 / 50
"""Likelihood of anything in any state, next to a density of 1 / (dB * dB)."""
_TRUST = 0.5
"""Exponent of a likelihood: frames that follow one another do not say two things."""
_LONG_QUIET = 6
"""Frames of quiet that no sound has in it; after that each one more speaks for a pause by ``_NO_SOUND``."""
_NO_SOUND = 0.3
_RANGE_DB = 50.0


def _polynomial() -> Floats:
    """The logarithms of the densities, as weights of 1, level, level squared, tilt, tilt squared."""
    m, d = _MEANS, _DEVIATIONS
    constant = -0.5 * ((m / d) ** 2).sum(axis=1) - np.log(d).sum(axis=1)
    return np.stack(
        (constant, m[:, 0] / d[:, 0] ** 2, -0.5 / d[:, 0] ** 2, m[:, 1] / d[:, 1] ** 2, -0.5 / d[:, 1] ** 2)
    )


_WEIGHTS = _polynomial()


class _Ear:
    """Frames of a sentence's audio: how likely each kind of sound makes each of them."""

    def __init__(self, sample_rate_hz: int, pace: Pace) -> None:
        self.hop = round(sample_rate_hz * _HOP_S)
        self._lag = max(1, round(sample_rate_hz / 8000))
        self._rest: Pcm = np.zeros(self._lag, np.int16)
        """Samples that do not fill a frame yet, and before them those that the difference needs."""
        self._peak = pace.peak_db
        self._tilt = pace.tilt_db
        self._loud = 25
        self._sure = False
        """A frame came near the peak: it is this voice's own."""
        self._floor = 0.0
        self._run = 0
        self.frames = 0
        self.quiet: list[tuple[int, int]] = []
        """Pauses: first frame, and the one after the last."""

    def hear(self, pcm: Pcm) -> Floats:
        """Likelihoods, frames by kinds of sound."""
        lag, hop = self._lag, self.hop
        audio = np.concatenate((self._rest, pcm))
        count = (len(audio) - lag) // hop
        if count <= 0:
            self._rest = audio
            return np.empty((0, len(_MEANS)))
        end = lag + count * hop
        self._rest = audio[end - lag :]
        x = audio[:end].astype(np.float64)
        low = x[lag:].reshape(count, hop)
        high = (x[lag:] - x[:-lag]).reshape(count, hop)
        energy = np.stack((np.einsum("ij,ij->i", low, low), np.einsum("ij,ij->i", high, high)))
        levels = (10 * np.log10(energy / hop + 4.0)).T.tolist()
        figures, runs = np.empty((count, 5)), np.empty(count)
        for i, (level, high_level) in enumerate(levels):
            runs[i] = self._frame(level, high_level - level, figures[i])
        likelihood: Floats = (np.exp(figures @ _WEIGHTS) + _SURPRISE) ** _TRUST
        long = runs > _LONG_QUIET
        if long.any():
            pause = likelihood[long, _PAUSE]
            likelihood[long] *= _NO_SOUND
            likelihood[long, _PAUSE] = pause
        return likelihood

    def _frame(self, level: float, tilt: float, out: Floats) -> int:
        """Fill in the figures of a frame; return how long it has been quiet."""
        if level > self._peak:
            self._peak, self._sure = level, True
        else:
            # It falls quickly only until the voice has shown how loud it is.
            self._peak -= 0.01 if self._sure or level < self._peak - 25 else 0.06
            self._sure = self._sure or level > self._peak - 6
        under = min(0.0, max(level - self._peak, -_RANGE_DB))
        tilt = min(8.0, max(tilt, -25.0))
        if under > -15:
            self._loud = min(200, self._loud + 1)
            self._tilt += (tilt - self._tilt) / self._loud
        tilt -= self._tilt
        out[:] = (1.0, under, under * under, tilt, tilt * tilt)
        self._count_quiet(under)
        self.frames += 1
        return self._run

    def _count_quiet(self, under: float) -> None:
        self._floor = under if not self.frames or under < self._floor else self._floor + 0.03
        self._run = self._run + 1 if under < max(-38.0, min(self._floor + 9, -24.0)) else 0
        if self._run == _LONG_QUIET:
            self.quiet.append((self.frames + 1 - self._run, self.frames + 1))
        elif self._run > _LONG_QUIET:
            self.quiet[-1] = (self.quiet[-1][0], self.frames + 1)

    @property
    def spoken_frames(self) -> int:
        return self.frames - sum(end - start for start, end in self.quiet)

    def teach(self, pace: Pace) -> None:
        if self._sure:
            pace.peak_db, pace.tilt_db = self._peak, self._tilt


# --- the pass ---------------------------------------------------------------------------------------------

_BAND = 80
"""States that are alive at a time, about two and a half seconds."""
_BEHIND = 36
"""States of the band that lie behind the likeliest place after it has moved."""
_BLOCK = 8
"""Frames that are computed before the band is looked at."""
_PLACES = np.arange(_BAND, dtype=np.float64)
_LEAN = 0.12
"""How much an estimate leans to the later of what is possible, in 1 / frames: it is the logarithm of the mean of an
exponential. A word that is told too early was not heard."""
_LATE = 1.5
"""Frames that an estimate is later than that."""


class Aligner:
    """Finds the words of one sentence in its audio while it comes.

    ``tokens`` as ``pipeline.text.tokens`` cuts them.
    """

    def __init__(self, tokens: Sequence[str], sample_rate_hz: int, pace: Pace, language: str = "en") -> None:
        self._pace = pace
        self._chain = _Chain(tokens, pace.seconds_per_unit, language.partition("-")[0].lower())
        self._ear = _Ear(sample_rate_hz, pace)
        self._samples = 0
        self._over = False
        self._words: list[tuple[int, int]] | None = None
        self._settled: list[float] = []
        """Starts, in frames, of the words that the band has left behind."""
        # By state of the band: the probability of being there; then, for each word that begins in the band, that
        # times the mean of exp(-_LEAN * frames since the word began), where it has begun.
        self._enter(np.ones((1, 1)), 0)

    def audio(self, pcm: Pcm) -> None:
        """More of the sentence, any length."""
        self._samples += len(pcm)
        self._words = None
        likelihoods = self._ear.hear(pcm)
        for at in range(0, len(likelihoods), _BLOCK):
            block = likelihoods[at : at + _BLOCK]
            self._pass(block)
            self._follow(self._ear.frames - len(likelihoods) + at + len(block))

    def done(self) -> None:
        """The sentence is over. ``Pace`` learns from it."""
        if self._over:
            return
        self._over = True
        self._words = None
        self._pace.learn(self._chain.weight, self._ear.spoken_frames * _HOP_S)
        self._ear.teach(self._pace)

    def words(self) -> list[tuple[int, int]]:
        """Start and end of every token in samples, the best estimate now. They do not overlap; a start that the
        audio does not reach yet is where it is expected. Once ``done`` all lie in the audio."""
        if self._words is None:
            self._words = self._place(*self._starts()) if self._chain.firsts.size else []
        return self._words

    # --- the band -----------------------------------------------------------------------------------------

    def _enter(self, mass: Floats, low: int) -> None:
        """Set the band to begin at state ``low``; ``mass`` has its first columns, and its first words."""
        chain = self._chain
        high = min(len(chain), low + _BAND)
        width = high - low
        first, last = np.searchsorted(chain.firsts, (low, high)).tolist()
        self._low, self._first = low, first
        self._begin = chain.firsts[first:last] - low
        # What would leave the band is lost, so that all rows can be shifted as one.
        self._ways = chain.ways[:, low:high].copy()
        self._ways[1, -1:] = self._ways[2, -2:] = 0.0
        self._kinds = chain.kinds[np.minimum(np.arange(low, high) + np.arange(3)[:, None], high - 1)]
        self._ahead = chain.ahead[low:high]
        self._weights = np.stack((np.ones(width), self._ahead, np.exp(_LEAN * (self._ahead[0] - self._ahead))))
        self._due = np.exp(_LEAN * (chain.ahead[chain.firsts[first:last]] - self._ahead[0]))
        self._ageing = np.ones((1 + last - first, width))
        self._ageing[1:][np.arange(width) >= self._begin[:, None]] = math.exp(-_LEAN)
        fresh = np.zeros((1 + last - first, width))
        fresh[:, : mass.shape[1]] = mass[0, :width]
        fresh[: len(mass), : mass.shape[1]] = mass[:, :width]
        self._mass = fresh / fresh[0].sum()

    def _pass(self, likelihoods: Floats) -> None:
        mass, ageing = self._mass, self._ageing
        after, part = np.empty_like(mass), np.empty_like(mass)
        flat_part = part.ravel()
        for stay, move, skip in likelihoods[:, self._kinds] * self._ways:
            flat = after.ravel()
            np.multiply(mass, stay, out=after)
            np.multiply(mass, move, out=part)
            flat[1:] += flat_part[:-1]
            np.multiply(mass, skip, out=part)
            flat[2:] += flat_part[:-2]
            after *= ageing
            mass, after = after, mass
        mass /= mass[0].sum()
        # Numbers too small to matter are slow to compute with.
        mass[:, mass[0] < 1e-40] = 0.0
        self._mass = mass

    def _follow(self, frames: int) -> None:
        """Move the band along where the sentence has come far into it."""
        width = self._mass.shape[1]
        if self._low + width >= len(self._chain):
            return
        place = int(self._mass[0] @ _PLACES[:width])
        if place < _BEHIND + _BAND // 6:
            return
        low = self._low + place - _BEHIND
        dropped = int(np.searchsorted(self._chain.firsts, low)) - self._first
        self._settled += self._near(frames, self._sums())[:dropped].tolist()
        rows = [0, *range(1 + dropped, len(self._mass))]
        self._enter(self._mass[rows, low - self._low :], low)

    # --- what is known of the words -----------------------------------------------------------------------

    def _starts(self) -> tuple[Floats, float]:
        """When each word begins and the last one ends, in frames."""
        chain, frames = self._chain, self._ear.frames
        sums = self._sums()
        ahead = frames - float(sums[1, -1])
        end = chain.end + ahead
        near = self._near(frames, sums)
        if self._over and (ending := self._ending()) is not None:
            near, end = ending, frames
        far = chain.ahead[chain.firsts[self._first + len(near) :]] + (ahead + _LATE)
        starts = np.concatenate((self._settled, near, far))
        if self._over and end > frames:
            # The audio ends before the text has: the words that are left share what there is.
            settled = len(self._settled)
            begin = self._settled[-1] if settled else 0.0
            starts[settled:] = begin + (starts[settled:] - begin) * (max(0.0, frames - begin) / (end - begin))
            end = frames
        return starts, end

    def _sums(self) -> Floats:
        """Of ``_weights`` times probability: over the states before each one of the band, and over all."""
        sums = np.zeros((3, self._mass.shape[1] + 1))
        np.cumsum(self._mass[0] * self._weights, axis=1, out=sums[:, 1:])
        return sums

    def _near(self, frames: int, sums: Floats) -> Floats:
        """Starts of the band's words: by the states in which they have begun, and by those before, from which
        they are expected."""
        before, _, expected = sums[:, self._begin]
        lean = self._mass[1:].sum(axis=1) - before + expected * self._due
        return _LATE + frames + np.log(np.maximum(lean, 1e-30)) / _LEAN

    def _ending(self) -> Floats | None:
        """The same where the sentence has ended in its last state. None: it is too far from there."""
        if self._low + self._mass.shape[1] < len(self._chain):
            return None
        ends = self._mass[:, -2:].sum(axis=1)
        if ends[0] < 1e-30:
            return None
        return _LATE + self._ear.frames + np.log(np.maximum(ends[1:] / ends[0], 1e-30)) / _LEAN

    def _place(self, starts: Floats, end: float) -> list[tuple[int, int]]:
        """In samples, in order, and out of the pauses."""
        hop, quiet = self._ear.hop, self._ear.quiet
        nexts = np.empty_like(starts)
        if quiet:
            # No word begins in a pause, and each ends where the pause behind it begins.
            begins, ends = np.array(quiet).T
            run = np.searchsorted(begins, starts, side="right") - 1
            starts = np.where((run >= 0) & (starts < ends[run]), ends[run], starts)
        nexts[:-1], nexts[-1] = starts[1:], max(end, starts[-1])
        if quiet:
            run = np.searchsorted(begins, nexts) - 1
            nexts = np.where((run >= 0) & (begins[run] > starts), begins[run], nexts)
        most = self._samples if self._over else np.inf
        starts = np.maximum.accumulate(np.minimum(starts * hop, most))
        nexts = np.maximum(starts, np.minimum(nexts * hop, most))
        np.minimum(nexts[:-1], starts[1:], out=nexts[:-1])
        return list(zip(np.rint(starts).astype(int).tolist(), np.rint(nexts).astype(int).tolist(), strict=True))
