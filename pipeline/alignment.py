"""When each word of a sentence is spoken, for a voice that does not say so itself.

The text is turned into a chain of states: the rough kinds of sound that its letters stand for, each for as long as
that sound usually takes, and after each word a pause that may be left out. The audio is turned into two figures for
each 20 ms: how loud it is next to its loudest, and how much of it lies high. A forward pass follows the sentence
through the chain as the audio comes (a hidden Markov model: Rabiner 1989; several states for each sound give it a
length of its own), and carries along with the probability of each state how long ago the words before it began. So
nothing is computed twice, no path is traced back, and what comes later still corrects what came before. About 100 us
for each 100 ms of audio, a third of that for telling where all the words are.

Pure: no clock, no I/O. Positions are samples of one sentence, from its first one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from media.frames import Pcm
from pipeline.sounds import PAUSE, pause_odds, token_sounds

Floats = npt.NDArray[np.float64]

# --- the chain of states ----------------------------------------------------------------------------------

_HOP_S = 0.020
_STATE_S = 0.033
_SKIP = 0.2
"""Odds that a state is passed over: with frames of 20 ms the only way to be quick."""
_PAUSE_S = 0.2
_DRAWL = 1.05
"""A little slower than expected, so that what is not heard yet is rather told late."""


class _Chain:
    """The states of one sentence, in order: a silence at the start, then each token's sounds and a pause."""

    def __init__(self, tokens: Sequence[str], pace: float, language: str) -> None:
        kinds, frames, skips = [PAUSE], [0.08 / _HOP_S], [0.0]
        expected = [frames[0]]
        firsts = []
        self.units: list[float] = []
        """How long each token takes an ordinary voice, in seconds; 0 where that is not sure."""
        for index, token in enumerate(tokens):
            firsts.append(len(kinds))
            sounds = token_sounds(token, index == len(tokens) - 1, language)
            sure = not any(c.isdigit() for c in token)
            self.units.append(sum(length_s for _, length_s in sounds) if sure else 0.0)
            for kind, length_s in sounds:
                count = max(1, round(length_s / _STATE_S))
                each = max(1.02, _DRAWL * length_s * pace / _HOP_S / count)
                kinds += [kind] * count
                frames += [each] * count
                expected += [each] * count
                skips += [_SKIP] * count
            odds = pause_odds(token)
            if len(kinds) - firsts[-1] > 1:
                skips[-2] = 0.0  # the pause is not entered but by the last state
            skips[-1] = 1 - odds
            kinds.append(PAUSE)
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

# Mean and deviation of level (dB next to the loudest) and tilt (dB over the voice's own) in each kind of sound:
# counted in the frames of known words of the same voices, and rounded towards what recordings of people have.
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
_NO_VOICE_DB = 50.0
"""A sentence that is nowhere louder than this, over one step of 16 bits, says nothing of how loud its voice is."""
_HUSH_DB = 0.35


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
        self._loudest = _NO_VOICE_DB
        """Of this sentence."""
        self._floor = 0.0
        self._run = 0
        self.frames = 0
        self.quiet = [(-1, -1)]
        """Pauses: first frame, and the one after the last. The first one is none."""

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
        both = np.empty((2, end - lag))
        both[0] = audio[lag:end]
        np.subtract(both[0], audio[: end - lag], out=both[1])
        both.shape = (2, count, hop)
        levels = (10 * np.log10(np.einsum("kij,kij->ik", both, both) / hop + 4.0)).tolist()
        figures = np.array([self._frame(level, high_level - level) for level, high_level in levels])
        likelihood: Floats = (np.exp(figures[:, :5] @ _WEIGHTS) + _SURPRISE) ** _TRUST
        long = figures[:, 5] > _LONG_QUIET
        if long.any():
            pause = likelihood[long, PAUSE]
            likelihood[long] *= _NO_SOUND
            likelihood[long, PAUSE] = pause
        return likelihood

    def _frame(self, level: float, tilt: float) -> tuple[float, float, float, float, float, int]:
        """One, level and tilt with their squares, and for how long it has been quiet."""
        self._loudest = max(self._loudest, level)
        self._peak = max(level, self._peak - 0.01)
        if self._peak > self._loudest + 6 and level > self._loudest - 15:
            self._peak -= _HUSH_DB  # This voice is not as loud as was thought.
        under = min(0.0, max(level - self._peak, -_RANGE_DB))
        tilt = min(8.0, max(tilt, -25.0))
        if under > -15:
            self._loud = min(200, self._loud + 1)
            self._tilt += (tilt - self._tilt) / self._loud
        tilt -= self._tilt
        self._floor = under if not self.frames or under < self._floor else self._floor + 0.03
        self.frames += 1
        if under >= max(-38.0, min(self._floor + 9, -24.0)):
            self._run = 0
        else:
            self._run += 1
            if self._run == _LONG_QUIET:
                self.quiet.append((self.frames - self._run, self.frames))
            elif self._run > _LONG_QUIET:
                self.quiet[-1] = (self.quiet[-1][0], self.frames)
        return 1.0, under, under * under, tilt, tilt * tilt, self._run

    def teach(self, pace: Pace) -> None:
        if self._loudest > _NO_VOICE_DB:
            pace.peak_db, pace.tilt_db = self._peak, self._tilt


# --- the pass ---------------------------------------------------------------------------------------------

