"""Is it the bot's own voice that comes back on the line? Pure.

We know what was played and about when. An echo is that, later, weaker and through a filter: the loudspeaker,
the room, two codecs. The filter is fitted by least squares at the delay where the two correlate best
(generalised cross-correlation, Knapp and Carter, IEEE Trans. ASSP 24(4), 1976), and what it leaves of the
caller's audio is the answer: of an echo little is left, of a caller nearly all, of both at once the caller. That is
the measure of an echo canceller, the echo return loss enhancement (ITU-T G.168), for a stretch of a word's length.

A short stretch is explained by chance to some degree, the more so the freer the delay is. So what is asked for
falls with the length, and with what was learned: a path that was sure once is looked at first.

All is done below 2 kHz, where the power of speech is, and positions are samples on the caller's clock.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from media.frames import Pcm

LATEST_MS = 600
EARLIEST_MS = 100
"""An echo may come so much later, or earlier, than the audio was noted as played: marks travel, clocks differ."""
KEPT_MS = 3000
"""What was played is kept so long, counted from the latest."""
LONGEST_MS = 1000
"""Of a longer stretch only its end is judged."""
SHORTEST_MS = 100
"""Nothing can be said of less."""

_LOW_HZ = 4000
"""The rate at which is compared."""
_TAPS = 24 * _LOW_HZ // 1000
"""Not more: from 112 unknowns on the linear algebra wakes its threads, for ms instead of 70 us."""
_BEFORE = 4 * _LOW_HZ // 1000
"""Taps before the strongest: the direct sound may be weaker than a reflection."""
_BLOCK = 160 * _LOW_HZ // 1000
_LOUD = 0.15
_RIDGE = 1e-3
_QUIET_RMS = 30.0
"""Below this (-61 dBFS) nothing was played that could come back."""
_DRIFT = 12 * _LOW_HZ // 1000
"""So far from where it was learned the path is looked for first."""

_NEEDED = ((100, 0.95, 0.88), (200, 0.88, 0.75), (300, 0.78, 0.68), (600, 0.52, 0.42), (1000, 0.40, 0.30))
"""Length in ms; the least share of the energy explained for an echo: by any delay, by the learned one."""
_LOUDEST_DB = -3.0
"""What comes back is weaker than this: a hybrid's echo by 6 dB and more (ITU-T G.122). As loud as the bot is a
caller, even where he is a machine with the same voice that says the same words."""
_STRONG_DB, _STRICTER, _MOST_NEEDED = -11.0, 0.2, 0.95
"""An echo above this gain covers a caller who joins in; it is clean as well, so that more can be asked of it."""
_LEARN_MS = 300
_LEARN = 0.1
"""An echo of that length and more, of which so much more than needed is explained, tells the path."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Echo:
    """What a stretch of the caller's audio is made of."""

    likeness: float
    """Share of its energy that what we played explains, 0 to 1, in its least explained loud part."""
    delay_ms: float
    """From when it was noted as played to when it came back; may be below 0."""
    gain_db: float
    """Of the echo against what was played, in the band that is compared."""
    sure: bool
    """It is an echo, and nothing else of weight is in it."""


NO_ECHO = Echo(0.0, 0.0, -99.0, False)


@dataclass(frozen=True, slots=True)
class _Fit:
    explained: float
    delay: int
    gain_db: float
    rest: Floats


