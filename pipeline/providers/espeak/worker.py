"""The process in which espeak-ng runs."""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np

from media.frames import Pcm
from pipeline.providers.espeak.alignment import Aligner
from pipeline.providers.espeak.binding import EVENT_PHONEME, EVENT_WORD, Event, Library, OnChunk
from pipeline.providers.espeak.voices import Entry, Voices
from pipeline.synthesis.wire import Ready, Speak
from pipeline.synthesis.worker import EngineMissing, Outlet, Refused, serve
from pipeline.workers import WorkerSocket

WORDS_PER_MINUTE = 170
GAIN_DB = 0.0
"""espeak's own level is -20 dBFS already, within 2 dB over its languages."""

# Control characters are commands to espeak. Pictographs it would read out by name ("grinning face").
_UNSPOKEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\u200b\u2060\ufeff"
    "\u20e3\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f]"
)


def spoken(text: str) -> str:
    """The text as espeak shall read it: of the same length, so that places stay what they are."""
    return _UNSPOKEN.sub(" ", text)


class EspeakLibrary(Protocol):
    """What ``Library`` is to this module."""

    sample_rate_hz: int

    def voices(self) -> list[Entry]: ...

    def variants(self) -> list[str]: ...

    def speak(self, text: str, voice: str, words_per_minute: int, on_chunk: OnChunk) -> None: ...


class Espeak:
    """The loaded engine."""

    def __init__(self, library: EspeakLibrary) -> None:
        self._library = library
        self._voices = Voices(library.voices(), library.variants())

    @property
    def sample_rate_hz(self) -> int:
        return self._library.sample_rate_hz

    @property
    def ready(self) -> Ready:
        return Ready(self._voices.languages, self._voices.names)

    def speak(self, request: Speak, out: Outlet) -> None:
        try:
            voice = self._voices.find(request.language, request.voice)
        except ValueError as error:
            raise Refused(str(error)) from error
        out.open(self._library.sample_rate_hz, GAIN_DB)
        utterance = _Utterance(request.text, out)
        rate = round(WORDS_PER_MINUTE * request.speed)
        self._library.speak(spoken(request.text), voice, rate, utterance.on_chunk)
        utterance.finish()


class _Utterance:
    """One synthesis on its way: audio waits here until the words that lie in it are known."""

    def __init__(self, text: str, out: Outlet) -> None:
        self._out = out
        self._aligner = Aligner(text)
        self._held: list[Pcm] = []
        self._made = 0
        self._released = 0
        self._cancelled = False

    def on_chunk(self, events: list[Event], pcm: Pcm) -> bool:
        for event in events:
            if event.type == EVENT_WORD:
                self._out.words(self._aligner.word(event.text_position - 1, event.sample))
            elif event.type == EVENT_PHONEME:
                self._aligner.phoneme(bool(event.id.string), event.sample)
        self._held.append(pcm)
        self._made += len(pcm)
        self._release()
        self._cancelled = not self._out.wanted()
        return not self._cancelled

    def finish(self) -> None:
        if self._cancelled:
            return
        self._out.words(self._aligner.finish(self._made))
        self._release()
        self._out.finish()

    def _release(self) -> None:
        ready = min(self._aligner.horizon, self._made) - self._released
        if ready <= 0:
            return
        held = np.concatenate(self._held)
        self._held = [held[ready:]]
        self._released += ready
        self._out.audio(held[:ready])


def _load() -> Espeak:
    try:
        import espeakng_loader

        library = Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineMissing(f"pip install espeakng-loader ({error})") from error
    # Reads the English dictionary in, which the first caller would else wait for.
    library.speak("ready", "en-us", WORDS_PER_MINUTE, lambda _events, _pcm: True)
    return Espeak(library)


def main(sock: WorkerSocket) -> None:
    serve(sock, _load)
