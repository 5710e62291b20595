"""The process in which flite runs."""

from __future__ import annotations

from typing import Protocol

from media.frames import Pcm
from pipeline.providers.flite.alignment import Alignment
from pipeline.providers.flite.binding import Library, OnChunk, OnWords
from pipeline.synthesis.wire import Ready, Speak
from pipeline.synthesis.worker import EngineMissing, Outlet, Refused, serve
from pipeline.workers import WorkerSocket

SAMPLE_RATE_HZ = 16000
"""Of all its voices."""
LEVELS = {"kal16": (6.7, 100), "slt": (-5.7, 250), "rms": (0.3, 150), "awb": (-1.5, 200)}
"""The gain in dB that brings each voice to -20 dBFS while it speaks, and its noise floor (slt and rms breathe
out audibly), measured over four sentences."""


class FliteLibrary(Protocol):
    """What ``Library`` is to this module."""

    @property
    def voices(self) -> tuple[str, ...]: ...

    def speak(self, text: str, voice: str, stretch: float, on_words: OnWords, on_chunk: OnChunk) -> None: ...


class Flite:
    """The loaded engine."""

    def __init__(self, library: FliteLibrary) -> None:
        self._library = library

    @property
    def sample_rate_hz(self) -> int:
        return SAMPLE_RATE_HZ

    @property
    def ready(self) -> Ready:
        return Ready(("en",), self._library.voices)

    def speak(self, request: Speak, out: Outlet) -> None:
        if request.language.lower().replace("_", "-").partition("-")[0] != "en":
            raise Refused(f"no language {request.language!r}; flite speaks en only")
        voice = request.voice or ""
        if voice not in self._library.voices:
            raise Refused(f"no voice {voice!r}; use one of {', '.join(self._library.voices)}")
        out.open(SAMPLE_RATE_HZ, *LEVELS[voice])
        alignment = Alignment(request.text)
        told = False
        cancelled = False

        def on_words(spoken: list[tuple[str, float, float]]) -> None:
            nonlocal told
            told = True
            places = [(n, round(a * SAMPLE_RATE_HZ), round(b * SAMPLE_RATE_HZ)) for n, a, b in spoken]
            out.words(alignment.spans(places))

        def on_chunk(pcm: Pcm, _rate_hz: int) -> bool:
            nonlocal cancelled
            out.audio(pcm)
            cancelled = not out.wanted()
            return not cancelled

        if alignment.text.strip():
            self._library.speak(alignment.text, voice, 1 / request.speed, on_words, on_chunk)
        if cancelled:
            return
        if not told:
            out.words(alignment.spans([]))
        out.finish()


def _load() -> Flite:
    try:
        library = Library()
    except OSError as error:
        raise EngineMissing(f"apt-get install flite ({error})") from error
    if not library.voices:
        raise EngineMissing("apt-get install flite (libflite is here, but none of its voices)")
    return Flite(library)


def main(sock: WorkerSocket) -> None:
    serve(sock, _load)
