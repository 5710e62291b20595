"""What every text-to-speech engine must do, whatever it is made of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import pytest_asyncio

from media.frames import Pcm
from pipeline.errors import ProviderError, ProviderUnavailable
from pipeline.ports import TextToSpeech, TtsAudio, TtsRequest, TtsWord
from pipeline.providers.espeak import EspeakTts
from pipeline.providers.flite import FliteTts
from pipeline.providers.openai import Endpoint, OpenAiTts
from pipeline.text import tokens
from tests.fakes.openai_endpoint import FOREVER, endpoint
from tests.fakes.openai_endpoint.voice import WORD_MS
from tests.fakes.tts import FakeTts

ENGINES: dict[str, Callable[[str], TextToSpeech]] = {
    "espeak": lambda _: EspeakTts(),
    "flite": lambda _: FliteTts(),
    "fake": lambda _: FakeTts(),
    "openai": lambda url: OpenAiTts(Endpoint(url, "sk-test")),
}
"""Made with the address of an endpoint, for those that lie behind a network."""
REMOTE = ("openai",)
"""What they sound like, which voices and languages they have and when they say a word is not ours to tell."""
RATE_HZ = 16000

TEXTS = [
    "Hello.",
    "Hello there, how are you today?",
    "It costs 234.56 dollars.",
    "We close at 3:30pm, or at 15:30.",
    "That is $5, \u20ac1,234.50 or 50% off.",
    "Use fruit, e.g. apples. I have been to the end of the road.",
    "I don't know, it's O'Neil's.",
    "A na\u00efve caf\u00e9 d\u00e9j\u00e0 vu.",
    "\u00a1Hola! \u00bfQu\u00e9 tal?",
    "See https://example.com/a?b=c&d=1 or mail me@example.com now.",
    "Well done \U0001f600 my friend \U0001f44d\U0001f3fd ok",
    "\U0001f600 hello",
    "One \u2014 two \u2013 three -- four \u2026 five",
    "- a list - of things",
    "\u201cQuoted,\u201d he said (twice).",
    "I met Dr. at noon; no. 5 is the 1st of 12,345,678.",
    "**bold** _text_ `code` <b>tag</b> [[h@lo]] &amp;",
    "call +1 (555) 123-4567 on 2026-11-20",
    "line one\nline two\n\nline three\ttabbed",
    "\u4f60\u597d means hello",
    "hello \u4f60\u597d",
    "\u4f60\u597d",
    "\x01 a \x00 b\x1b c",
    "x",
    "the the the of the the",
    "One sentence here. And a second one follows it. " * 8,
    "words without any end " * 40,
]
SILENT = ["", "   \n", "...", "\U0001f600", "- \u2014 !"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Spoken:
    pcm: Pcm = field(default_factory=lambda: np.zeros(0, np.int16))
    words: list[TtsWord] = field(default_factory=list)
    early: list[float] = field(default_factory=list)
    """How long before its audio each word was told, in seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    async with endpoint(key="sk-test", tts_speed=FOREVER) as served:
        yield served.base_url


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(ENGINES))
async def engine(request: pytest.FixtureRequest, url: str) -> AsyncIterator[TextToSpeech]:
    made = ENGINES[request.param](url)
    try:
        await made.start()
    except ProviderUnavailable as missing:
        pytest.skip(f"{request.param} is not installed here: {missing.cause}")
    yield made
    await made.aclose()


async def say(engine: TextToSpeech, text: str, rate_hz: int = RATE_HZ, speed: float = 1.0) -> Spoken:
    spoken = Spoken()
    samples = 0
    chunks: list[Pcm] = []
    async for event in engine.speak(TtsRequest(text, rate_hz, speed=speed)):
        if isinstance(event, TtsWord):
            spoken.words.append(event)
            spoken.early.append(event.start_s - samples / rate_hz)
        else:
            assert event.pcm.dtype == np.int16
            assert event.pcm.ndim == 1
            chunks.append(event.pcm)
            samples += len(event.pcm)
    spoken.pcm = np.concatenate([spoken.pcm, *chunks])
    return spoken


def words_of(engine: TextToSpeech, spoken: Spoken) -> int:
    """How many words were told; of an engine that tells none, how many fit the audio of the fixture's voice."""
    if engine.capabilities.word_times:
        return len(spoken.words)
    assert spoken.words == []
    return round(len(spoken.pcm) / RATE_HZ / (WORD_MS / 1000))


