"""What the embedded recogniser understands, and when it believes an expected phrase.

``python -m benchmarks.recognition`` prints the tables of ``docs/recognition.md``: words right on recorded speech,
phrases found and phrases invented, the margin of the rule, and what the end of an utterance costs. It needs
the folder of recorded speech beside the checkout (or ``TALKWIRE_SPEECH_DIR``); the program ``flite`` adds four
synthetic speakers, the package ``espeakng-loader`` the bot's own voice. Nothing is written anywhere.

Each clip is heard three times: at 16 kHz, and at 8 kHz through G.711 over two telephone lines, an open one and one of
300 to 3400 Hz.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from media import g711, wav
from media.frames import Pcm
from media.resample import resample
from pipeline.ports import TtsAudio, TtsRequest
from pipeline.providers.espeak import EspeakTts
from pipeline.providers.pocketsphinx import agreement, model
from pipeline.providers.pocketsphinx.recogniser import OpenSearch, PhraseSearch, Reading
from pipeline.providers.pocketsphinx.segment import Segment
from pipeline.providers.pocketsphinx.wire import Begin

SPEECH = Path(os.environ.get("TALKWIRE_SPEECH_DIR") or Path(__file__).parents[2] / "shared" / "speech")
VOICES = ("kal16", "slt", "rms", "awb")
RATE_HZ = 16000
WIDE, OPEN, NARROW = AUDIO = ("16 kHz", "open line", "narrow line")

DEMO = (
    "hello|hi|good morning|how are you|what time is it|what day is it|what is the date|count to ten|"
    "count to twenty|repeat after me|spell banana|tell me a story|tell me a joke|what can you do|who are you|"
    "what is your name|help|thank you|thanks|yes|no|stop|wait a moment|go on|louder please|slower please|"
    "call me back|start over|what is the weather|read my messages|wrong number|talk to a human|goodbye|bye|"
    "bye bye|hang up"
).split("|")
MENU = (
    "sales|support|billing|opening hours|yes please|no thanks|maybe later|next|previous|repeat|cancel|confirm|"
    "one|two|three|four|five|six|seven|eight|nine|ten|monday|tuesday|wednesday|thursday|friday|saturday|"
    "sunday|today|tomorrow|tonight|in the morning|in the afternoon|pizza|coffee|tea|water|book a table|"
    "book a flight|check my balance|transfer money|lost card|new account|password|address|technical support|"
    "customer service|speak to an agent|main menu|go back|turn on the light|turn off the light|play music|"
    "stop the music|set an alarm|call mom|how much is it|where are you|when do you open|is it open|i need help|"
    "i am lost|not now|of course|all right|okay|sure|great|never mind|good night|see you later|"
    "see you tomorrow|take care|my order|track my order|return an item|refund|appointment|doctor|emergency|"
    "fire|police|left|right|up|down|start|pause|louder|quieter|more|less|red|green|blue|black|white|big|small|"
    "man|woman|home|work|school"
).split("|")
OTHER = (
    "good buy for the money|by the way|i will be back|what a fine day|hell no|yesterday|i know|"
    "the count of monte cristo|a story about a man|stop it right now|let us go home|my name is peter|"
    "it is raining again|we have no more bread|can you hear me now|maybe|why|pie|hey you|hi there|"
    "yes i would like to|no thank you very much|thanks a lot for your help|how do you do|what is it|"
    "what time does the train leave|tell me more|please repeat that|spell it|call the police|the human body|"
    "i do not want to say goodbye yet|my wife|fly|um|ah|so|well|good|good day|good afternoon|go|"
    "helping hands|stop light|wait for me|hang on|banana|story|time|book a table for two people|"
    "the quick brown fox jumps over the lazy dog|i would like to order a large pizza with cheese"
).split("|")
BOT = (
    "Hello, this is the demo agent. You can ask me for the time.|I can count, spell, repeat and tell stories.|"
    "Say goodbye when you want to hang up.|Goodbye, it was nice to talk to you.|Are you still there?|"
    "Once upon a time there was a small robot who lived by the sea.|"
    "One, two, three, four, five, six, seven, eight, nine, ten.|"
    "I did not understand that. Could you say it again?"
).split("|")
SHORT_S = 7.5
"""Recordings up to this length are also taken as phrases."""


class Clip(NamedTuple):
    name: str
    kind: str
    """``human``, ``cut``, ``noise``, a voice of flite, or ``espeak``."""
    pcm: Pcm
    """At 16 kHz."""
    said: str
    """Empty where it is nothing that anybody would write down."""
    phrases: tuple[tuple[str, tuple[str, ...]], ...]
    """The sets that it is heard against, by name."""


@dataclass(frozen=True)
class Result:
    clip: str
    kind: str
    audio: str
    length_s: float
    set_name: str
    said: str
    expected: bool
    """What was said is a phrase of the set."""
    open_text: str
    words: tuple[tuple[str, float], ...]
    phrase: str
    """The phrase that the grammar offers, believed or not."""
    evidence: agreement.Evidence | None
    end_ms: float

    @property
    def believed(self) -> bool:
        return self.evidence is not None and agreement.judge(self.evidence) is agreement.Judgement.BELIEVED

    @property
    def found(self) -> bool:
        return same(self.phrase if self.believed else self.open_text, self.said)

    @property
    def invented(self) -> bool:
        """A phrase was believed that was not said."""
        return self.believed and not same(self.phrase, self.said) and not self._sounds_like_it()

    def _sounds_like_it(self) -> bool:
        """The phrase has the very sounds of what was said, or is a part of it that was cut out whole."""
        if self.kind == "cut":
            return f" {self.phrase} " in f" {self.said} "
        lookup = model.load().lookup
        return [lookup(w) for w in self.said.split()] == [lookup(w) for w in self.phrase.split()]


def same(a: str, b: str) -> bool:
    return [w for w in a.lower().split() if w] == b.lower().split()


# --- the clips --------------------------------------------------------------------------------------------


def recordings() -> list[tuple[str, Pcm, str]]:
    found = []
    for entry in json.loads((SPEECH / "manifest.json").read_text()):
        pcm, rate_hz = wav.read(SPEECH / entry["file"])
        pcm = resample(pcm, rate_hz, RATE_HZ)[: 20 * RATE_HZ]
        found.append((Path(entry["file"]).stem, pcm, entry["transcript"]))
    return found


def human_clips() -> Iterator[Clip]:
    """The recordings: against phrases that nobody says in them, against their own transcripts too, and against
    all of that without the right one."""
    clips = recordings()
    short = [said for _, pcm, said in clips if len(pcm) <= SHORT_S * RATE_HZ]
    for name, pcm, said in clips:
        sets = [("demo", tuple(DEMO)), ("menu", tuple(MENU)), ("own", (*DEMO, *short))]
        if said in short:
            sets.append(("others", (*DEMO, *(s for s in short if s != said))))
        yield Clip(name, "human", pcm, said, tuple(sets))


def cuts(seed: int, count: int) -> Iterator[Clip]:
    """Pieces cut out of the recordings anywhere, mostly inside words."""
    rng = np.random.default_rng(seed)
    clips = recordings()
    for number in range(count):
        name, pcm, said = clips[rng.integers(len(clips))]
        length = int(rng.choice((0.3, 0.45, 0.6, 0.8, 1.0, 1.5)) * RATE_HZ)
        if len(pcm) > length:
            at = int(rng.integers(len(pcm) - length))
            sets = (("demo", tuple(DEMO)), ("menu", tuple(MENU)))
            yield Clip(f"{name}+{at}#{number}", "cut", pcm[at : at + length], said, sets)


def noises(seed: int) -> Iterator[Clip]:
    rng = np.random.default_rng(seed)
    made: list[tuple[str, npt.NDArray[np.float64]]] = []
    for length_s in (0.35, 0.6, 1.0, 2.0, 4.0):
        n = int(length_s * RATE_HZ)
        t = np.arange(n) / RATE_HZ
        for level in (5, 50, 400, 3000):
            made += [(f"white {level}", rng.normal(0, level, n)), (f"pink {level}", level * _pink(n, rng))]
        made.append(("silence", np.zeros(n)))
        made += [(f"tone {hz}", 5000 * np.sin(2 * np.pi * hz * t)) for hz in (200, 440, 1000, 2500)]
        made += [
            (f"keys {a}+{b}", 4000 * (np.sin(2 * np.pi * a * t) + np.sin(2 * np.pi * b * t)))
            for a, b in ((770, 1336), (440, 480), (941, 1209))
        ]
        clicks = rng.normal(0, 20, n)
        for at in rng.integers(0, n - 200, max(2, int(length_s * 4))):
            clicks[at : at + 160] += rng.normal(0, 9000, 160) * np.exp(-np.arange(160) / 30)
        breath = rng.normal(0, 20, n)
        for at in rng.integers(0, n - 4000, max(1, int(length_s * 1.5))):
            breath[at : at + 4000] += 3000 * _pink(4000, rng) * np.hanning(4000)
        pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
        harmonics: npt.NDArray[np.float64] = (
            np.sin(np.outer(np.arange(1, 25), pitch)) / np.arange(1, 25)[:, None]
        )
        hum = 3000 * harmonics.sum(axis=0)
        made += [("clicks", clicks), ("breath", breath), ("hum", hum)]
        made.append(("cough", rng.normal(0, 6000, n) * np.exp(-t / 0.12)))
    voices = [pcm.astype(np.float64) for _, pcm, _ in recordings()]
    for number in range(40):
        n = int(rng.choice((0.5, 0.8, 1.2, 2.0, 3.0)) * RATE_HZ)
        mixed = np.zeros(n)
        for _ in range(int(rng.choice((3, 5, 7)))):
            voice = voices[rng.integers(len(voices))]
            at = int(rng.integers(max(1, len(voice) - n)))
            mixed[: len(voice[at : at + n])] += voice[at : at + n]
        made.append((f"babble {number}", 0.5 * mixed))
    sets = (("demo", tuple(DEMO)), ("menu", tuple(MENU)))
    for name, samples in made:
        yield Clip(name, "noise", _pcm(samples), "", sets)


def synthetic(seed: int) -> Iterator[Clip]:
    """Phrases, and sentences that are none, by the voices of flite and the bot's own."""
    rng = np.random.default_rng(seed)
    demo, menu = ("demo", tuple(DEMO)), ("menu", tuple(MENU))
    both = (demo, menu)
    if shutil.which("flite"):
        for voice in VOICES:
            texts = [(t, (demo,)) for t in DEMO] + [(t, both) for t in OTHER]
            if voice in VOICES[:2]:
                texts += [(t, (menu,)) for t in MENU]
            for text, sets in texts:
                yield Clip(text, voice, _padded(flite(text, voice), rng), text, sets)
    texts = [(t, (demo,)) for t in DEMO] + [(t, both) for t in (*OTHER, *BOT)]
    for (text, sets), pcm in zip(texts, asyncio.run(espeak([t for t, _ in texts])), strict=True):
        yield Clip(text, "espeak", _padded(pcm, rng), text, sets)


