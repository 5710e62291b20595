"""What every recogniser behind the port must do; engines differ in what they understand, not in manners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
import pytest_asyncio

from media.frames import Pcm
from pipeline.ports import (
    SpeechToText,
    SttEvent,
    SttFailed,
    SttFinal,
    SttOptions,
    SttStream,
)
from pipeline.providers.openai import Endpoint, OpenAiStt
from pipeline.providers.openai.stt import DEFAULT_MODEL
from pipeline.providers.pocketsphinx import PocketsphinxStt
from tests.fakes.openai_endpoint import endpoint
from tests.fakes.stt import FakeStt, Hears

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE_HZ = 8000
FACTORIES: dict[str, Callable[[str], SpeechToText]] = {
    "fake": lambda _: FakeStt(otherwise=Hears("one two three", partials=("one", "one two"))),
    "pocketsphinx": lambda _: PocketsphinxStt(workers=2),
    "openai": lambda url: OpenAiStt(Endpoint(url, "sk-test"), partials_ms=500),
}
"""Made with the address of an endpoint, for those that lie behind a network."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    async with endpoint(key="sk-test", stt_models=(DEFAULT_MODEL,), stt_ms=5, token_ms=1) as served:
        yield served.base_url


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=sorted(FACTORIES))
async def engine(request: pytest.FixtureRequest, url: str) -> AsyncIterator[SpeechToText]:
    made = FACTORIES[request.param](url)
    await made.start()
    yield made
    await made.aclose()


def voice(duration_s: float = 0.8, rate_hz: int = RATE_HZ) -> Pcm:
    """Something with the spectrum of vowels: a recogniser has to make of it what it can."""
    t = np.arange(int(duration_s * rate_hz)) / rate_hz
    pitch = 2 * np.pi * np.cumsum(110 + 25 * np.sin(2 * np.pi * 1.3 * t)) / rate_hz
    formant = 500 + 250 * np.sin(2 * np.pi * 2.1 * t)
    tone = sum(np.exp(-(((k * 110 - formant) / 250) ** 2)) * np.sin(k * pitch) for k in range(1, 20))
    return np.asarray(6000 * tone * (0.4 + 0.6 * np.abs(np.sin(2 * np.pi * 2 * t))), dtype=np.int16)


