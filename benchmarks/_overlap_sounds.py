"""What may be heard over the bot: callers who interrupt it, listeners who do not, and what is no speech.

Recorded are the interruptions and the talk in the background. Backchannels are said by the project's own voices.
Coughs, breaths, clicks, keys and music are synthesised, since no recordings of them are at hand: plausible in
spectrum and envelope, and no substitute for real ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks._known_voice import Studio
from media import wav
from media.resample import resample

SPEECH = Path(os.environ.get("TALKWIRE_SPEECH_DIR") or Path(__file__).parents[2] / "shared" / "speech")
RATE_HZ = 8000
SHORTEST_S, LONGEST_S = 0.5, 4.0
CALLER_DB, BACKGROUND_DB = -26.0, -46.0
BACKCHANNELS = ("mhm", "uh-huh", "ok", "yeah", "right", "I see")

Samples = npt.NDArray[np.float64]
Words = tuple[tuple[float, float, str], ...]
"""Beginning and end in seconds, and the word."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Something over the bot."""

    kind: str
    name: str
    audio: Samples
    """Full scale 1, at 8 kHz; it begins with its first sound."""
    words: Words = ()
    """What a recogniser that makes no mistakes hears in it."""
    interrupts: bool = False
    """The bot ought to be silenced by it."""


def interruptions() -> list[Sound]:
    """Each recording, up to four seconds of it; its words spread over its voice by their letters."""
    manifest = json.loads((SPEECH / "manifest.json").read_text())
    said = {entry["file"]: entry["transcript"] for entry in manifest}
    found = []
    for path in sorted(SPEECH.glob("*.wav")):
        pcm, rate_hz = wav.read(path)
        audio = _trimmed(resample(pcm, rate_hz, RATE_HZ).astype(np.float64) / 32768)
        whole_s = len(audio) / RATE_HZ
        if whole_s < SHORTEST_S:
            continue
        words = tuple(word for word in _spread(said.get(path.name, ""), whole_s) if word[1] <= LONGEST_S)
        audio = _at(audio[: int(LONGEST_S * RATE_HZ)], CALLER_DB)
        found.append(Sound("interruption", path.stem, audio, words, interrupts=True))
    return found


def background(callers: list[Sound]) -> list[Sound]:
    """Somebody else in the room, 20 dB below the caller, whom the recogniser understands all the same."""
    quieter = 10 ** ((BACKGROUND_DB - CALLER_DB) / 20)
    return [Sound("talk in the background", s.name, s.audio * quieter, s.words) for s in callers[::3]]


def backchannels(studio: Studio) -> list[Sound]:
    found = []
    for engine, voice in studio.voices:
        for text in BACKCHANNELS:
            said = studio.say(engine, voice, text).pcm.astype(np.float64) / 32768
            audio = _at(_trimmed(said), CALLER_DB)
            words = _spread(text, len(audio) / RATE_HZ)
            found.append(Sound("backchannel", f"{text} ({voice})", audio, words))
    return found


def noises(callers: list[Sound], seed: int) -> Iterator[Sound]:
    """What is no speech of a caller."""
    rng = np.random.default_rng(seed)
    for number in range(15):
        yield Sound("cough", str(number), _at(_cough(rng), rng.uniform(-26, -16)))
    for number in range(10):
        yield Sound("breath", str(number), _at(_breath(rng), rng.uniform(-44, -34)))
    for number in range(10):
        yield Sound("click", str(number), _click(rng))
    for number in range(5):
        yield Sound("keyboard", str(number), _at(_keys(rng), rng.uniform(-45, -35)))
    for kind in ("white", "pink", "babble", "music"):
        for db in (-50.0, -40.0, -32.0):
            yield Sound(f"noise: {kind}", f"{db:.0f} dBFS", _at(_noise(kind, callers, rng), db))


# --- synthesis --------------------------------------------------------------------------------------------


