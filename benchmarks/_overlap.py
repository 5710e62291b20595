"""One call on virtual time in which something is heard over the bot: real session, real detector, real voices.

The far end hears the bot and, where it is given an echo path, sends it back with its own sound. The recogniser is a
stand-in that makes no mistakes: it gives the true words, each some time after it was said, as interim text, and
all of a segment as its final.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks._far_end import FRAME_S, FarEnd, Network
from benchmarks._known_voice import KnownVoice, Studio, place
from benchmarks._overlap_sounds import RATE_HZ, Samples, Sound
from media.frames import AudioFrame, Pcm
from media.g711 import ulaw_decode, ulaw_encode
from media.vad.silero import SileroVad
from pipeline.config import Engines, SessionConfig
from pipeline.events import BotFinished, BotInterrupted, BotWord, EndReason, Event, SpeechStarted, UserMessage
from pipeline.ports import SttCapabilities, SttEvent, SttFinal, SttOptions, SttPartial, SttStream
from pipeline.session import Session
from tests.fakes.loop import run_virtual

E = TypeVar("E")
TEXT = (
    "Your appointment with doctor Miller is on Thursday the fourteenth at half past three. "
    "Please bring your insurance card and arrive ten minutes early so that we can fill in the forms together. "
    "Is there anything else that I can do for you?"
)
LINE_NOISE_DB = -65.0
AFTER_S = 14.0
WAY_S = 0.05
"""From the far end to the recogniser."""


@dataclass(frozen=True, slots=True)
class EchoPath:
    """How the bot's voice comes back at the far end."""

    delay_ms: int
    gain_db: float
    room_ms: int = 0
    """Reverberation time."""
    clipped: bool = False
    """By an overdriven loudspeaker."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One call: the sound begins ``at_s`` after the bot was given its text."""

    seed: int
    voice: tuple[str, str]
    sound: Sound | None
    at_s: float
    noise_db: float = LINE_NOISE_DB
    echo: EchoPath | None = None
    lag_s: float = 0.25
    """Of the recogniser, behind each word."""
    config: SessionConfig = field(default_factory=SessionConfig)


@dataclass
class Outcome:
    """A call that is over."""

    plan: Plan
    onset_s: float = 0.0
    log: list[tuple[float, Event]] = field(default_factory=list)
    silenced_s: list[float] = field(default_factory=list)
    """When the far end was told to throw away what it had."""
    words_lost: int = 0
    """Of which more than 20 ms were never audible. Of a call that was not cut off it should be none."""
    words_twice: int = 0
    """That were audible twice. One that was cut in its middle and said again is none."""

    def of(self, kind: type[E]) -> list[tuple[float, E]]:
        return [(at, event) for at, event in self.log if isinstance(event, kind)]

    def named(self, name: str) -> list[tuple[float, Event]]:
        """Events of a name that this checkout may not have."""
        return [(at, event) for at, event in self.log if type(event).__name__ == name]

    @property
    def cut(self) -> bool:
        return any(event.reason in ("early", "user_spoke") for _, event in self.of(BotInterrupted))

    @property
    def paused(self) -> bool:
        return bool(self.named("BotPaused"))

    @property
    def finished(self) -> bool:
        return bool(self.of(BotFinished))

    @property
    def heard_as_user(self) -> list[str]:
        return [event.text for _, event in self.of(UserMessage)]

    @property
    def speech_started(self) -> bool:
        return bool(self.of(SpeechStarted))

    @property
    def silence_ms(self) -> float | None:
        """From the onset to the silence of the bot at the far end."""
        after = [at for at in self.silenced_s if at >= self.onset_s]
        return (after[0] - self.onset_s) * 1000 if after else None


def hold(plan: Plan, studio: Studio) -> Outcome:
    return run_virtual(_hold(plan, studio))


async def _hold(plan: Plan, studio: Studio) -> Outcome:
    loop = asyncio.get_running_loop()
    rng = np.random.default_rng(plan.seed)
    outcome = Outcome(plan)
    network = Network(stall_every_s=0.0, marks_lost=0.0, marks_repeated=0.0)
    far = _Caller(network, plan, rng)
    voice = KnownVoice(studio, plan.voice, rng, word_times=True, first_audio_s=0.15, speed=3.0)
    ear = _TrueEar(plan.lag_s)

    def emit(event: Event) -> None:
        outcome.log.append((loop.time(), event))
        if isinstance(event, BotWord) and plan.echo is not None:
            at = loop.time() + plan.echo.delay_ms / 1000
            ear.said.append((at, at + 0.25, event.word))

    numbers = itertools.count(1)
    session = Session(
        far, Engines(SileroVad(), ear, voice), plan.config, emit, lambda: f"{next(numbers):012d}{0:020d}"
    )
    far.listener = session
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run())
        await far.live(0.6)
        session.saying.reply("m1", TEXT, "")
        outcome.onset_s = loop.time() + plan.at_s
        if plan.sound is not None:
            ear.said.extend(
                (outcome.onset_s + start + WAY_S, outcome.onset_s + end + WAY_S, word)
                for start, end, word in plan.sound.words
            )
        await far.live(plan.at_s + AFTER_S, plan.at_s)
        outcome.silenced_s = list(far.playback.clears)
        session.end(EndReason.HANGUP, "the caller hung up")
        outcome.log.append((loop.time(), await running))
    _note_audible(outcome, far, voice)
    return outcome


