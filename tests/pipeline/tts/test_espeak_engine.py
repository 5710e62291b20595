"""espeak-ng itself, in its worker: word times, silence at the ends, voices, death."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from pipeline.errors import ProviderError
from pipeline.ports import TtsRequest
from pipeline.providers.espeak import EspeakTts
from pipeline.synthesis.shaping import TAIL_MS
from tests.pipeline.tts.listening import RATE_HZ, maps, pitch_hz, say, sounds

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[EspeakTts]:
    made = EspeakTts()
    await made.start()
    yield made
    await made.aclose()


async def test_words_are_where_the_sound_is(engine: EspeakTts) -> None:
    pcm, words = await say(engine, TtsRequest("One, two, seven, nine, eleven, done.", RATE_HZ))
    heard = sounds(pcm)
    assert len(heard) == len(words)
    for word, (start_s, end_s) in zip(words, heard, strict=True):
        assert word.start_s == pytest.approx(start_s, abs=0.05)
        assert word.end_s == pytest.approx(end_s, abs=0.08)


async def test_a_word_does_not_last_into_the_pause(engine: EspeakTts) -> None:
    _, words = await say(engine, TtsRequest("Yes. But why?", RATE_HZ))
    assert words[1].start_s - words[0].end_s > 0.15


async def test_the_ends_of_a_request(engine: EspeakTts) -> None:
    for text in ("Hello.", "So it is", "Pst!", "One moment, please \u2014"):
        pcm, words = await say(engine, TtsRequest(text, RATE_HZ))
        loud = np.flatnonzero(np.abs(pcm) > 100)
        assert loud[0] <= 0.012 * RATE_HZ
        assert len(pcm) - loud[-1] == pytest.approx(TAIL_MS / 1000 * RATE_HZ, abs=0.02 * RATE_HZ)
        assert words[0].start_s < 0.02
        assert words[-1].end_s <= (loud[-1] + 0.03 * RATE_HZ) / RATE_HZ


async def test_a_number_takes_the_time_that_it_takes_to_say(engine: EspeakTts) -> None:
    _, words = await say(engine, TtsRequest("It costs 234.56 dollars at 3:30pm now", RATE_HZ))
    lasts = [word.end_s - word.start_s for word in words]
    assert lasts[2] > 1.5  # two hundred and thirty-four point five six
    assert lasts[5] > 0.6  # three thirty p m
    assert max(lasts[i] for i in (0, 1, 3, 4, 6)) < 0.6


async def test_languages_and_voices(engine: EspeakTts) -> None:
    languages = engine.capabilities.languages
    assert {"en", "es", "fr", "pt", "de", "it", "zh", "no"} <= set(languages)
    assert "fo" not in languages, "espeak lists Faroese, but comes without its dictionary"
    assert {"en-US", "f3", "Annie"} <= set(engine.voices)
    english, _ = await say(engine, TtsRequest("99", RATE_HZ))
    french, _ = await say(
        engine, TtsRequest("99", RATE_HZ, language="fr-FR")
    )  # four times twenty and nineteen
    named, _ = await say(engine, TtsRequest("99", RATE_HZ, voice="fr"))
    assert len(french) > 1.08 * len(english)
    assert len(named) == pytest.approx(len(french), rel=0.05)
    man, _ = await say(engine, TtsRequest("Ah", RATE_HZ))
    woman, _ = await say(engine, TtsRequest("Ah", RATE_HZ, voice="en-us+f3"))
    assert pitch_hz(woman) > 1.3 * pitch_hz(man)


async def test_emoji_are_not_read_out(engine: EspeakTts) -> None:
    plain, _ = await say(engine, TtsRequest("Well done my friend", RATE_HZ))
    happy, _ = await say(engine, TtsRequest("Well done \U0001f600 my friend \U0001f44d", RATE_HZ))
    assert len(happy) == pytest.approx(len(plain), rel=0.1)


async def test_commands_to_espeak_are_text(engine: EspeakTts) -> None:
    plain, _ = await say(engine, TtsRequest("hello there", RATE_HZ))
    after, _ = await say(engine, TtsRequest("\x01450S hello there", RATE_HZ))
    assert len(after) > len(plain)
    again, _ = await say(engine, TtsRequest("hello there", RATE_HZ))
    assert len(again) == pytest.approx(len(plain), rel=0.02)


async def test_a_cancel_leaves_no_trace_in_the_next_request(engine: EspeakTts) -> None:
    request = TtsRequest("Hello there, my friend.", RATE_HZ)
    before, _ = await say(engine, request)
    events = engine.speak(TtsRequest("word " * 60, RATE_HZ, language="de", voice="f3", speed=2.0))
    await anext(events)
    await events.aclose()
    after, words = await say(engine, request)
    assert len(after) == pytest.approx(len(before), rel=0.01)
    assert len(words) == 4


async def test_it_survives_the_death_of_its_worker(engine: EspeakTts) -> None:
    assert engine.worker_pid is not None
    os.kill(engine.worker_pid, signal.SIGKILL)
    pcm, words = await say(engine, TtsRequest("Hello there.", RATE_HZ))
    assert len(words) == 2
    assert len(pcm) > RATE_HZ / 2


async def test_refusals_name_what_there_is(engine: EspeakTts) -> None:
    with pytest.raises(ProviderError, match=r"en-us\+f3"):
        await say(engine, TtsRequest("Hello.", RATE_HZ, voice="en-us+nobody"))
    with pytest.raises(ProviderError, match="there are af, am, an"):
        await say(engine, TtsRequest("Hello.", RATE_HZ, language="tlh"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_library_is_loaded_in_the_worker_only(engine: EspeakTts) -> None:
    assert engine.worker_pid is not None
    assert "libespeak-ng" in maps(engine.worker_pid)
    assert "libespeak-ng" not in maps()