_BAND = 80
"""States that are alive at a time, about two and a half seconds."""
_BEHIND = 36
"""States of the band that lie behind the likeliest place after it has moved."""
_BLOCK = 10
"""Frames that are computed before the band is looked at."""
_PLACES = np.arange(_BAND, dtype=np.float64)
_LEAN = 0.12
"""How much an estimate leans to the later of what is possible, in 1 / frames: it is the logarithm of the mean of an
exponential. A word that is told too early was not heard."""
_LATE = 1.5
"""Frames that an estimate is later than that."""


def _buffer(shape: tuple[int, ...]) -> tuple[Floats, ...]:
    """Room for what stays, moves and skips by one frame, and views of it as one row: where the first part takes up
    the second, and where the third."""
    parts = np.empty((3, *shape))
    stayed, moved, skipped = parts
    flat = stayed.ravel()
    return parts, stayed, flat[1:], moved.ravel()[:-1], flat[2:], skipped.ravel()[:-2]


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
        self._settled: Floats = np.empty(0)
        """Starts, in frames, of the words that the band has left behind."""
        # By state of the band: the probability of being there; then, for each word that begins in the band, that
        # times the mean of exp(-_LEAN * frames since the word began), where it has begun.
        self._enter(np.ones((1, 1)), 0)

    def audio(self, pcm: Pcm) -> None:
        """More of the sentence, any length."""
        self._samples += len(pcm)
        self._words = None
        frame = self._ear.frames
        likelihoods = self._ear.hear(pcm)
        while len(likelihoods):
            # Blocks begin where they would if all the audio came at once.
            size = _BLOCK - frame % _BLOCK
            self._pass(likelihoods[:size])
            frame += len(likelihoods[:size])
            likelihoods = likelihoods[size:]
            if frame % _BLOCK == 0:
                self._follow(frame)

    def done(self) -> None:
        """The sentence is over. ``Pace`` learns from it."""
        if self._over:
            return
        self._over = True
        self._words = None
        units = self._chain.units
        frames = sum(end - start for (start, end), unit in zip(self.words(), units, strict=True) if unit)
        self._pace.learn(sum(units), frames / self._ear.hop * _HOP_S)
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
        self._weights = np.stack(
            (np.ones(width), self._ahead, np.exp(_LEAN * (self._ahead[0] - self._ahead)))
        )
        self._far = chain.ahead[chain.firsts[last:]]
        self._due = np.exp(_LEAN * (chain.ahead[chain.firsts[first:last]] - self._ahead[0]))
        self._ageing = np.ones((1 + last - first, width))
        self._ageing[1:][np.arange(width) >= self._begin[:, None]] = math.exp(-_LEAN)
        fresh = np.zeros((1 + last - first, width))
        fresh[:, : mass.shape[1]] = mass[0, :width]
        fresh[: len(mass), : mass.shape[1]] = mass[:, :width]
        self._mass = fresh / fresh[0].sum()
        self._turn, self._buffers = 0, (_buffer(fresh.shape), _buffer(fresh.shape))

    def _pass(self, likelihoods: Floats) -> None:
        mass, turn = self._mass, self._turn
        for ways in (likelihoods.take(self._kinds, axis=1) * self._ways)[:, :, None, :]:
            turn = 1 - turn
            parts, stayed, second, moved, third, skipped = self._buffers[turn]
            np.multiply(mass, ways, out=parts)
            second += moved
            third += skipped
            stayed *= self._ageing
            mass = stayed
        mass /= mass[0].sum()
        # Numbers too small to matter are slow to compute with.
        mass[:, mass[0] < 1e-40] = 0.0
        self._mass, self._turn = mass, turn

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
        self._settled = np.concatenate((self._settled, self._near(frames, self._sums())[:dropped]))
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
        starts = np.concatenate((self._settled, near, self._far + (ahead + _LATE)))
        if self._over and end > frames:
            # The audio ends before the text has: the words that are left share what there is.
            settled = len(self._settled)
            begin = float(self._settled[-1]) if settled else 0.0
            share = max(0.0, frames - begin) / max(1.0, end - begin)
            starts[settled:] = begin + (starts[settled:] - begin) * share
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
        starts: Floats = _LATE + frames + np.log(np.maximum(lean, 1e-30)) / _LEAN
        return starts

    def _ending(self) -> Floats | None:
        """The same where the sentence has ended in its last state. None: it is too far from there."""
        if self._low + self._mass.shape[1] < len(self._chain):
            return None
        ends = self._mass[:, -2:].sum(axis=1)
        if ends[0] < 1e-30:
            return None
        starts: Floats = _LATE + self._ear.frames + np.log(np.maximum(ends[1:] / ends[0], 1e-30)) / _LEAN
        return starts

    def _place(self, starts: Floats, end: float) -> list[tuple[int, int]]:
        """In samples, in order, and out of the pauses: no word begins in one, and each ends where the one behind
        it begins."""
        hop = self._ear.hop
        begins, ends = np.array(self._ear.quiet).T
        starts = np.maximum(starts, ends[begins.searchsorted(starts, side="right") - 1])
        nexts = np.empty_like(starts)
        nexts[:-1], nexts[-1] = starts[1:], max(end, starts[-1])
        pauses = begins[begins.searchsorted(nexts) - 1]
        nexts = np.where(pauses > starts, pauses, nexts)
        most = self._samples if self._over else math.inf
        starts = np.maximum.accumulate(np.minimum(starts * hop, most))
        nexts = np.maximum(starts, np.minimum(nexts * hop, most))
        np.minimum(nexts[:-1], starts[1:], out=nexts[:-1])
        return list(zip(starts.astype(int).tolist(), nexts.astype(int).tolist(), strict=True))
