"""The worker's own code over a library that plays back a script: what is asked of flite, and when it stops."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.ports import TtsAudio, TtsWord
from pipeline.providers.flite.binding import OnChunk, OnWords
from pipeline.providers.flite.worker import SAMPLE_RATE_HZ, Flite
from pipeline.synthesis.wire import Cancel, Ready, Speak, encode_order
from pipeline.synthesis.worker import Outlet, Refused
from pipeline.workers import WorkerSocket
from tests.pipeline.tts.listening import deliver, reports

CHUNK = np.full(SAMPLE_RATE_HZ // 10, 3000, np.int16)


class ScriptedLibrary:
    """Speaks for a second, in chunks of 100 ms, whatever the text; each of its words takes 0.2 s."""

    voices = ("slt",)

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, float]] = []
        self.chunks = 0

    def speak(self, text: str, voice: str, stretch: float, on_words: OnWords, on_chunk: OnChunk) -> None:
        self.asked.append((text, voice, stretch))
        on_words([(word, 0.2 * i, 0.2 * i + 0.1) for i, word in enumerate(text.split())])
        for _ in range(10):
            self.chunks += 1
            if not on_chunk(CHUNK, SAMPLE_RATE_HZ):
                return


@pytest.fixture
def sockets() -> Iterator[tuple[WorkerSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WorkerSocket(theirs), ours


def request(text: str, voice: str = "slt", language: str = "en-GB", speed: float = 1.0) -> Speak:
    return Speak(1, text, SAMPLE_RATE_HZ, language, voice, speed)


def test_a_request_is_spoken(sockets: tuple[WorkerSocket, socket.socket]) -> None:
    library = ScriptedLibrary()
    engine = Flite(library)
    assert engine.ready == Ready(("en",), ("slt",))
    asked = request("un caf\u00e9 \u597d", speed=2.0)
    engine.speak(asked, Outlet(sockets[0], asked))
    assert library.asked == [("un cafe ", "slt", 0.5)]
    given = reports(sockets[1])
    assert given[:3] == [TtsWord(0, 0.0, 0.1), TtsWord(1, 0.2, 0.3), TtsWord(2, 0.3, 0.3)]
    assert isinstance(given[3], TtsAudio)


def test_a_text_without_a_sound_does_not_reach_the_library(
    sockets: tuple[WorkerSocket, socket.socket],
) -> None:
    library = ScriptedLibrary()
    asked = request("\u4f60 \u597d")
    Flite(library).speak(asked, Outlet(sockets[0], asked))
    assert library.asked == []
    assert reports(sockets[1]) == [TtsWord(0, 0.0, 0.0), TtsWord(1, 0.0, 0.0)]


def test_a_cancel_stops_the_library_at_the_next_chunk(
    sockets: tuple[WorkerSocket, socket.socket],
) -> None:
    library = ScriptedLibrary()
    deliver(sockets[1], encode_order(Cancel(1)))
    asked = request("one two")
    Flite(library).speak(asked, Outlet(sockets[0], asked))
    assert library.chunks == 1


@pytest.mark.parametrize("asked", [request("one", voice="nobody"), request("uno", language="es")])
def test_a_refusal_does_not_reach_the_library(
    sockets: tuple[WorkerSocket, socket.socket], asked: Speak
) -> None:
    library = ScriptedLibrary()
    with pytest.raises(Refused):
        Flite(library).speak(asked, Outlet(sockets[0], asked))
    assert library.asked == []