class EchoGuard:
    """One call's memory of what it plays, and of the path by which it comes back. Rates 8000 and 16000."""

    def __init__(self, sample_rate_hz: int) -> None:
        if sample_rate_hz % _LOW_HZ:
            raise ValueError(f"an echo guard takes multiples of {_LOW_HZ} Hz, not {sample_rate_hz}")
        self._rate = sample_rate_hz
        self._step = sample_rate_hz // _LOW_HZ
        self._played: Pcm = np.zeros(2 * KEPT_MS * sample_rate_hz // 1000, np.int16)
        self._origin = 0  # position of the first sample of the memory
        self._until = 0  # one past the last that was played
        self._weights: dict[int, Floats] = {}
        self._path: int | None = None  # the learned delay, in samples of the compared rate
        self._path_gain_db = 0.0

    @property
    def delay_ms(self) -> float | None:
        """Of the echo on this line; None: none was sure yet."""
        return None if self._path is None else self._path * 1000.0 / _LOW_HZ

    @property
    def gain_db(self) -> float | None:
        return None if self._path is None else self._path_gain_db

    # --- what we play -------------------------------------------------------------------------------------

    def played(self, at: int, pcm: Pcm) -> None:
        """Note what is heard at the far end from ``at`` on, a sample of the caller's clock; as well as known,
        and before or after it is. What was noted for that time before is replaced, and silence fills holes."""
        if at + len(pcm) <= self._origin:
            return
        room = len(self._played)
        end = at + len(pcm)
        if end - self._origin > room:
            self._forget(end - room // 2)
        skip = max(0, self._origin - at)
        self._played[at + skip - self._origin : end - self._origin] = pcm[skip:]
        self._until = max(self._until, end)

    def cut(self, at: int) -> None:
        """What was noted from here on is not heard: it was cleared."""
        if self._until > at:
            self._played[max(0, at - self._origin) : self._until - self._origin] = 0
            self._until = max(at, self._origin)

    def _forget(self, origin: int) -> None:
        kept = self._played[max(0, origin - self._origin) : max(0, self._until - self._origin)].copy()
        self._played[:] = 0
        begins = max(0, self._origin - origin)
        if len(kept) and begins + len(kept) <= len(self._played):
            self._played[begins : begins + len(kept)] = kept
        self._origin = origin

    def _between(self, start: int, end: int) -> Floats:
        out = np.zeros(end - start)
        first, last = max(start, self._origin), min(end, self._until)
        if last > first:
            out[first - start : last - start] = self._played[first - self._origin : last - self._origin]
        return out

    # --- what comes back ----------------------------------------------------------------------------------

    def judge(self, pcm: Pcm, start: int, noise_db: float = -90.0) -> Echo:
        """What the caller's audio from sample ``start`` on is made of; 200 ms and more tell most. Where the echo
        is sure, its path is learned. A stretch may be judged again when it has become longer.

        ``noise_db`` is the floor of the line in dBFS (``media.noise``): that much need not be explained.
        """
        longest = LONGEST_MS * self._rate // 1000
        start, pcm = start + max(0, len(pcm) - longest), pcm[-longest:]
        late, early = LATEST_MS * self._rate // 1000, EARLIEST_MS * self._rate // 1000
        if len(pcm) < SHORTEST_MS * self._rate // 1000 or start - late >= self._until:
            return NO_ECHO
        reference = self._between(start - late, start + len(pcm) + early)
        if np.sqrt(np.mean(reference * reference)) < _QUIET_RMS or not pcm.any():
            return NO_ECHO
        noise = 32768.0**2 * 10.0 ** (noise_db / 10.0)
        audio = pcm.astype(np.float64)
        comparison = _Comparison(reference, audio, self._step, self._weights, noise)
        length_ms = len(pcm) * 1000.0 / self._rate
        if self._path is not None:
            echo = self._weigh(comparison, comparison.near(self._path), length_ms, learned=True)
            if echo.sure:
                return echo
        return self._weigh(comparison, comparison.anywhere(), length_ms, learned=False)

    def _weigh(self, comparison: _Comparison, fit: _Fit, length_ms: float, *, learned: bool) -> Echo:
        likeness = comparison.least_explained(fit.rest)
        lengths, anywhere, known = zip(*_NEEDED, strict=True)
        unknown_path = float(np.interp(length_ms, lengths, anywhere))
        needed = float(np.interp(length_ms, lengths, known)) if learned else unknown_path
        stricter = min(_STRICTER, 0.05 * max(0.0, fit.gain_db - _STRONG_DB))
        needed = max(needed, min(_MOST_NEEDED, needed + stricter))
        sure = likeness >= needed and fit.gain_db < _LOUDEST_DB
        if sure and fit.explained >= unknown_path + _LEARN and length_ms >= _LEARN_MS:
            self._path, self._path_gain_db = fit.delay, fit.gain_db
        return Echo(likeness, fit.delay * 1000.0 / _LOW_HZ, fit.gain_db, sure)


class _Comparison:
    """A stretch of the caller's audio beside what was played around it, both below 2 kHz."""

    def __init__(
        self, reference: Floats, audio: Floats, step: int, weights: dict[int, Floats], noise: float
    ) -> None:
        size = 1 << (len(reference) - 1).bit_length()
        if size not in weights:
            weights[size] = _weights(size, step)
        weight = weights[size]
        ours, theirs = (np.fft.rfft(x, size)[: len(weight)] * weight for x in (reference, audio))
        # A circular correlation does: the audio is shorter than what it is compared with by all the lags.
        cross = ours * np.conj(theirs)
        magnitude = np.abs(cross)
        low = size // step
        self._n = len(audio) // step
        self._late = LATEST_MS * _LOW_HZ // 1000
        self._ours = np.concatenate(
            [np.zeros(_TAPS), np.fft.irfft(ours, low)[: len(reference) // step], np.zeros(_TAPS)]
        )
        self.audio = np.fft.irfft(theirs, low)[: self._n]
        # White noise of that power, as it is after the weights.
        self._noise = noise * step * float(np.mean(weight * weight))
        self._energy = float(self.audio @ self.audio) + 1e-9
        self._lags = len(reference) // step - self._n
        self._plain = np.fft.irfft(cross, low)
        sharp = np.fft.irfft(cross / np.sqrt(magnitude + 1e-9 * magnitude.max() + 1e-30), low)[: self._lags]
        self._sharp = np.abs(sharp)
        self._likely = np.convolve(sharp * sharp, np.ones(24), "same")

    def anywhere(self) -> _Fit:
        """The better of the two likeliest delays."""
        first = int(self._likely.argmax())
        rest = self._likely.copy()
        rest[max(0, first - 60) : first + 60] = 0
        fits = [self._fit(self._peak(lag, 24)) for lag in (first, int(rest.argmax()))]
        return max(fits, key=lambda fit: fit.explained)

    def near(self, delay: int) -> _Fit:
        lag = min(max(self._late - delay, 0), self._lags - 1)
        return self._fit(self._peak(lag, _DRIFT))

    def _peak(self, lag: int, around: int) -> int:
        first = max(0, lag - around)
        return first + int(self._sharp[first : lag + around + 1].argmax())

    def _fit(self, lag: int) -> _Fit:
        """The best filter of 24 ms that begins 4 ms before this lag (covariance method)."""
        offset = lag + _BEFORE
        ours = self._ours[offset + 1 : offset + self._n + _TAPS]
        covariance = _covariance(ours)
        both = self._plain[np.arange(offset, offset - _TAPS, -1)]
        covariance[np.diag_indices(_TAPS)] += _RIDGE * float(np.trace(covariance)) / _TAPS + 1e-6
        taps = np.linalg.solve(covariance, both)
        echo = np.convolve(ours, taps, "valid")
        rest = self.audio - echo
        explained = max(0.0, 1.0 - float(rest @ rest) / self._energy)
        power = float(echo @ echo) / (float(ours @ ours) + 1e-9)
        delay = self._late - offset + int(np.abs(taps).argmax())
        return _Fit(explained, delay, 10.0 * float(np.log10(power + 1e-9)), rest)

    def least_explained(self, rest: Floats) -> float:
        """Of the parts of 160 ms that are not much weaker than the others, so that a caller who joins in
        counts, however long the echo was alone before."""
        count = max(1, self._n // _BLOCK)
        edges = np.linspace(0, self._n, count + 1).astype(int)[:-1]
        whole = np.add.reduceat(self.audio * self.audio, edges)
        left = np.add.reduceat(rest * rest, edges)
        # What passes for noise may be a quiet stretch of the echo itself: it never counts for much.
        noise = min(self._noise * self._n / count, 0.25 * float(whole.max()))
        loud = whole >= max(_LOUD * float(whole.max()), 2.0 * noise)
        unexplained = np.maximum(left - noise, 0.0) / np.maximum(whole - noise, 1e-9)
        return max(0.0, 1.0 - float(unexplained[loud].max()))


def _covariance(x: Floats) -> Floats:
    """``X.T @ X`` of the matrix whose rows are the last ``_TAPS`` samples, newest first, at each full place of
    ``x``. Each step down a diagonal takes a sample in at one end and leaves one out at the other; multiplying the
    matrices would take ten times as long, and wake the threads of the linear algebra on the loop's time."""
    first = np.correlate(x, x[_TAPS - 1 :], "valid")[::-1]
    taken, left = x[_TAPS - 2 :: -1], x[:-_TAPS:-1]
    steps = np.zeros((_TAPS, 2 * _TAPS))
    steps[1:, 1:_TAPS] = np.outer(taken, taken) - np.outer(left, left)
    # Rows that are one longer turn diagonals into columns.
    columns = np.append(steps.ravel(), np.zeros(_TAPS)).reshape(_TAPS, -1)[:, :_TAPS]
    return _square(first + columns.cumsum(axis=0))


def _square(diagonals: Floats) -> Floats:
    """The symmetric matrix whose element ``i, i + k`` is in row ``i``, column ``k``."""
    place = np.arange(_TAPS)
    square: Floats = diagonals[np.minimum.outer(place, place), np.abs(np.subtract.outer(place, place))]
    return square


def _weights(size: int, step: int) -> Floats:
    """Of the bins up to 2 kHz: 100 Hz to 1.95 kHz, rising, since the lowest harmonics alone fit anything."""
    hz = np.arange(size // step // 2 + 1) * (_LOW_HZ * step / size)
    band = np.clip((hz - 100.0) / 150.0, 0.0, 1.0) * np.clip((1950.0 - hz) / 150.0, 0.0, 1.0)
    weights: Floats = np.sqrt(0.2 + (hz / 1000.0) ** 2) * band
    return weights


# --- words ------------------------------------------------------------------------------------------------

SAID_WORDS = 3
SAID_SHARE = 0.8


def said_by_bot(text: str, bot_words: Sequence[str], least: int = SAID_WORDS) -> bool:
    """The words heard are the bot's own: at least ``least``, and 80 % of them in this order, close together, in
    what it said around that time.

    No proof by itself: callers repeat what they are told ("half past three?"). It is for what sounds like an
    echo and is not sure to be one.
    """
    heard = _words(text)
    said = [word for spoken in bot_words for word in _words(spoken)]
    if len(heard) < max(1, least):
        return False
    span = len(heard) + max(1, len(heard) // 4)
    starts = range(max(1, len(said) - span + 1))
    return any(_in_order(heard, said[at : at + span]) >= SAID_SHARE * len(heard) for at in starts)


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold().replace("'", "").replace("\u2019", ""))
    return re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c)))


def _in_order(heard: Sequence[str], said: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    best = [0] * (len(said) + 1)
    for word in heard:
        diagonal = 0
        for at, other in enumerate(said, 1):
            diagonal, best[at] = best[at], max(best[at], best[at - 1], diagonal + (word == other))
    return best[-1]
