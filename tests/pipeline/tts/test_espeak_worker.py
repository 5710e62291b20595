"""The worker's own code over a library that plays back a script: what is asked of espeak, and when it stops."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.ports import TtsAudio, TtsWord
from pipeline.providers.espeak.binding import EVENT_PHONEME, EVENT_WORD, Event, OnChunk
from pipeline.providers.espeak.voices import Entry
from pipeline.providers.espeak.worker import Espeak
from pipeline.synthesis.wire import Cancel, FromWorker, Speak, encode_order
from pipeline.synthesis.worker import Outlet, Refused
from pipeline.workers import WorkerSocket
from tests.pipeline.tts.listening import deliver, reports

RATE_HZ = 22050
CHUNK = np.full(RATE_HZ // 10, 3000, np.int16)


class ScriptedLibrary:
    """Speaks one word in each chunk of 100 ms."""

    sample_rate_hz = RATE_HZ

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.chunks = 0

    def voices(self) -> list[Entry]:
        return [Entry("en-US", ((2, "en-us"),)), Entry("es", ((5, "es"),))]

    def variants(self) -> list[str]:
        return ["f3"]

    def speak(self, text: str, voice: str, words_per_minute: int, on_chunk: OnChunk) -> None:
        self.asked.append((text, voice, words_per_minute))
        place = 1
        for word in text.split():
            at = self.chunks * len(CHUNK)
            events = [Event(type=EVENT_WORD, text_position=place, sample=at)]
            events.append(Event(type=EVENT_PHONEME, sample=at))
            events[-1].id.string = b"a"
            self.chunks += 1
            if not on_chunk(events, CHUNK):
                return
            place += len(word) + 1


@pytest.fixture
def sockets() -> Iterator[tuple[WorkerSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield WorkerSocket(theirs), ours


def speak(
    library: ScriptedLibrary, request: Speak, sockets: tuple[WorkerSocket, socket.socket]
) -> list[FromWorker]:
    worker, server = sockets
    Espeak(library).speak(request, Outlet(worker, request))
    return reports(server)


def test_a_request_is_spoken_with_its_voice_and_rate(
    sockets: tuple[WorkerSocket, socket.socket],
) -> None:
    library = ScriptedLibrary()
    given = speak(library, Speak(1, "one two", RATE_HZ, "es", "f3", 2.0), sockets)
    assert library.asked == [("one two", "es+f3", 340)]
    assert [report for report in given if isinstance(report, TtsWord)] == [
        TtsWord(0, 0.0, 0.1),
        TtsWord(1, 0.1, 0.2),
    ]
    # The first word goes out before the second is over, with its own audio and no more.
    assert isinstance(given[1], TtsAudio)
    assert len(given[1].pcm) == len(CHUNK)
    assert sum(len(r.pcm) for r in given if isinstance(r, TtsAudio)) == 2 * len(CHUNK) + RATE_HZ * 180 // 1000


def test_a_cancel_stops_the_library_at_the_next_chunk(
    sockets: tuple[WorkerSocket, socket.socket],
) -> None:
    library = ScriptedLibrary()
    deliver(sockets[1], encode_order(Cancel(1)))
    assert speak(library, Speak(1, "one two three", RATE_HZ, "en", None, 1.0), sockets) == []
    assert library.chunks == 1


def test_a_cancel_of_another_request_stops_nothing(
    sockets: tuple[WorkerSocket, socket.socket],
) -> None:
    library = ScriptedLibrary()
    deliver(sockets[1], encode_order(Cancel(7)))
    given = speak(library, Speak(8, "one two three", RATE_HZ, "en", None, 1.0), sockets)
    assert sum(isinstance(report, TtsWord) for report in given) == 3


def test_a_server_that_is_gone_stops_the_library(sockets: tuple[WorkerSocket, socket.socket]) -> None:
    library = ScriptedLibrary()
    worker, server = sockets
    server.shutdown(socket.SHUT_WR)
    request = Speak(1, "one two three", RATE_HZ, "en", None, 1.0)
    Espeak(library).speak(request, Outlet(worker, request))
    assert library.chunks == 1


def test_a_refusal_does_not_reach_the_library(sockets: tuple[WorkerSocket, socket.socket]) -> None:
    library = ScriptedLibrary()
    with pytest.raises(Refused):
        speak(library, Speak(1, "one", RATE_HZ, "en", "nobody", 1.0), sockets)
    assert library.asked == []
