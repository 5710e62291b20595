"""flite itself, in its worker, where it is installed; and what its absence says."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from pipeline.errors import ProviderError, ProviderUnavailable
from pipeline.ports import TtsRequest
from pipeline.providers.flite import FliteTts, binding, worker
from pipeline.synthesis.shaping import TAIL_MS
from pipeline.synthesis.worker import EngineMissing
from tests.pipeline.tts.listening import RATE_HZ, maps, say, sounds

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[FliteTts]:
    made = FliteTts()
    try:
        await made.start()
    except ProviderUnavailable as missing:
        pytest.skip(f"flite is not installed here: {missing.cause}")
    yield made
    await made.aclose()


@pytest.mark.parametrize("voice", binding.VOICES)
async def test_words_are_where_the_sound_is(engine: FliteTts, voice: str) -> None:
    pcm, words = await say(engine, TtsRequest("Nine; nine; nine; nine; nine.", RATE_HZ, voice=voice))
    heard = sounds(pcm, gap_s=0.05)
    assert len(heard) == len(words)
    for word, (start_s, end_s) in zip(words, heard, strict=True):
        assert word.start_s == pytest.approx(start_s, abs=0.02)
        assert word.end_s == pytest.approx(end_s, abs=0.06)


@pytest.mark.parametrize("voice", binding.VOICES)
async def test_level_and_ends_of_each_voice(engine: FliteTts, voice: str) -> None:
    text = "Your appointment is on Monday at half past three."
    pcm, words = await say(engine, TtsRequest(text, RATE_HZ, voice=voice))
    frames = pcm[: len(pcm) // 320 * 320].reshape(-1, 320) / 32768
    rms = np.sqrt((frames**2).mean(axis=1))
    active = rms[rms > rms.max() * 0.03]
    assert 20 * np.log10(np.sqrt((active**2).mean())) == pytest.approx(-20, abs=2)
    assert np.abs(pcm / 32768).max() < 10 ** (-3 / 20)
    loud = np.flatnonzero(np.abs(pcm) > 300)
    assert loud[0] <= 0.04 * RATE_HZ
    assert TAIL_MS / 1000 * RATE_HZ <= len(pcm) - loud[-1] < 0.26 * RATE_HZ
    assert words[0].start_s < 0.02


async def test_a_number_takes_the_time_that_it_takes_to_say(engine: FliteTts) -> None:
    _, words = await say(engine, TtsRequest("It costs 234.56 dollars at 3:30pm now", RATE_HZ))
    lasts = [word.end_s - word.start_s for word in words]
    assert lasts[2] > 1.5
    assert lasts[5] > 0.6
    assert max(lasts[i] for i in (0, 1, 3, 4, 6)) < 0.7


async def test_an_accent_does_not_silence_a_word(engine: FliteTts) -> None:
    _, words = await say(engine, TtsRequest("a na\u00efve caf\u00e9", RATE_HZ))
    assert all(word.end_s - word.start_s > 0.05 for word in words)


async def test_refusals(engine: FliteTts) -> None:
    assert engine.capabilities.languages == ("en",)
    with pytest.raises(ProviderError, match="use one of"):
        await say(engine, TtsRequest("Hello.", RATE_HZ, voice="en-us"))
    with pytest.raises(ProviderError, match="flite speaks en only"):
        await say(engine, TtsRequest("Hola.", RATE_HZ, language="es"))


async def test_a_default_voice_that_is_not_installed(engine: FliteTts) -> None:
    wrong = FliteTts("nobody")
    with pytest.raises(ProviderUnavailable, match="'nobody'; installed are"):
        await wrong.start()
    assert wrong.worker_pid is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_library_is_loaded_in_the_worker_only(engine: FliteTts) -> None:
    assert engine.worker_pid is not None
    assert "libflite" in maps(engine.worker_pid)
    assert "libflite" not in maps()


async def test_where_it_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, mode: int = 0) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(ctypes.util, "find_library", lambda _name: None)
    with pytest.raises(EngineMissing, match="apt-get install flite"):
        worker._load()