def _note_audible(outcome: Outcome, far: FarEnd, voice: KnownVoice) -> None:
    place([(chunk.pcm, chunk.played, chunk.start_s) for chunk in far.playback.chunks], voice.sentences)
    for sentence in voice.sentences:
        times = np.zeros(len(sentence.pcm), np.int32)
        for first, end, _ in sentence.heard:
            times[first:end] += 1
        for start, end in sentence.words:
            word = times[start:end]
            outcome.words_lost += int((word == 0).sum() > RATE_HZ // 50)
            outcome.words_twice += int(len(word) > 0 and (word > 1).mean() > 0.9)


class _Caller(FarEnd):
    """A far end with a sound to make, noise on its line, and an echo."""

    def __init__(self, network: Network, plan: Plan, rng: np.random.Generator) -> None:
        super().__init__(network, plan.seed)
        self._plan = plan
        self._noise_rng = rng
        self._room = _room(plan.echo, rng) if plan.echo is not None else np.ones(1)

    async def live(self, seconds: float, sound_at_s: float | None = None) -> None:
        """Be on the line for so long, and make the sound so far into that time."""
        n = round(seconds / FRAME_S) * 160
        audio = self._noise_rng.standard_normal(n) * 10 ** (self._plan.noise_db / 20)
        if sound_at_s is not None and self._plan.sound is not None:
            at = round(sound_at_s * RATE_HZ)
            part = self._plan.sound.audio[: n - at]
            audio[at : at + len(part)] += part
        for start in range(0, n, 160):
            self._next += FRAME_S
            await asyncio.sleep(self._next - self._loop.time())
            if self.closed:
                return
            mixed = (audio[start : start + 160] + self._echo()) * 32768
            pcm = ulaw_decode(ulaw_encode(np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)))
            frame = AudioFrame(pcm, RATE_HZ, self._sent_frames * 160)
            self._sent_frames += 1
            self._up.push(lambda _, frame=frame: self._hand_over(frame), self._next)  # type: ignore[misc]

    def _echo(self) -> Samples:
        """Of the frame that ends now."""
        path = self._plan.echo
        if path is None:
            return np.zeros(160)
        before = len(self._room) - 1
        heard = self._audible(self._next - FRAME_S - path.delay_ms / 1000 - before / RATE_HZ, before + 160)
        if path.clipped:
            heard = np.tanh(heard * 12) / 12
        return np.convolve(heard, self._room, "valid")

    def _audible(self, from_s: float, samples: int) -> Samples:
        out = np.zeros(samples)
        for chunk in reversed(self.playback.chunks):
            if chunk.end_s < from_s:
                break
            at = round((chunk.start_s - from_s) * RATE_HZ)
            first, last = max(at, 0), min(at + chunk.played, samples)
            if last > first:
                out[first:last] = chunk.pcm[first - at : last - at] / 32768
        return out


def _room(path: EchoPath, rng: np.random.Generator) -> Samples:
    response: npt.NDArray[np.float64] = np.ones(1)
    if path.room_ms:
        n = path.room_ms * RATE_HZ // 1000
        response = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
        response *= 0.7 / np.sqrt((response**2).sum())
        response[0] = 1.0
        response /= np.sqrt((response**2).sum())
    return response * 10 ** (path.gain_db / 20)


class _TrueEar:
    """A recogniser that knows what is said, and when."""

    name = "true words"
    capabilities = SttCapabilities(partials=True, word_times=False, languages=())

    def __init__(self, lag_s: float) -> None:
        self.lag_s = lag_s
        self.said: list[tuple[float, float, str]] = []

    async def start(self) -> None: ...

    async def warm(self) -> None: ...

    async def aclose(self) -> None: ...

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
        return _TrueStream(self, on_event)


class _TrueStream:
    def __init__(self, ear: _TrueEar, on_event: Callable[[SttEvent], None]) -> None:
        self._ear = ear
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._segment = 0
        self._from = 0.0
        self._told = ""
        self._closed = False

    def begin(self, segment_id: int) -> None:
        self._segment = segment_id
        self._from = max(self._from, self._loop.time() - 0.5)
        self._told = ""

    def feed(self, pcm: Pcm) -> None:
        text = self._words(self._loop.time() - self._ear.lag_s)
        if text and text != self._told:
            self._told = text
            self._tell(SttPartial(self._segment, text, 0.8))

    def pause(self) -> None: ...

    def end(self) -> None:
        text = self._words(self._loop.time())
        self._from = self._loop.time()
        self._loop.call_later(self._ear.lag_s, self._tell, SttFinal(self._segment, text, 0.9))

    def _words(self, until: float) -> str:
        said = self._ear.said
        return " ".join(word for start, end, word in said if (start + end) / 2 > self._from and end <= until)

    def _tell(self, event: SttEvent) -> None:
        if not self._closed:
            self._on_event(event)

    async def aclose(self) -> None:
        self._closed = True
