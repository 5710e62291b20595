"""Words found in the audio of a voice that gives no times: what always holds, and how well with a toy voice."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Pcm
from pipeline.alignment import Aligner, Pace
from pipeline.sounds import spoken
from pipeline.text import tokens

RATE_HZ = 8000
TEXTS = (
    "Thanks for calling, how can I help you today?",
    "Please wait a moment, I am looking for the number of your order.",
    "We have three of them: a small one, a medium one, and the family size.",
    "The shop on the corner of the street is open until late, but not on Sundays.",
    "If you do not mind, I would like to ask some questions about the last visit to our office.",
    "No problem at all.",
    "It costs $234.50, and it takes about 45 minutes.",
    "She said that several people could not make it because of the weather in the mountains.",
)


class ToyVoice:
    """Speaks by letters: hum for vowels, hiss, and stops that are silent first. Not as the aligner thinks: each
    letter as long as chance has it, and each word."""

    _LENGTHS_MS: ClassVar = {"vowel": 95, "hum": 60, "hiss": 90, "stop": 75}

    def __init__(self, seed: int, slow: float = 1.0, loud: float = 1.0) -> None:
        self._chance = np.random.default_rng(seed)
        self._slow = slow
        self._loud = loud

    def say(self, text: str) -> tuple[Pcm, list[float]]:
        """The audio at 8 kHz, and when each token begins, in seconds."""
        parts = [np.zeros(int(self._chance.uniform(0, 0.2) * RATE_HZ))]
        starts = []
        for token in tokens(text):
            starts.append(sum(map(len, parts)) / RATE_HZ)
            drawl = self._slow * self._chance.uniform(0.85, 1.15)
            for word in spoken(token.text):
                parts += [self._letter(letter, drawl) for letter in word if letter.isalpha()]
            if token.text[-1] in ",.:?":
                parts.append(np.zeros(int(self._chance.uniform(0.15, 0.4) * RATE_HZ)))
        audio = np.concatenate(parts) + self._chance.normal(0, 3, sum(map(len, parts)))
        return np.clip(np.rint(audio), -32768, 32767).astype(np.int16), starts

    def _letter(self, letter: str, drawl: float) -> npt.NDArray[np.float64]:
        groups = {"vowel": "aeiouy", "hiss": "sfxzchj", "stop": "ptkbdgq"}
        kind = next((kind for kind, letters in groups.items() if letter in letters), "hum")
        length_s = self._LENGTHS_MS[kind] * drawl * self._chance.uniform(0.7, 1.3) / 1000
        time = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
        noise = np.diff(self._chance.normal(0, 1, len(time) + 1))
        if kind == "hiss":
            return self._loud * 500 * noise
        if kind == "stop":
            return self._loud * 1500 * noise * (time > 0.7 * length_s)
        pitch = sum(np.sin(2 * np.pi * 120 * n * time) / n for n in range(1, 12 if kind == "vowel" else 3))
        return self._loud * (5000 if kind == "vowel" else 3000) * np.asarray(pitch)


def chunks(pcm: Pcm, size: int) -> list[Pcm]:
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


def heard(aligner: Aligner, pcm: Pcm, speed: float) -> list[float]:
    """When each word is told, in seconds, where audio comes so many times faster than it is heard, after a
    first 100 ms of it."""
    told: list[float] = []
    waiting = chunks(pcm, RATE_HZ // 10)
    fed = 0
    for now in range(0, len(pcm) + 5 * RATE_HZ, RATE_HZ // 100):
        while waiting and fed < min(len(pcm), RATE_HZ // 10 + now * speed):
            aligner.audio(waiting[0])
            fed += len(waiting.pop(0))
            if not waiting:
                aligner.done()
        words = aligner.words()
        while len(told) < len(words) and words[len(told)][0] <= now:
            told.append(now / RATE_HZ)
    return told


# --- what always holds ------------------------------------------------------------------------------------

any_tokens = st.lists(
    st.sampled_from("Hello the $1,234.56, 3:30 — 你好。 привет, U.S. a, end.".split()), max_size=40
)
any_audio = st.lists(
    st.tuples(st.integers(0, 3000), st.sampled_from([0, 3, 100, 3000, 30000])), max_size=12
).map(
    lambda parts: np.concatenate(
        [np.zeros(0, np.int16)]
        + [np.random.default_rng(n).integers(-peak, peak + 1, n).astype(np.int16) for n, peak in parts]
    )
)


@settings(deadline=None)
@given(any_tokens, any_audio, st.sampled_from([8000, 11025, 24000]), st.sampled_from(["en", "de-AT", "zh"]))
def test_every_word_has_its_place_in_order_and_in_the_audio(
    texts: list[str], pcm: Pcm, rate_hz: int, language: str
) -> None:
    aligner = Aligner(texts, rate_hz, Pace(), language)
    for chunk in [np.zeros(0, np.int16), *chunks(pcm, 700)]:
        aligner.audio(chunk)
        check_order(aligner.words(), len(texts))
    aligner.done()
    check_order(aligner.words(), len(texts))
    assert all(end <= len(pcm) for _, end in aligner.words())


def check_order(words: list[tuple[int, int]], count: int) -> None:
    assert len(words) == count
    assert all(0 <= start <= end for start, end in words)
    assert all(end <= start for (_, end), (start, _) in pairwise(words))


@pytest.mark.parametrize("text", TEXTS)
def test_it_does_not_matter_how_the_audio_is_divided(text: str) -> None:
    pcm, _ = ToyVoice(1).say(text)
    texts = [token.text for token in tokens(text)]
    found = []
    for size in (160, 333, 1600):
        aligner = Aligner(texts, RATE_HZ, Pace())
        for chunk in chunks(pcm, size):
            aligner.audio(chunk)
        aligner.done()
        found.append(aligner.words())
    assert np.abs(np.array(found[0]) - found[1]).max() <= 2
    assert np.abs(np.array(found[0]) - found[2]).max() <= 2


def test_before_any_audio_the_words_are_where_they_are_expected() -> None:
    texts = "Good morning, how are you?".split()
    usual, slow = Aligner(texts, RATE_HZ, Pace()), Aligner(texts, RATE_HZ, Pace(seconds_per_unit=1.5))
    starts = np.array([start for start, _ in usual.words()]) / RATE_HZ
    assert 0.05 < starts[0] < 0.2
    assert 1.0 < starts[-1] < 2.0
    later = np.array([start for start, _ in slow.words()]) / RATE_HZ
    assert np.all(later[1:] > starts[1:] + 0.05)


def test_no_word_is_placed_in_silence_that_lasts() -> None:
    aligner = Aligner(["Yes,", "and", "no."], RATE_HZ, Pace())
    for _ in range(20):
        aligner.audio(np.zeros(800, np.int16))
        assert aligner.words()[0][0] >= aligner._samples - 160
    assert Aligner([], RATE_HZ, Pace()).words() == []


def test_a_sentence_whose_audio_ends_early_has_all_its_words_in_it() -> None:
    pcm, _ = ToyVoice(3).say(TEXTS[4])
    aligner = Aligner([token.text for token in tokens(TEXTS[4])], RATE_HZ, Pace())
    aligner.audio(pcm[: len(pcm) // 3])
    aligner.done()
    starts = [start for start, _ in aligner.words()]
    assert starts[-1] <= len(pcm) // 3
    assert len(set(starts)) > len(starts) // 2


def test_the_cost_of_a_frame_does_not_grow_with_the_sentence() -> None:
    text = " ".join(TEXTS * 4)
    pcm, _ = ToyVoice(4).say(text)
    aligner = Aligner([token.text for token in tokens(text)], RATE_HZ, Pace())
    for chunk in chunks(pcm, 800):
        aligner.audio(chunk)
        assert aligner._mass.size < 80 * 30


# --- how well it does -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "loud", "p95_ms", "early_ms"),
    [(5, 1.0, 160, 100), (2, 1.0, 160, 100), (1.05, 1.0, 250, 160), (2, 0.1, 200, 120)],
)
def test_words_are_told_when_they_are_heard(
    speed: float, loud: float, p95_ms: float, early_ms: float
) -> None:
    voice, pace = ToyVoice(7, slow=1.1, loud=loud), Pace()
    errors = []
    for text in TEXTS * 3:
        pcm, starts = voice.say(text)
        aligner = Aligner([token.text for token in tokens(text)], RATE_HZ, pace)
        told = heard(aligner, pcm, speed)
        errors += [1000 * (at - start) for at, start in zip(told, starts, strict=True)]
    assert np.percentile(np.abs(errors), 95) <= p95_ms
    assert np.percentile(errors, 5) > -early_ms, "told before they were heard"


def test_a_pause_puts_the_words_right_again() -> None:
    """A number that is read digit by digit, where that was not expected, does not spoil what follows its comma."""
    voice = ToyVoice(11)
    text = "Your code is 48213, and the second part is on the card."
    as_read = text.replace("48213", "four eight two one three")
    pcm, starts = voice.say(as_read)
    starts = [*starts[:4], *starts[-8:]]  # the number is one token
    aligner = Aligner([token.text for token in tokens(text)], RATE_HZ, Pace())
    for chunk in chunks(pcm, 800):
        aligner.audio(chunk)
    aligner.done()
    errors = np.array([start / RATE_HZ for start, _ in aligner.words()]) - starts
    assert np.abs(errors[4:]).max() < 0.25


@pytest.mark.parametrize("slow", [0.8, 1.3])
def test_pace_is_learnt_from_one_sentence_for_the_next(slow: float) -> None:
    voice, pace = ToyVoice(5, slow), Pace()
    learnt = []
    for text in TEXTS[:5]:
        pcm, _ = voice.say(text)
        aligner = Aligner([token.text for token in tokens(text)], RATE_HZ, pace)
        aligner.audio(pcm)
        aligner.done()
        aligner.done()
        learnt.append(pace.seconds_per_unit)
    assert (learnt[0] > 1) == (slow > 1)
    assert (learnt[-1] > learnt[0]) == (slow > 1)


def test_pace_does_not_believe_what_no_voice_does() -> None:
    pace = Pace()
    pace.learn(0, 0)
    pace.learn(4, 20)
    pace.learn(4, 0.5)
    assert pace.seconds_per_unit == 1
    for _ in range(50):
        pace.learn(3, 4.5)
    assert pace.seconds_per_unit == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("Hello,", "hello"),
        ("don\u2019t", "don\u2019t"),
        ("$234.56", "two hundred thirty four dollars and fifty six cents"),
        ("$5", "five dollars"),
        ("1,250", "one thousand two hundred fifty"),
        ("0.75", "zero point seven five"),
        ("1967", "nineteen sixty seven"),
        ("2000", "two thousand"),
        ("1900", "nineteen hundred"),
        ("0142.", "zero one four two"),
        ("3:30pm.", "three thirty pee em"),
        ("9:05", "nine oh five"),
        ("12:00", "twelve"),
        ("22nd,", "twenty twoth"),
        ("50%", "fifty percent"),
        ("U.S.", "u s"),
        ("IBM", "eye bee em"),
        ("HTTP", "aych tee tee pee"),
        ("NASA", "nasa"),
        ("Dr.", "doctor"),
        ("a@b.com", "a at b com"),
        ("12345678901", "one two three four five six seven eight nine zero one"),
        ("\u0663", "three"),
        ("\u00b2nd", "\u00b2nd"),
        ("\u2014", ""),
    ],
)
def test_what_is_written_is_counted_as_it_is_said(token: str, words: str) -> None:
    assert spoken(token) == words.split()
