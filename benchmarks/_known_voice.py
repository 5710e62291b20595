"""Voices whose words are known to the sample, also where the call is not told.

The project's own engines speak once and for all calls; a call on virtual time is given their audio at the pace
of a provider. Each sample of it is marked by a whisper of noise, so that what comes out at the far end can be told
from anything else that was ever said.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np

from media.frames import Pcm
from media.g711 import ulaw_decode, ulaw_encode
from pipeline.errors import ProviderUnavailable
from pipeline.ports import TextToSpeech, TtsAudio, TtsCapabilities, TtsEvent, TtsRequest, TtsWord
from pipeline.providers.espeak import EspeakTts
from pipeline.providers.flite import FliteTts

RATE_HZ = 8000
CHUNK_S = 0.1
WHISPER = np.array((-3, -2, -1, 1, 2, 3), np.int32)
VOICES = (
    ("flite", "slt"),
    ("flite", "rms"),
    ("flite", "awb"),
    ("flite", "kal16"),
    ("espeak", "en-us"),
    ("espeak", "en-gb+f3"),
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text as a voice says it."""

    pcm: Pcm
    words: tuple[tuple[float, float], ...]
    """Beginning and end of each token, in seconds."""


class Studio:
    """Has the engines speak, on a loop of its own: for a call on virtual time that takes no time at all."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._engines: dict[str, TextToSpeech] = {}
        self._said: dict[tuple[str, str, str], Utterance] = {}
        self.voices: list[tuple[str, str]] = []
        """Engine and voice."""

    def __enter__(self) -> Studio:
        self._thread.start()
        for name, engine in (("flite", FliteTts()), ("espeak", EspeakTts())):
            try:
                asyncio.run_coroutine_threadsafe(engine.start(), self._loop).result()
            except ProviderUnavailable as error:
                print(f"without {name}: {error.cause}")
            else:
                self._engines[name] = engine
        self.voices = [voice for voice in VOICES if voice[0] in self._engines]
        return self

    def __exit__(self, *exc: object) -> None:
        for engine in self._engines.values():
            asyncio.run_coroutine_threadsafe(engine.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def say(self, engine: str, voice: str, text: str) -> Utterance:
        """Blocks. Raises ``ProviderError``."""
        key = (engine, voice, text)
        if key not in self._said:
            made = asyncio.run_coroutine_threadsafe(self._speak(engine, voice, text), self._loop)
            self._said[key] = made.result()
        return self._said[key]

    async def _speak(self, engine: str, voice: str, text: str) -> Utterance:
        request = TtsRequest(text, RATE_HZ, voice=voice)
        audio: list[Pcm] = []
        words: list[tuple[float, float]] = []
        async for event in self._engines[engine].speak(request):
            if isinstance(event, TtsWord):
                words.append((event.start_s, event.end_s))
            else:
                audio.append(event.pcm)
        return Utterance(np.concatenate(audio), tuple(words))


@dataclass(slots=True)
class Sentence:
    """One request of a call, as far as its audio was given."""

    text: str
    pcm: Pcm
    words: tuple[tuple[int, int], ...]
    """In samples of it."""
    given: int = 0
    heard: list[tuple[int, int, float]] = field(default_factory=list)
    """What was audible of it: first sample, behind the last one, and when the first was."""
    arrived: int | None = None
    """The piece of audio at the far end that brought its first sample, heard or not."""
    arrived_last: int = -1
    """The same of its last sample so far."""

    def note(self, piece: int, first: int, heard: int, at: float) -> None:
        """This piece brought audio of it from this sample on, and so many of its samples were heard."""
        if self.arrived is None:
            self.arrived = piece
        self.arrived_last = piece
        if heard > 0:
            self.heard.append((first, first + heard, at))

    def instant_of(self, sample: int) -> float | None:
        """When it was first audible; None: never."""
        instants = [at + (sample - first) / RATE_HZ for first, end, at in self.heard if first <= sample < end]
        return min(instants, default=None)

    def begun(self, index: int) -> bool:
        """A sample of this word was audible, or all that lies before it."""
        start, end = self.words[index]
        end = max(end, start + 1)
        return any(first < end and start <= behind for first, behind, _ in self.heard)

    def audible(self) -> int:
        """Samples of it that were; what was said twice counts twice."""
        return sum(end - first for first, end, _ in self.heard)


class KnownVoice:
    """A ``Voice`` for one call."""

    def __init__(
        self,
        studio: Studio,
        voice: tuple[str, str],
        rng: np.random.Generator,
        *,
        word_times: bool,
        first_audio_s: float,
        speed: float,
        mulaw: bool = False,
    ) -> None:
        """``speed``: seconds of audio that come in a second, after the first piece. ``mulaw``: its samples are
        among those that mu-law has, so that they come out of a phone line as they were."""
        self._studio = studio
        self._voice = voice
        self._rng = rng
        self._word_times = word_times
        self._first_audio_s = first_audio_s
        self._speed = speed
        self._mulaw = mulaw
        self.sentences: list[Sentence] = []

    @property
    def name(self) -> str:
        return " ".join(self._voice)

    @property
    def capabilities(self) -> TtsCapabilities:
        return TtsCapabilities(word_times=self._word_times, languages=("en",))

    async def warm(self) -> None: ...

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        said = self._studio.say(*self._voice, request.text)
        whisper = self._rng.choice(WHISPER, len(said.pcm)) * (8 if self._mulaw else 1)
        pcm = np.clip(said.pcm.astype(np.int32) + whisper, -32000, 32000).astype(np.int16)
        if self._mulaw:
            pcm = ulaw_decode(ulaw_encode(pcm))
        words = tuple((round(start * RATE_HZ), round(end * RATE_HZ)) for start, end in said.words)
        sentence = Sentence(request.text, pcm, words)
        self.sentences.append(sentence)
        await asyncio.sleep(self._first_audio_s)
        told = 0
        size = round(CHUNK_S * RATE_HZ)
        for start in range(0, len(pcm), size):
            if start:
                await asyncio.sleep(CHUNK_S / self._speed)
            piece = pcm[start : start + size]
            while self._word_times and told < len(words) and words[told][0] < start + len(piece):
                yield TtsWord(told, *said.words[told])
                told += 1
            sentence.given = start + len(piece)
            yield TtsAudio(piece)
        while self._word_times and told < len(words):
            yield TtsWord(told, *said.words[told])
            told += 1


def place(pieces: list[tuple[Pcm, int, float]], sentences: list[Sentence]) -> int:
    """Find what was played in what was said, and note in each sentence when it was heard.

    ``pieces`` are audio as it was received, the number of its samples that were played, and when the first was.
    Returns the samples that belong to no sentence and are no silence.
    """
    if not pieces or not sentences:
        return 0
    stream = np.concatenate([pcm for pcm, _, _ in pieces])
    ends = np.cumsum([len(pcm) for pcm, _, _ in pieces]).tolist()
    finder = _Finder(sentences)
    unknown = lost = done = number = 0
    at: tuple[Sentence, int] | None = None
    while done < len(stream):
        while ends[number] <= done:
            number, lost = number + 1, 0
        rest = stream[done : ends[number]]
        same = _same(rest, at[0].pcm[at[1] :]) if at else 0
        if at is None or not same:
            silent = int(np.argmax(rest != 0)) if rest.any() else len(rest)
            if silent == len(rest) or silent > SILENT:
                at, done = None, done + silent
                continue
            at = finder.find(stream[done : done + NEEDED])
            if at is None:
                unknown, lost, done = unknown + 1, lost + 1, done + 1
                continue
            if lost and at[1] >= lost:
                # It was faded in: it is what lies before the place that was found.
                unknown, done, at = unknown - lost, done - lost, (at[0], at[1] - lost)
                rest = stream[done : ends[number]]
            same = lost + _same(rest[lost:], at[0].pcm[at[1] + lost :])
        lost = 0
        sentence, first = at
        pcm, played, start_s = pieces[number]
        into = done - (ends[number] - len(pcm))
        sentence.note(number, first, min(same, played - into), start_s + into / RATE_HZ)
        at, done = (sentence, first + same), done + same
    return unknown


NEEDED = 24
"""Samples by which a place is told from all others."""
SILENT = 4
"""More zeros than this in a row are the silence that fills a frame."""


def _same(one: Pcm, other: Pcm) -> int:
    """Samples from the first on that are the same."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


class _Finder:
    def __init__(self, sentences: list[Sentence]) -> None:
        self._sentences = [(sentence, sentence.pcm.tobytes()) for sentence in sentences]

    def find(self, pcm: Pcm) -> tuple[Sentence, int] | None:
        wanted = pcm.tobytes()
        for sentence, data in self._sentences:
            at = data.find(wanted)
            while at >= 0 and at % 2:
                at = data.find(wanted, at + 1)
            if at >= 0:
                return sentence, at // 2
        return None