def _cough(rng: np.random.Generator) -> Samples:
    """One to three bursts: an explosion, noise through the vocal tract, and often a voiced end."""
    out = [np.zeros(0)]
    for _ in range(rng.integers(1, 4)):
        seconds = rng.uniform(0.2, 0.4)
        t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
        envelope = np.minimum(t / 0.008, 1.0) * np.exp(-t / rng.uniform(0.05, 0.11))
        burst = _band(rng.standard_normal(len(t)), 300, rng.uniform(1800, 3000)) * envelope
        if rng.random() < 0.6:
            hz = rng.uniform(160, 320) * (1 - 0.3 * t / seconds)
            pulses = np.maximum(0.0, np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)) ** 6
            voiced = np.clip((t - 0.5 * seconds) / 0.03, 0, 1) * np.clip((seconds - t) / 0.06, 0, 1)
            burst += 0.25 * _band(pulses * (1 + 0.5 * rng.standard_normal(len(t))), 200, 1500) * voiced
        out += [burst, np.zeros(int(rng.uniform(0.05, 0.25) * RATE_HZ))]
    return np.concatenate(out)


def _breath(rng: np.random.Generator) -> Samples:
    n = int(rng.uniform(0.4, 1.0) * RATE_HZ)
    swell: Samples = np.sin(np.pi * np.arange(n) / n) ** 2
    return _band(rng.standard_normal(n), 300, 2600) * swell


def _click(rng: np.random.Generator) -> Samples:
    n = int(0.03 * RATE_HZ)
    shape = np.exp(-np.arange(n) / rng.uniform(4, 40))
    return rng.uniform(0.1, 0.6) * shape * rng.uniform(-1, 1, n)


def _keys(rng: np.random.Generator) -> Samples:
    out = np.zeros(3 * RATE_HZ)
    at = 0
    while at < len(out) - 400:
        out[at : at + 240] += rng.standard_normal(240) * np.exp(-np.arange(240) / 32) * rng.uniform(0.4, 1)
        at += int(rng.uniform(0.08, 0.3) * RATE_HZ)
    return out


def _noise(kind: str, callers: list[Sound], rng: np.random.Generator) -> Samples:
    n = 4 * RATE_HZ
    if kind == "babble":
        voices = [callers[i].audio for i in rng.permutation(len(callers))[:12]]
        talk: Samples = np.sum([np.roll(np.resize(v, n), rng.integers(n)) for v in voices], axis=0)
        return talk
    if kind == "music":
        t = np.arange(RATE_HZ // 2) / RATE_HZ
        bars = []
        for _ in range(8):
            notes = rng.choice((220.0, 246.9, 277.2, 293.7, 329.6, 370.0, 415.3), 3, replace=False)
            tones = [np.sin(2 * np.pi * hz * k * t) / k**1.3 for hz in notes for k in range(1, 6)]
            bars.append(np.sum(tones, axis=0) * np.exp(-3 * t) * np.minimum(t / 0.01, 1))
        tune: Samples = np.concatenate(bars)
        return tune
    white = rng.standard_normal(n)
    if kind == "white":
        return white
    spectrum = np.fft.rfft(white)
    return np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0), n)


def _band(x: Samples, low_hz: float, high_hz: float) -> Samples:
    spectrum, hz = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / RATE_HZ)
    return np.fft.irfft(spectrum * ((hz > low_hz) & (hz < high_hz)), len(x))


def _levels(audio: Samples) -> Samples:
    frames = audio[: len(audio) // 80 * 80].reshape(-1, 80)
    levels: Samples = np.sqrt((frames**2).mean(axis=1))
    return levels


def _at(audio: Samples, db: float) -> Samples:
    """Brought to a level, of its loud parts."""
    levels = _levels(audio)
    active = np.sqrt((levels[levels > levels.max() / 30] ** 2).mean())
    return audio * (10 ** (db / 20) / max(float(active), 1e-6))


def _trimmed(audio: Samples) -> Samples:
    """From the first to the last 10 ms within 30 dB of the loudest."""
    levels = _levels(audio)
    loud = np.flatnonzero(levels > levels.max() / 30)
    return audio[loud[0] * 80 : (loud[-1] + 1) * 80]


def _spread(text: str, seconds: float) -> Words:
    words = text.split()
    edges = np.cumsum([0, *(len(word) + 1 for word in words)]) / max(1, len(text) + 1) * seconds
    return tuple((float(edges[i]), float(edges[i + 1]), word) for i, word in enumerate(words))
