"""Utterances for simulated callers, whose true onset and end are known to the sample, and what the voice
detector makes of them by itself.

A recording is cut to its speech, and digital silence put around it: before its onset and after its end there
is nothing to hear, so that no two opinions about them are possible. The onset is the first 20 ms that are
within 30 dB of the loudest ones and begin something that lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from media import wav
from media.frames import Pcm
from media.g711 import ulaw_decode, ulaw_encode
from media.ports import VadWindow, VoiceDetector
from media.resample import resample
from media.segmenter import VadParams, VoiceEnded, VoiceSegmenter, VoiceStarted
from media.vad.silero import SileroVad
from media.vad.webrtc import WebrtcVad
from telephony.carriers.twilio.simulator import Clip

RATE_HZ = 8000
_FRAME = 160
_AROUND = RATE_HZ // 5
_LONGEST_S = 5.0
_RANGE_DB = 30.0
_FLOOR_DB = -40.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the detector says of an utterance, in ms from the truth; its own doing, not the server's."""

    onset_ms: float
    """Where it dates the onset back to."""
    certain_ms: float
    """The audio that it needs, from the true onset on, to say that voice has begun."""
    end_ms: float
    """Where it sees the end of the voice, from the true end."""


Edges = list[VoiceStarted | VoiceEnded]


def utterances(folder: Path, vad: str) -> list[Clip]:
    """The recordings of a folder that the detector takes for one stretch of voice each."""
    detector = Detector(vad)
    found = []
    for path in sorted(folder.glob("*.wav")):
        pcm, rate_hz = wav.read(path)
        if len(pcm) > rate_hz * 3 * _LONGEST_S:
            continue
        clip = _cut(resample(pcm, rate_hz, RATE_HZ), path.stem)
        if clip is not None and clip.duration_s <= _LONGEST_S and len(detector([(RATE_HZ, clip)])) == 2:
            found.append(clip)
    if not found:
        raise ValueError(f"{folder} holds no WAV file of one stretch of clean speech")
    return found


def verdict(edges: Edges, start: int, clip: Clip) -> Verdict | None:
    """What the detector said of a clip that was begun at a sample. None: it missed it."""
    onset, end = start + clip.onset, start + clip.voice_end
    started = next((e for e in edges if isinstance(e, VoiceStarted) and onset < e.at < end + RATE_HZ), None)
    ended = [e for e in edges if isinstance(e, VoiceEnded) and onset < e.end < end + RATE_HZ]
    if started is None or not ended:
        return None
    return Verdict(
        (started.onset - onset) * 1000 / RATE_HZ,
        (started.at - onset) * 1000 / RATE_HZ,
        (ended[-1].end - end) * 1000 / RATE_HZ,
    )


def _cut(pcm: Pcm, name: str) -> Clip | None:
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    level = 20 * np.log10(np.sqrt(np.mean(frames**2, axis=1)) / 32768 + 1e-9)
    loud = level >= max(level.max() - _RANGE_DB, _FLOOR_DB)
    lasting = [i for i in range(len(loud)) if loud[i] and loud[i : i + 4].sum() >= 3]
    ending = [i for i in range(len(loud)) if loud[i] and loud[max(0, i - 3) : i + 1].sum() >= 3]
    if not lasting or not ending:
        return None
    speech = pcm[lasting[0] * _FRAME : (ending[-1] + 1) * _FRAME]
    quiet = b"\xff" * _AROUND
    clip = Clip.from_ulaw(quiet + ulaw_encode(speech) + quiet, name)
    return replace(clip, onset=_AROUND, voice_end=_AROUND + len(speech))


class Detector:
    """The server's own detector and segmenter, fed without a server."""

    def __init__(self, vad: str) -> None:
        self._due: list[Callable[[], None]] = []
        self._vad: VoiceDetector
        if vad == "webrtc":
            self._vad = WebrtcVad()
        else:
            self._vad = SileroVad(call_later=lambda _, tick: self._due.append(tick))

    def __call__(self, said: Sequence[tuple[int, Clip]]) -> Edges:
        """What it says of a whole call, from its first sample on: clips, each from its sample on, in silence.

        What a recurrent detector says depends on all that it heard before, and on where its windows fall.
        """
        start, last = said[-1]
        audio = np.zeros(start + len(last.ulaw) + RATE_HZ, np.int16)
        for start, clip in said:
            audio[start : start + len(clip.ulaw)] = ulaw_decode(clip.ulaw)
        segmenter = VoiceSegmenter(RATE_HZ, VadParams())
        edges: Edges = []

        def on_window(window: VadWindow) -> None:
            edges.extend(segmenter.push(window))

        stream = self._vad.open(RATE_HZ, on_window)
        for start in range(0, len(audio), _FRAME):
            stream.feed(audio[start : start + _FRAME])
            while self._due:
                self._due.pop()()
        stream.close()
        return edges
