"""What a line and a room do to the turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.turns.samples import RATE_HZ, Turn
from media import g711
from media.frames import Pcm
from media.resample import resample

CLEAN, ULAW = "clean 16 kHz", "mu-law 8 kHz"
NOISY = tuple(f"{kind} {snr_db} dB" for kind in ("white", "babble") for snr_db in (20, 10))
_VOICES = 6
"""Talkers of the babble."""


def degrade(turn: Turn, condition: str, others: Sequence[Turn], seed: int) -> tuple[Pcm, int]:
    """The turn under a condition, and its sample rate. ``others``: turns by other voices, for the babble."""
    if condition == CLEAN:
        return turn.pcm, RATE_HZ
    if condition == ULAW:
        return g711.ulaw_decode(g711.ulaw_encode(resample(turn.pcm, RATE_HZ, 8000))), 8000
    kind, snr_db, _ = condition.split()
    chance = np.random.default_rng(seed)
    noise = chance.normal(size=len(turn.pcm)) if kind == "white" else _babble(len(turn.pcm), others, chance)
    voice = turn.pcm.astype(np.float64)
    noise *= active_rms(voice) / np.sqrt(np.mean(noise**2)) * 10 ** (-int(snr_db) / 20)
    mixed: Pcm = np.clip(voice + noise, -32768, 32767).astype(np.int16)
    return mixed, RATE_HZ


def active_rms(voice: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Root mean square of the 20 ms frames that are within 30 dB of the loudest."""
    frames = voice[: len(voice) // 320 * 320].reshape(-1, 320)
    power = (frames**2).mean(axis=1)
    return float(np.sqrt(power[power >= power.max() / 1000].mean()))


def _babble(
    length: int, others: Sequence[Turn], chance: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Several voices at once, each all the time, each as loud as the others."""
    mixed = np.zeros(length)
    for _ in range(_VOICES):
        talk = np.zeros(0)
        while len(talk) < length + RATE_HZ:
            turn = others[int(chance.integers(len(others)))]
            voice = turn.pcm[: int(turn.end_ms * RATE_HZ / 1000)].astype(np.float64)
            talk = np.concatenate((talk, voice / active_rms(voice)))
        start = int(chance.integers(RATE_HZ))
        mixed += talk[start : start + length]
    return mixed