class Ear:
    """A stream and what it said."""

    def __init__(self, engine: SpeechToText, options: SttOptions | None = None) -> None:
        self.events: list[SttEvent] = []
        self._changed = asyncio.Event()
        self.inside = False
        self.stream: SttStream = engine.open(options or SttOptions(RATE_HZ), self._on_event)

    def _on_event(self, event: SttEvent) -> None:
        assert not self.inside, "an event came from within begin, feed or end"
        assert asyncio.get_running_loop() is not None
        self.events.append(event)
        self._changed.set()

    def say(self, segment_id: int, pcm: Pcm, *, end: bool = True) -> None:
        self.inside = True
        self.stream.begin(segment_id)
        for at in range(0, len(pcm), RATE_HZ // 50):
            self.stream.feed(pcm[at : at + RATE_HZ // 50])
        if end:
            self.stream.end()
        self.inside = False

    @property
    def outcomes(self) -> list[SttFinal | SttFailed]:
        return [e for e in self.events if isinstance(e, SttFinal | SttFailed)]

    async def outcome(self, count: int = 1) -> list[SttFinal | SttFailed]:
        """Wait until so many segments are over."""
        async with asyncio.timeout(30):
            while len(self.outcomes) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.outcomes


async def test_a_segment_has_one_final_and_its_partials_come_before(engine: SpeechToText) -> None:
    ear = Ear(engine)
    ear.say(7, voice(1.5))
    await ear.outcome()
    ear.say(8, voice())
    await ear.outcome(2)
    assert [e.segment_id for e in ear.outcomes] == [7, 8]
    assert all(isinstance(e, SttFinal) for e in ear.outcomes)
    ids = [e.segment_id for e in ear.events]
    assert ids == sorted(ids)
    assert ear.events.index(ear.outcomes[0]) == ids.count(7) - 1
    await ear.stream.aclose()


async def test_finals_come_in_the_order_of_the_segments(engine: SpeechToText) -> None:
    ear = Ear(engine)
    for segment_id, length_s in enumerate((1.6, 0.4, 0.8)):
        ear.say(segment_id, voice(length_s))
    assert [e.segment_id for e in await ear.outcome(3)] == [0, 1, 2]
    await ear.stream.aclose()


async def test_words_have_times_within_the_segment(engine: SpeechToText) -> None:
    ear = Ear(engine)
    ear.say(1, voice(2.0))
    final = (await ear.outcome())[0]
    assert isinstance(final, SttFinal)
    assert 0 <= final.confidence <= 1
    if engine.capabilities.word_times:
        assert " ".join(w.word for w in final.words) == final.text
        times = [t for w in final.words for t in (w.start_s, w.end_s)]
        assert times == sorted(times)
        assert all(0 <= t <= 2.05 for t in times)
        assert all(0 <= w.confidence <= 1 for w in final.words)
    await ear.stream.aclose()


async def test_a_segment_without_audio_still_has_its_outcome(engine: SpeechToText) -> None:
    ear = Ear(engine)
    ear.say(1, voice(0.0))
    ear.say(2, np.zeros(5, np.int16))
    assert [e.segment_id for e in await ear.outcome(2)] == [1, 2]
    await ear.stream.aclose()


async def test_silence_is_understood_as_nothing(engine: SpeechToText) -> None:
    if engine.name == "fake":
        pytest.skip("the fake hears what it was told to")
    ear = Ear(engine)
    ear.say(1, np.zeros(RATE_HZ, np.int16))
    final = (await ear.outcome())[0]
    assert final == SttFinal(1, "", 0.0, ())
    await ear.stream.aclose()


async def test_pauses_do_not_add_to_the_outcome(engine: SpeechToText) -> None:
    ear = Ear(engine)
    ear.say(1, voice(), end=False)
    ear.inside = True
    ear.stream.pause()
    ear.stream.pause()
    ear.inside = False
    await asyncio.sleep(0.05)
    ear.inside = True
    ear.stream.feed(voice(0.6))
    ear.stream.pause()
    ear.stream.end()
    ear.inside = False
    ear.say(2, voice())
    assert [e.segment_id for e in await ear.outcome(2)] == [1, 2]
    await ear.stream.aclose()


async def test_calls_do_not_hear_each_other(engine: SpeechToText) -> None:
    ears = [Ear(engine) for _ in range(5)]
    for number, ear in enumerate(ears):
        ear.say(100 + number, voice(0.5))
    for number, ear in enumerate(ears):
        assert [e.segment_id for e in await ear.outcome()] == [100 + number]
        assert {e.segment_id for e in ear.events} == {100 + number}
        await ear.stream.aclose()


async def test_a_listener_that_raises_harms_only_itself(engine: SpeechToText) -> None:
    if engine.name == "fake":
        pytest.skip("in a fake the fault should reach the test")

    def broken(event: SttEvent) -> None:
        raise RuntimeError("not my day")

    stream = engine.open(SttOptions(RATE_HZ), broken)
    stream.begin(1)
    stream.feed(voice())
    stream.end()
    ear = Ear(engine)
    ear.say(2, voice())
    assert len(await ear.outcome()) == 1
    await ear.stream.aclose()
    await stream.aclose()


async def test_nothing_comes_after_the_close(engine: SpeechToText) -> None:
    ear = Ear(engine)
    ear.say(1, voice())
    ear.say(2, voice(), end=False)
    before = list(ear.events)
    await ear.stream.aclose()
    await ear.stream.aclose()
    other = Ear(engine)
    other.say(1, voice())
    await other.outcome()  # by now the former would have been done
    assert ear.events == before
    await other.stream.aclose()


async def test_a_closed_stream_ignores_what_comes_late(engine: SpeechToText) -> None:
    ear = Ear(engine)
    await ear.stream.aclose()
    ear.stream.begin(1)
    ear.stream.feed(voice())
    ear.stream.end()
    ear.stream.end()
    await asyncio.sleep(0)
    assert ear.events == []


async def test_segments_do_not_nest(engine: SpeechToText) -> None:
    ear = Ear(engine)
    with pytest.raises(RuntimeError):
        ear.stream.feed(voice())
    with pytest.raises(RuntimeError):
        ear.stream.end()
    ear.stream.begin(1)
    with pytest.raises(RuntimeError):
        ear.stream.begin(2)
    ear.stream.end()
    assert [e.segment_id for e in await ear.outcome()] == [1]
    await ear.stream.aclose()


async def test_audio_of_another_kind_is_refused(engine: SpeechToText) -> None:
    ear = Ear(engine)
    ear.stream.begin(1)
    with pytest.raises(ValueError, match="16-bit"):
        ear.stream.feed(np.zeros(100, np.float32))
    await ear.stream.aclose()


async def test_options_that_it_does_not_take_are_refused(engine: SpeechToText) -> None:
    # An endpoint takes the usual rates, and finds out itself whether it knows the language.
    wrong_hz = 4000 if engine.name == "openai" else 44100
    with pytest.raises(ValueError, match=str(wrong_hz)):
        engine.open(SttOptions(wrong_hz), lambda event: None)
    assert engine.capabilities.languages or engine.name == "openai"
    if engine.capabilities.languages:
        with pytest.raises(ValueError, match="fr"):
            engine.open(SttOptions(RATE_HZ, language="fr"), lambda event: None)
    for language in ("en", "en-US"):
        await engine.open(SttOptions(RATE_HZ, language=language), lambda event: None).aclose()


@pytest.mark.parametrize("name", sorted(FACTORIES))
async def test_the_life_of_an_engine(name: str, url: str) -> None:
    engine = FACTORIES[name](url)
    with pytest.raises(RuntimeError, match="started"):
        engine.open(SttOptions(RATE_HZ), lambda event: None)
    await engine.start()
    ear = Ear(engine)
    ear.say(1, voice())
    events = list(ear.events)
    await engine.aclose()
    await engine.aclose()
    await asyncio.sleep(0)
    assert ear.events == events