def flite(text: str, voice: str) -> Pcm:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        pcm, rate_hz = wav.read(path)
    return resample(pcm, rate_hz, RATE_HZ)


async def espeak(texts: Sequence[str]) -> list[Pcm]:
    engine = EspeakTts()
    await engine.start()
    try:
        spoken = []
        for text in texts:
            audio = [e.pcm async for e in engine.speak(TtsRequest(text, RATE_HZ)) if isinstance(e, TtsAudio)]
            spoken.append(np.concatenate(audio))
        return spoken
    finally:
        await engine.aclose()


def _padded(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """A breath before and after, as a voice detector cuts, on a quiet line."""
    whole = np.concatenate((np.zeros(RATE_HZ // 4), pcm.astype(np.float64), np.zeros(3 * RATE_HZ // 10)))
    return _pcm(whole + rng.normal(0, 8, len(whole)))


def _pink(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    spectrum = np.fft.rfft(rng.normal(size=n))
    samples = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), n)
    return np.asarray(samples / samples.std())


def _pcm(samples: npt.NDArray[np.float64]) -> Pcm:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def over_the_phone(pcm: Pcm, line: str) -> Pcm:
    """At 8 kHz, through mu-law and back; ``line`` says over which line."""
    narrow = resample(pcm, RATE_HZ, 8000).astype(np.float64)
    if line == OPEN:
        return g711.ulaw_decode(g711.ulaw_encode(_pcm(narrow)))
    k = np.arange(255) - 127
    band = (0.85 * np.sinc(0.85 * k) - 0.075 * np.sinc(0.075 * k)) * np.hamming(255)
    return g711.ulaw_decode(g711.ulaw_encode(_pcm(np.convolve(narrow, band, "same"))))


# --- hearing ----------------------------------------------------------------------------------------------


class _Witness(Segment):
    """A segment that is asked about several sets of phrases, and tells what it knew when it decided."""

    evidence: agreement.Evidence | None = None
    phrase = ""

    def considered(self, phrase: str, seen: agreement.Evidence) -> None:
        self.phrase, self.evidence = phrase, seen

    def settle(self) -> tuple[Reading, model.Mean | None]:
        return self._finish()

    def ask(self, phrases: tuple[str, ...], heard: tuple[Reading, model.Mean | None]) -> None:
        self._phrases, self.phrase, self.evidence = phrases, "", None
        self._phrase(*heard)


_engines: list[tuple[OpenSearch, PhraseSearch]] = []


def hear(job: tuple[Clip, str]) -> list[Result]:
    clip, audio = job
    if not _engines:
        loaded = model.load()
        _engines.append((OpenSearch(loaded), PhraseSearch(loaded)))
    words, search = _engines[0]
    rate_hz = RATE_HZ if audio == WIDE else 8000
    pcm = clip.pcm if audio == WIDE else over_the_phone(clip.pcm, audio)
    segment = _Witness(Begin(1, rate_hz, (), None), words, search)
    for at in range(0, len(pcm), rate_hz // 50):
        segment.feed(pcm[at : at + rate_hz // 50])
    began = time.perf_counter()
    heard = segment.settle()
    settled_ms = 1000 * (time.perf_counter() - began)
    results = []
    for set_name, phrases in clip.phrases:
        search.prepare(phrases)
        began = time.perf_counter()
        segment.ask(phrases, heard)
        end_ms = settled_ms + 1000 * (time.perf_counter() - began)
        expected = any(same(clip.said, phrase) for phrase in phrases)
        posteriors = tuple((word.word, word.probability) for word in heard[0].words)
        results.append(
            Result(
                clip.name,
                clip.kind,
                audio,
                len(clip.pcm) / RATE_HZ,
                set_name,
                clip.said,
                expected,
                heard[0].text,
                posteriors,
                segment.phrase,
                segment.evidence,
                end_ms,
            )
        )
    return results


# --- the tables -------------------------------------------------------------------------------------------


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    row = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        before, row = row, [i]
        for j, b in enumerate(heard, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")


def words_table(results: Sequence[Result]) -> None:
    rows = []
    for audio in AUDIO:
        heard = [r for r in results if r.kind == "human" and r.audio == audio and r.set_name == "demo"]
        short = [r for r in heard if len(r.said.split()) <= 9]
        cells: list[object] = [audio]
        for group in (heard, short):
            wrong = sum(edits(r.said.split(), r.open_text.split()) for r in group)
            cells.append(f"{100 * wrong / sum(len(r.said.split()) for r in group):.0f} % of {len(group)}")
        cells.append(f"{sum(same(r.open_text, r.said) for r in short)}/{len(short)}")
        rows.append(cells)
    head = ("audio", "words wrong, all recordings", "words wrong, up to 9 words", "all right")
    table("The open search on human speech", head, rows)


def phrases_table(results: Sequence[Result]) -> None:
    rows = []
    for kind in ("human", *VOICES, "espeak"):
        for audio in AUDIO:
            group = [r for r in results if r.kind == kind and r.audio == audio and r.expected]
            if group:
                best = sum(same(r.phrase, r.said) for r in group)
                alone = sum(same(r.open_text, r.said) for r in group)
                rows.append(
                    (
                        kind,
                        audio,
                        len(group),
                        alone,
                        best,
                        sum(r.found for r in group),
                    )
                )
    head = ("speaker", "audio", "phrases said", "open search alone", "grammar offers it", "both, by the rule")
    table("Phrases that were said, and found", head, rows)


def inventions_table(results: Sequence[Result]) -> None:
    rows = []
    for kinds in (("human",), ("cut",), ("noise",), VOICES, ("espeak",)):
        for audio in AUDIO:
            group = [r for r in results if r.kind in kinds and r.audio == audio and not r.expected]
            if group:
                name = "flite" if kinds == VOICES else kinds[0]
                offered = sum(r.evidence is not None for r in group)
                false = [r for r in group if r.invented]
                already = sum(same(r.phrase, r.open_text) for r in false)
                rows.append((name, audio, len(group), offered, len(false), already))
    head = (
        "what was heard",
        "audio",
        "heard",
        "grammar offers a phrase",
        "believed",
        "of these, open text is it too",
    )
    table("Phrases that nobody said", head, rows)
    for r in (r for r in results if not r.expected and r.invented):
        print(f"- {r.kind} {r.audio} {r.clip!r} ({r.set_name}): {r.open_text!r} -> {r.phrase!r}")


def margin_table(results: Sequence[Result]) -> None:
    """The rule with all its limits moved together."""
    kept = agreement.LIMITS
    rows = []
    for similarity, nats in ((0.1, -0.2), (0.05, -0.1), (0.0, 0.0), (-0.05, 0.1), (-0.1, 0.2), (-0.15, 0.4)):
        agreement.LIMITS = tuple(
            replace(
                limit,
                alike=limit.alike + similarity,
                related=limit.related + similarity,
                worse=limit.worse + nats,
            )
            for limit in kept
        )
        said = [r for r in results if r.expected and same(r.phrase, r.said)]
        found = sum(r.believed for r in said)
        false = [r for r in results if not r.expected and r.invented]
        new = [r for r in false if not same(r.phrase, r.open_text)]
        rows.append((f"{similarity:+.2f}", f"{nats:+.1f}", found, len(false), len(new)))
    agreement.LIMITS = kept
    table(
        "The margin: all limits moved together",
        (
            "similarity",
            "nats a frame",
            "right phrases believed",
            "wrong ones",
            "of these, open text is another",
        ),
        rows,
    )


def calibration_table(results: Sequence[Result]) -> None:
    counted: Counter[tuple[int, bool]] = Counter()
    for r in results:
        if r.kind == "human" and r.set_name == "demo":
            left = Counter(r.said.split())
            for word, probability in r.words:
                right = left[word] > 0
                left[word] -= right
                counted[min(4, int(probability * 5)), right] += 1
    rows = [
        (f"{b / 5:.1f} to {b / 5 + 0.2:.1f}", counted[b, True] + counted[b, False],
         f"{counted[b, True] / max(1, counted[b, True] + counted[b, False]):.2f}")
        for b in range(5)
    ]  # fmt: skip
    table(
        "What the posterior of a word says (human speech, all kinds of audio)",
        ("posterior", "words", "right"),
        rows,
    )


def cost_table(results: Sequence[Result]) -> None:
    rows = []
    for name, least_s, most_s in (("up to 3 s", 0, 3), ("3 to 8 s", 3, 8), ("longer", 8, 60)):
        for audio in AUDIO:
            length = [r for r in results if least_s < r.length_s <= most_s and r.audio == audio]
            ends = [r.end_ms for r in length if r.kind not in ("noise", "cut")]
            if ends:
                middle, late = np.percentile(ends, (50, 95))
                rows.append((name, audio, len(ends), f"{middle:.0f} ms", f"{late:.0f} ms"))
    head = ("speech", "audio", "utterances", "p50", "p95")
    table("From the end of an utterance to its text, in the worker", head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the noises and cuts")
    parser.add_argument("--quick", action="store_true", help="recordings and noises only")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    clips = [*human_clips(), *cuts(arguments.seed, 60 if arguments.quick else 150), *noises(arguments.seed)]
    if not arguments.quick:
        clips += synthetic(arguments.seed)
    jobs = [(clip, audio) for clip in clips for audio in AUDIO]
    with ProcessPoolExecutor(arguments.processes) as pool:
        results = [result for heard in pool.map(hear, jobs, chunksize=16) for result in heard]
    print(f"{len(clips)} clips, {len(jobs)} hearings, {len(results)} verdicts")
    for show in (words_table, phrases_table, inventions_table, margin_table, calibration_table, cost_table):
        show(results)


if __name__ == "__main__":
    main()