@pytest.mark.parametrize("text", TEXTS)
async def test_each_token_gets_one_word_in_order_and_in_time(engine: TextToSpeech, text: str) -> None:
    spoken = await say(engine, text)
    assert words_of(engine, spoken) == len(tokens(text))
    if engine.name in REMOTE:
        return
    assert engine.capabilities.word_times
    assert [word.index for word in spoken.words] == list(range(len(tokens(text))))
    assert all(word.start_s <= word.end_s for word in spoken.words)
    assert all(a.start_s <= b.start_s for a, b in itertools.pairwise(spoken.words))
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in itertools.pairwise(spoken.words)), "words overlap"
    assert spoken.words[0].start_s >= 0
    assert spoken.words[-1].end_s <= len(spoken.pcm) / RATE_HZ + 1e-6
    assert min(spoken.early) >= -1 / RATE_HZ, "a word came after audio that it lies in"


@pytest.mark.parametrize("text", SILENT)
async def test_a_text_without_words_has_none(engine: TextToSpeech, text: str) -> None:
    spoken = await say(engine, text)
    assert spoken.words == []
    assert engine.name not in REMOTE or not len(spoken.pcm)


@pytest.mark.parametrize("rate_hz", [8000, 24000, 48000])
async def test_the_audio_has_the_rate_of_the_request(engine: TextToSpeech, rate_hz: int) -> None:
    text = "Your appointment is on Monday."
    usual = await say(engine, text)
    other = await say(engine, text, rate_hz)
    assert len(other.pcm) / rate_hz == pytest.approx(len(usual.pcm) / RATE_HZ, rel=0.03)
    for a, b in zip(usual.words, other.words, strict=True):
        assert a.start_s == pytest.approx(b.start_s, abs=0.03)


async def test_speed(engine: TextToSpeech) -> None:
    text = "Please hold the line while I look that up for you."
    slow, usual, fast = [len((await say(engine, text, speed=speed)).pcm) for speed in (0.7, 1.0, 1.5)]
    assert usual * 1.25 < slow < usual * 1.7
    assert usual * 0.5 < fast < usual * 0.8


async def test_it_is_heard_and_does_not_clip(engine: TextToSpeech) -> None:
    if engine.name in REMOTE:
        pytest.skip("its level is the endpoint's")
    pcm = (await say(engine, "Please hold the line while I look that up for you.")).pcm / 32768
    frames = pcm[: len(pcm) // 320 * 320].reshape(-1, 320)
    rms = np.sqrt((frames**2).mean(axis=1))
    active = rms[rms > rms.max() * 0.03]
    level_db = 20 * np.log10(np.sqrt((active**2).mean()))
    assert -23 < level_db < -17
    assert np.abs(pcm).max() < 10 ** (-3 / 20)


async def test_requests_at_once_do_not_mix(engine: TextToSpeech) -> None:
    texts = ["word " * (1 + i) for i in range(12)]
    spoken = await asyncio.gather(*(say(engine, text) for text in texts))
    for i, one in enumerate(spoken):
        assert words_of(engine, one) == 1 + i
        assert [word.index for word in one.words] == list(range(len(one.words)))
    lengths = [len(one.pcm) for one in spoken]
    assert lengths == sorted(lengths)


async def test_closing_the_generator_ends_the_request_and_spares_the_others(engine: TextToSpeech) -> None:
    events = engine.speak(TtsRequest("word " * 50, RATE_HZ))
    other = asyncio.ensure_future(say(engine, "Hello there."))
    async for event in events:
        if isinstance(event, TtsAudio):
            break
    await events.aclose()
    assert words_of(engine, await other) == 2
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_a_cancelled_consumer_ends_the_request(engine: TextToSpeech) -> None:
    task = asyncio.ensure_future(say(engine, "word " * 100))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert words_of(engine, await say(engine, "Hello there.")) == 2


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (TtsRequest("Hello.", RATE_HZ, voice="nobody's"), "nobody's"),
        (TtsRequest("Hello.", RATE_HZ, language="xx-YY"), "xx-YY"),
    ],
)
async def test_what_is_not_there_is_refused(engine: TextToSpeech, request_: TtsRequest, named: str) -> None:
    if engine.name in REMOTE:
        request_ = TtsRequest("Hello.", RATE_HZ, model=named)  # its voices and languages are the endpoint's
    with pytest.raises(ProviderError) as caught:
        async for _ in engine.speak(request_):
            pass
    assert not caught.value.retryable
    assert caught.value.stage == "tts"
    assert named in caught.value.cause
    assert words_of(engine, await say(engine, "Hello there.")) == 2


async def test_its_life(engine: TextToSpeech, url: str) -> None:
    made = ENGINES[engine.name](url)
    assert made.name == engine.name
    with pytest.raises(ProviderError):
        await say(made, "Hello.")
    await made.start()
    await made.start()
    assert "en" in made.capabilities.languages or made.name in REMOTE
    assert words_of(made, await say(made, "Hello there.")) == 2
    await made.aclose()
    await made.aclose()
    with pytest.raises(ProviderError):
        await say(made, "Hello.")
