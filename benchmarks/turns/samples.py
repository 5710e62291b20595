"""Turns of real speech whose end is known: the recordings, and what is said in them.

Two ways to say where a turn ends, since a recording of somebody who reads does not tell where an agent should answer:

- *whole*: only where the recording does. Whoever reads on after a complete sentence has paused within his turn.
- *sentences*: where a complete clause is followed by a pause, a turn ends, and another one begins.

The marks in ``SAID`` say where: ``|`` where a complete clause ends. They were set by reading, before any figure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media import wav
from media.frames import Pcm
from media.resample import resample
from pipeline.endpointing.tune import Word

SPEECH = Path(os.environ.get("TALKWIRE_SPEECH_DIR") or Path(__file__).parents[3] / "shared" / "speech")
RATE_HZ = 16000
AFTER_S = 2.5
"""Quiet that follows each turn."""
_BEFORE_S = 0.3
_TAIL_S = 0.15
"""Of the recording itself, kept behind the last voice: what fades away is no silence."""
_RANGE_DB = 25.0

SAID = """\
jfk: and so my fellow americans ask not what your country can do for you | ask what you can do for your country
librivox_0870: and mister john dashwood had then leisure to consider how much there might be prudently in his \
power to do for them
librivox_0880: he was not an ill disposed young man
librivox_0930: he might even have been made amiable himself
cards_001: ten of clubs
cards_002: four queen of clubs
cards_003: seven of clubs
cards_004: five five
goforward: go forward ten meters
something: go somewhere and do something
forever4: feels like these days go on forever
new_home: we must find a new home in the stars
arctic_a0024: it was my reports from the north which chiefly induced people to buy
sb_example1: the birch canoe slid on the smooth planks
LJ050_0131: unless a system is established for the frequent formal review of activities thereunder in this regard
LJ002_0020: in eighteen thirteen
libri_1088: as you know and as i have given you proof i have the greatest admiration in the world for one whose \
work for humanity has won such universal recognition | i hope that we shall both forget this unhappy morning and \
that you will give me an opportunity of rendering to you in person
ami_abigail: i'm abigail claflin | you can call me abbie
watson_speech: thunderstorms could produce large hail isolated tornadoes and heavy rain
watson_pause: isolated tornadoes and heavy rain
az_weather: what's the weather like
df_230pm: two thirty pm
df_book_a_room: book a room
df_mountain_view: mountain view
df_today: today
df_two_people: two people
gcp_brooklyn: how old is the brooklyn bridge
two_cities: it was the best of times | it was the worst of times | it was the age of wisdom | it was the age of \
foolishness | it was the epoch of belief | it was the epoch of incredulity | it was the season of light | it was \
the season of darkness | it was the spring of hope | it was the winter of despair | we had everything before us \
we had nothing before us | we were all going direct to heaven | we were all going direct the other way | in short \
the period was so far like the present period that some of its noisiest authorities insisted on its being received \
for good or for evil in the superlative degree of comparison only
"""
_PRONOUNCED = {"thereunder": "DH EH R AH N D ER"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn, as it is fed: quiet, the voice, quiet."""

    recording: str
    index: int
    """In its recording."""
    pcm: Pcm
    """16 kHz."""
    words: tuple[Word, ...]
    end_ms: float
    """True end of the voice, from the beginning of ``pcm``."""

    @property
    def name(self) -> str:
        return f"{self.recording}.{self.index}"


def turns(split: bool, folder: Path = SPEECH) -> list[Turn]:
    """All recordings. ``split``: at each complete clause that a pause follows. Raises ``OSError``."""
    found = []
    for line in SAID.splitlines():
        name, _, said = line.partition(": ")
        found += _turns(name, said, split, folder)
    return found


def _turns(name: str, said: str, split: bool, folder: Path) -> list[Turn]:
    pcm, rate_hz = wav.read(folder / f"{name}.wav")
    pcm = resample(pcm, rate_hz, RATE_HZ)
    words = said.replace(" |", "").split()
    ends = [word for word in said.split() if word != "|" or split]
    closes = {i - n for n, i in enumerate(i for i, word in enumerate(ends) if word == "|")}
    spans = _aligned(pcm, words)
    found: list[Turn] = []
    began, first = 0.0, 0
    for last in range(1, len(words) + 1):
        if last != len(words) and last not in closes:
            continue
        # Between two turns the cut lies in the middle of the silence that the alignment found.
        until = len(pcm) / RATE_HZ if last == len(words) else _middle(pcm, spans[last - 1][1], spans[last][0])
        found.append(_turn(name, len(found), pcm, words[first:last], spans[first:last], began, until))
        began, first = until, last
    return found


def _middle(pcm: Pcm, left_s: float, right_s: float) -> float:
    """The middle of the quietest tenth of a second around where two words meet."""
    step = RATE_HZ // 100
    first = int((left_s - 0.1) * 100)
    frames = pcm[first * step : int((right_s + 0.15) * 100) * step].astype(np.float64)
    power = np.convolve(
        (frames[: len(frames) // step * step].reshape(-1, step) ** 2).mean(axis=1), np.ones(10)
    )
    return (first + int(np.argmin(power[9:-9])) + 5) / 100


def _turn(
    name: str,
    index: int,
    pcm: Pcm,
    words: list[str],
    spans: list[tuple[float, float]],
    began: float,
    until: float,
) -> Turn:
    part = pcm[int(began * RATE_HZ) : int(until * RATE_HZ)]
    # A breath or a click behind the last word is no voice: the end is looked for near the word's own.
    latest = int((spans[-1][1] - began + 0.25) * RATE_HZ)
    end = _voice_end(part[:latest])
    kept = part[: end + int(_TAIL_S * RATE_HZ)].astype(np.float64)
    fade = min(len(kept) - end, RATE_HZ // 20)
    if fade > 0:
        kept[-fade:] *= np.linspace(1, 0, fade)
    before, after = np.zeros(int(_BEFORE_S * RATE_HZ)), np.zeros(int(AFTER_S * RATE_HZ))
    shift_ms = 1000 * (_BEFORE_S - began)
    return Turn(
        name,
        index,
        np.concatenate((before, kept, after)).astype(np.int16),
        tuple(
            Word(word, 1000 * (start + stop) / 2 + shift_ms)
            for word, (start, stop) in zip(words, spans, strict=True)
        ),
        1000 * (_BEFORE_S + end / RATE_HZ),
    )


def _voice_end(pcm: Pcm) -> int:
    """One past the last 20 ms that are within 25 dB of the loudest and do not stand alone."""
    frame = RATE_HZ // 50
    frames = pcm[: len(pcm) // frame * frame].reshape(-1, frame).astype(np.float64)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1.0)
    loud = level >= level.max() - _RANGE_DB
    ending = [i for i in range(len(loud)) if loud[i] and loud[max(0, i - 3) : i + 1].sum() >= 3]
    return (ending[-1] + 1) * frame


def _aligned(pcm: Pcm, words: list[str]) -> list[tuple[float, float]]:
    """Start and end of each word in seconds; the second pass has the cepstral mean of the first."""
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL")
    for word, phones in _PRONOUNCED.items():
        decoder.add_word(word, phones, True)
    decoder.set_align_text(" ".join(words))
    found: list[tuple[float, float]] = []
    for _ in range(2):
        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), full_utt=True)
        decoder.end_utt()
        found = [
            (segment.start_frame / 100, (segment.end_frame + 1) / 100)
            for segment in decoder.seg()
            if segment.word[0] not in "<[("
        ]
    if len(found) != len(words):
        raise ValueError(f"the recogniser does not find {' '.join(words)!r} in its recording")
    return found
