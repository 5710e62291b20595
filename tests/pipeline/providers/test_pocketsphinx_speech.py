"""The recogniser with its model: recorded people, real workers, and workers that die."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from media import g711, wav
from media.frames import Pcm
from media.resample import resample
from pipeline.ports import SttEvent, SttFailed, SttFinal, SttOptions, SttPartial
from pipeline.providers.pocketsphinx import PocketsphinxStt

pytestmark = [pytest.mark.speech, pytest.mark.asyncio(loop_scope="module")]

SPEECH = Path(
    os.environ.get("TALKWIRE_SPEECH_DIR") or Path(__file__).resolve().parents[4] / "shared" / "speech"
)
FAREWELLS = ("goodbye", "bye", "bye bye", "good bye")
DEMO = ("hello", "hi", "what time is it", "count to ten", "repeat after me", "spell banana", "tell me a story",
        "what can you do", "how are you", "thank you", "yes", "no", "stop", "help", *FAREWELLS)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[PocketsphinxStt]:
    made = PocketsphinxStt(workers=2)
    await made.start()
    yield made
    await made.aclose()


def manifest() -> dict[str, str]:
    if not (SPEECH / "manifest.json").exists():
        return {}
    return {e["file"]: e["transcript"] for e in json.loads((SPEECH / "manifest.json").read_text())}


async def recording(name: str, rate_hz: int = 16000) -> Pcm:
    if name not in MANIFEST:
        pytest.skip(f"the recording {name} is not here: it belongs into {SPEECH}")
    return await asyncio.to_thread(read, SPEECH / name, rate_hz)


def read(path: Path, rate_hz: int) -> Pcm:
    pcm, original_hz = wav.read(path)
    pcm = resample(pcm, original_hz, rate_hz)
    return g711.ulaw_decode(g711.ulaw_encode(pcm)) if rate_hz == 8000 else pcm


MANIFEST = manifest()


class Ear:
    def __init__(self, engine: PocketsphinxStt, rate_hz: int = 16000, phrases: tuple[str, ...] = ()) -> None:
        self.rate_hz = rate_hz
        self.events: list[SttEvent] = []
        self._changed = asyncio.Event()
        self.stream = engine.open(SttOptions(rate_hz, phrases=phrases), self._on_event)
        self.count = 0

    def _on_event(self, event: SttEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def feed(self, pcm: Pcm) -> None:
        for at in range(0, len(pcm), self.rate_hz // 50):
            self.stream.feed(pcm[at : at + self.rate_hz // 50])
            await asyncio.sleep(0)

    async def until(self, kind: type[SttEvent], count: int) -> None:
        async with asyncio.timeout(60):
            while sum(isinstance(e, kind | SttFailed) for e in self.events) < count:
                self._changed.clear()
                await self._changed.wait()

    async def hear(self, pcm: Pcm) -> SttFinal:
        self.count += 1
        self.stream.begin(self.count)
        await self.feed(pcm)
        self.stream.end()
        await self.until(SttFinal, self.count)
        final = self.events[-1]
        assert isinstance(final, SttFinal)
        return final


def workers() -> set[int]:
    return {p.pid for p in multiprocessing.active_children() if p.name == "talkwire-stt" and p.pid}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("df_book_a_room.wav", "book a room"),
        ("df_two_people.wav", "two people"),
        ("goforward.wav", "go forward ten meters"),
        ("cards_001.wav", "ten of clubs"),
        ("az_weather.wav", "what's the weather like"),
        ("gcp_brooklyn.wav", "how old is the brooklyn bridge"),
    ],
)
async def test_people_are_understood(engine: PocketsphinxStt, name: str, said: str) -> None:
    pcm = await recording(name)
    ear = Ear(engine)
    final = await ear.hear(pcm)
    assert final.text == said
    assert final.confidence > 0.3
    assert [w.word for w in final.words] == said.split()
    times = [t for w in final.words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert times[-1] <= len(pcm) / 16000 + 0.05
    assert times[-1] - times[0] > 0.4 * len(pcm) / 16000


async def test_partials_grow_into_the_final(engine: PocketsphinxStt) -> None:
    ear = Ear(engine)
    ear.stream.begin(1)
    pcm = await recording("goforward.wav")
    for number, piece in enumerate(np.array_split(pcm, 3)):
        await ear.feed(piece)
        # With all the audio at once there would be nothing to tell before the final.
        await ear.until(SttPartial, number + 1)
    ear.stream.end()
    await ear.until(SttFinal, 1)
    texts = [e.text for e in ear.events if isinstance(e, SttPartial)]
    assert len(texts) >= 3
    assert texts == [t for i, t in enumerate(texts) if i == 0 or t != texts[i - 1]]
    assert any("go forward".startswith(t) or t.startswith("go for") for t in texts)


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("df_book_a_room.wav", "Book a room!"),
        ("az_weather.wav", "What's the weather like?"),
        ("gcp_brooklyn.wav", "How old is the Brooklyn Bridge?"),
        ("cards_004.wav", "5 5"),
    ],
)
async def test_a_hint_makes_a_phrase_understood_over_the_telephone(
    engine: PocketsphinxStt, name: str, phrase: str
) -> None:
    ear = Ear(engine, 8000, (*DEMO, phrase))
    final = await ear.hear(await recording(name, 8000))
    assert final.text == phrase
    assert [w.word for w in final.words] == phrase.split()


@pytest.mark.parametrize(
    ("name", "rate_hz"),
    # Each at one of both rates: they are the most expensive tests there are.
    list(zip(sorted(MANIFEST) or ["manifest.json"], cycle((16000, 8000)), strict=False)),
)
async def test_no_recording_says_goodbye(engine: PocketsphinxStt, name: str, rate_hz: int) -> None:
    pcm = (await recording(name, rate_hz))[: 5 * rate_hz]
    final = await Ear(engine, rate_hz, DEMO).hear(pcm)
    assert final.text not in DEMO
    assert not {"goodbye", "bye"} & set(final.text.split())


async def test_noise_is_no_phrase(engine: PocketsphinxStt) -> None:
    rng = np.random.default_rng(3)
    t = np.arange(12000) / 16000
    ear = Ear(engine, 16000, DEMO)
    for noise in (
        np.zeros(12000),
        rng.normal(0, 30, 12000),
        rng.normal(0, 3000, 12000),
        rng.normal(0, 6000, 12000) * np.exp(-t / 0.1),
        5000 * np.sin(2 * np.pi * 440 * t),
    ):
        final = await ear.hear(noise.astype(np.int16))
        assert final.text not in DEMO


async def test_after_digital_silence_speech_is_understood(engine: PocketsphinxStt) -> None:
    # The cepstral mean of digital silence is not a number: it must not be carried to the next segment.
    ear = Ear(engine)
    assert (await ear.hear(np.zeros(16000, np.int16))).text == ""
    assert (await ear.hear(await recording("df_book_a_room.wav"))).text == "book a room"


async def test_a_caller_far_from_the_microphone_is_understood(engine: PocketsphinxStt) -> None:
    quiet = ((await recording("df_book_a_room.wav")) // 12).astype(np.int16)
    assert (await Ear(engine).hear(quiet)).text == "book a room"


async def test_phrases_that_cannot_be_said_are_reported_and_the_others_work(
    engine: PocketsphinxStt, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear(engine, 16000, ("\u65e5\u672c", "Zorblatt", "Book a room"))
    with caplog.at_level(logging.WARNING):
        assert (await ear.hear(await recording("df_book_a_room.wav"))).text == "Book a room"
    assert any("\u65e5\u672c" in record.getMessage() for record in caplog.records)


async def test_many_sets_of_phrases_do_not_wear_a_worker_out(engine: PocketsphinxStt) -> None:
    pcm = await recording("df_two_people.wav")
    for number in range(24):
        ear = Ear(engine, 16000, (f"Zorblatt{'x' * number}", "Two people"))
        assert (await ear.hear(pcm)).text == "Two people"
        await ear.stream.aclose()


async def test_calls_at_once_are_all_understood() -> None:
    engine = PocketsphinxStt(workers=2, queue_s=60.0)
    await engine.start()
    said = {
        "df_book_a_room.wav": "book a room",
        "df_two_people.wav": "two people",
        "cards_001.wav": "ten of clubs",
    }
    ears = [(Ear(engine), await recording(name), text) for name, text in said.items() for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        tasks = [(group.create_task(ear.hear(pcm)), text) for ear, pcm, text in ears]
    assert [task.result().text for task, _ in tasks] == [text for _, text in tasks]
    await engine.aclose()


async def test_a_worker_killed_in_the_middle_of_a_word_loses_nothing(engine: PocketsphinxStt) -> None:
    pcm = await recording("goforward.wav")
    before = workers()
    ear = Ear(engine, 16000, ("Go forward ten meters",))
    ear.stream.begin(1)
    await ear.feed(pcm[: len(pcm) // 2])
    await ear.until(SttPartial, 1)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await ear.feed(pcm[len(pcm) // 2 :])
    ear.stream.end()
    await ear.until(SttFinal, 1)
    final = ear.events[-1]
    assert isinstance(final, SttFinal)
    assert final.text == "Go forward ten meters"
    assert not before & workers()


async def test_workers_outlive_the_interrupt_of_the_terminal(engine: PocketsphinxStt) -> None:
    pcm = await recording("df_two_people.wav")
    ear = Ear(engine)
    await ear.hear(pcm)
    before = workers()
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert (await ear.hear(pcm)).text == "two people"
    assert workers() == before
