"""Makes the spoken clips in this folder: what a caller says in the examples and in the end-to-end tests.

Needs flite (``apt-get install flite``) and numpy; the same flite gives the same bytes. Run it from anywhere:

    python examples/clips/make_clips.py

The voice is kal16: not the most pleasant one, but the one that the embedded recogniser understands best.
Each clip is mono, 16 bit, 16 kHz, at -20 dBFS while it speaks, with 100 ms of silence before and after.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

VOICE = "kal16"
RATE_HZ = 16000
LEVEL_DBFS = -20.0
SILENCE_MS = 100
CLIPS = {
    "hello": "hello",
    "time": "can you tell me the time",
    "story": "tell me a story",
    "wait": "hold on a moment",
    "count": "please count from one to ten",
    "spell": "can you spell the word banana",
    "repeat": "repeat after me, the weather is nice",
    "goodbye": "goodbye",
}

Samples = npt.NDArray[np.float64]


def synthesise(text: str) -> Samples:
    """The text as flite says it, full scale 1.0."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flite.wav"
        subprocess.run(["flite", "-voice", VOICE, "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE_HZ):
                raise SystemExit(f"flite's voice {VOICE} is not mono, 16 bit, {RATE_HZ} Hz here")
            return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def shape(samples: Samples) -> npt.NDArray[np.int16]:
    """Cut to what is spoken, bring to the level, and put the silence around it."""
    loud = np.flatnonzero(np.abs(samples) > 0.005)
    spoken = samples[loud[0] : loud[-1] + 1]
    frames = spoken[: len(spoken) // 320 * 320].reshape(-1, 320)
    rms = np.sqrt((frames**2).mean(axis=1))
    active = np.sqrt((rms[rms > rms.max() / 30] ** 2).mean())
    silence = np.zeros(RATE_HZ * SILENCE_MS // 1000)
    whole = np.concatenate([silence, spoken * (10 ** (LEVEL_DBFS / 20) / active), silence])
    pcm: npt.NDArray[np.int16] = np.rint(np.clip(whole, -0.99, 0.99) * 32767).astype(np.int16)
    return pcm


def main() -> None:
    for name, text in CLIPS.items():
        path = Path(__file__).parent / f"{name}.wav"
        pcm = shape(synthesise(text))
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(pcm.astype("<i2").tobytes())
        print(f"{path.name:12} {len(pcm) / RATE_HZ:.2f} s  {text!r}")


if __name__ == "__main__":
    main()
