"""The bot's own voice is known again behind delay, attenuation, room and codec; a caller is not taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import wav
from media.echo import KEPT_MS, NO_ECHO, Echo, EchoGuard, said_by_bot
from media.frames import Pcm
from media.g711 import ulaw_decode, ulaw_encode
from media.resample import resample

RATE_HZ = 8000
CLIPS = Path(__file__).parents[2] / "examples" / "clips"
BOT, USER = ("repeat", "spell", "story", "count"), ("wait", "time", "hello", "goodbye")
Samples = npt.NDArray[np.float64]


def spoken(*names: str, rate_hz: int = RATE_HZ) -> Samples:
    """Clips one after the other, full scale 32768."""
    parts = []
    for name in names:
        pcm, clip_hz = wav.read(CLIPS / f"{name}.wav")
        parts.append(resample(pcm, clip_hz, rate_hz).astype(np.float64))
    return np.concatenate(parts)


def through(
    audio: Samples, delay_ms: float, gain_db: float, room_ms: int = 0, rate_hz: int = RATE_HZ
) -> Samples:
    """What comes back: later, weaker, with a room's reverberation behind it."""
    if room_ms:
        rng = np.random.default_rng(9)
        tail = rng.standard_normal(room_ms * rate_hz // 1000)
        tail *= np.exp(-6.9 * np.arange(len(tail)) / len(tail))
        tail *= 0.7 / np.sqrt((tail**2).sum())
        tail[0] = 1.0
        audio = np.convolve(audio, tail)[: len(audio)]
    delayed = np.concatenate([np.zeros(round(delay_ms * rate_hz / 1000)), audio])[: len(audio)]
    return delayed * 10 ** (gain_db / 20)


def line(audio: Samples, seed: int = 1) -> Pcm:
    """A phone line with some noise, at -65 dBFS."""
    noise = np.random.default_rng(seed).standard_normal(len(audio)) * 18.0
    return ulaw_decode(ulaw_encode(np.clip(np.rint(audio + noise), -32768, 32767).astype(np.int16)))


def judge(played: Samples, heard: Pcm, from_ms: int, ms: int, guard: EchoGuard | None = None) -> Echo:
    guard = guard or EchoGuard(RATE_HZ)
    frame = 160
    start, end = from_ms * RATE_HZ // 1000, (from_ms + ms) * RATE_HZ // 1000
    for at in range(0, min(len(played), end) - frame + 1, frame):
        guard.played(at, np.rint(played[at : at + frame]).astype(np.int16))
    return guard.judge(heard[start:end], start)


PLAYED = spoken(*BOT)
PATHS = [(50, -20, 0), (150, -6, 0), (150, -30, 0), (250, -20, 200), (500, -12, 120)]


@pytest.mark.parametrize(("delay_ms", "gain_db", "room_ms"), PATHS)
@pytest.mark.parametrize("ms", [300, 600, 1500])
def test_the_bots_own_voice_is_known_again(delay_ms: int, gain_db: int, room_ms: int, ms: int) -> None:
    echo = judge(PLAYED, line(through(PLAYED, delay_ms, gain_db, room_ms)), 300 + delay_ms, ms)
    assert echo.sure
    assert abs(echo.delay_ms - delay_ms) <= 4
    assert abs(echo.gain_db - gain_db) <= 4
    assert echo.likeness > 0.5


@pytest.mark.parametrize("name", USER)
@pytest.mark.parametrize("ms", [120, 200, 300, 500])
def test_a_caller_over_the_bot_is_no_echo(name: str, ms: int) -> None:
    for at in range(400, 5000, 700):
        heard = np.zeros(len(PLAYED))
        start = at * RATE_HZ // 1000
        said = spoken(name)[800:]
        heard[start : start + len(said)] = said[: len(heard) - start]
        assert not judge(PLAYED, line(heard), at, ms).sure


def test_a_caller_with_the_bots_voice_who_says_its_very_words_is_no_echo() -> None:
    heard = np.concatenate([np.zeros(1600), PLAYED])
    assert judge(PLAYED, line(through(heard, 0, -6)), 700, 400).sure
    assert not judge(PLAYED, line(heard), 700, 400).sure


@pytest.mark.parametrize("gain_db", [-30, -20, -15])
def test_a_caller_who_joins_in_over_an_echo_is_heard_however_long_the_echo_was_alone(gain_db: int) -> None:
    """500 ms of echo alone, then the caller as well."""
    heard = through(PLAYED, 150, gain_db, 100)
    said = spoken("wait")[1000:]
    start = 2500 * RATE_HZ // 1000
    heard[start : start + len(said)] += said
    pcm = line(heard)
    assert judge(PLAYED, pcm, 2000, 500).sure
    assert not judge(PLAYED, pcm, 2000, 900).sure
    assert not judge(PLAYED, pcm, 2500, 300).sure


def test_what_was_learned_makes_it_sure_sooner() -> None:
    pcm = line(through(PLAYED, 180, -22, 200))
    fresh, knowing = [], []
    guard = EchoGuard(RATE_HZ)
    assert judge(PLAYED, pcm, 600, 700, guard).sure
    assert guard.delay_ms is not None
    assert abs(guard.delay_ms - 180) <= 4
    assert guard.gain_db is not None
    for at in range(1500, 5500, 250):
        fresh.append(judge(PLAYED, pcm, at, 150).sure)
        knowing.append(judge(PLAYED, pcm, at, 150, guard).sure)
    assert sum(knowing) > sum(fresh)


def test_a_path_that_was_learned_does_not_make_a_caller_an_echo() -> None:
    guard = EchoGuard(RATE_HZ)
    pcm = line(through(PLAYED, 180, -22))
    assert judge(PLAYED, pcm, 600, 700, guard).sure
    heard = np.zeros(len(PLAYED))
    said = spoken("time")[800:]
    heard[16000 : 16000 + len(said)] = said
    for ms in (120, 200, 300, 600, 1000):
        assert not judge(PLAYED, line(heard), 2000, ms, guard).sure


def test_nothing_played_nothing_heard_and_too_little() -> None:
    pcm = line(PLAYED)
    assert EchoGuard(RATE_HZ).judge(pcm[:4000], 0) == NO_ECHO
    assert judge(np.zeros(16000), pcm, 1000, 500) == NO_ECHO
    assert judge(PLAYED, np.zeros(16000, np.int16), 1000, 500) == NO_ECHO
    assert judge(PLAYED, pcm, 1000, 80) == NO_ECHO
    with pytest.raises(ValueError, match="multiples of 4000 Hz, not 11025"):
        EchoGuard(11025)


def test_noise_of_the_line_need_not_be_explained() -> None:
    heard = line(through(PLAYED, 150, -32), 2).astype(np.float64)
    heard += np.random.default_rng(4).standard_normal(len(heard)) * 32768 * 10 ** (-56 / 20)
    pcm = np.rint(heard).astype(np.int16)
    guard = EchoGuard(RATE_HZ)
    blind = judge(PLAYED, pcm, 1200, 600, guard)
    start = 1200 * RATE_HZ // 1000
    knowing = guard.judge(pcm[start : start + 4800], start, noise_db=-56)
    assert knowing.likeness > blind.likeness + 0.05
    assert knowing.sure


def test_audio_that_was_cleared_cannot_come_back() -> None:
    guard = EchoGuard(RATE_HZ)
    pcm = line(through(PLAYED, 0, -12))
    assert judge(PLAYED, pcm, 1000, 500, guard).sure
    guard.cut(8000 - 4800)
    assert guard.judge(pcm[8000:12000], 8000) == NO_ECHO


def test_holes_are_silence_and_the_memory_is_bounded() -> None:
    guard = EchoGuard(RATE_HZ)
    pcm = line(through(PLAYED, 0, -12))
    guard.played(0, PLAYED[:16000].astype(np.int16))
    far = 60 * RATE_HZ
    guard.played(far, PLAYED[:16000].astype(np.int16))
    assert guard.judge(pcm[4000:8000], far + 4000).sure
    assert not guard.judge(pcm[4000:8000], far - 30 * RATE_HZ).sure
    guard.played(4000, PLAYED[4000:8000].astype(np.int16))  # too old to be kept: changes nothing
    assert not guard.judge(pcm[4000:8000], 4000).sure
    assert len(guard._played) == 2 * KEPT_MS * RATE_HZ // 1000


def test_sixteen_kilohertz() -> None:
    played = spoken(*BOT, rate_hz=16000)
    guard = EchoGuard(16000)
    heard = np.rint(through(played, 210, -24, 100, 16000)).astype(np.int16)
    guard.played(0, played[: 16000 * 4].astype(np.int16))
    echo = guard.judge(heard[30000:36000], 30000)
    assert echo.sure
    assert abs(echo.delay_ms - 210) <= 4


@settings(max_examples=50, deadline=None)
@given(
    writes=st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 9000)), max_size=12),
    cut=st.integers(0, 400_000),
    start=st.integers(0, 400_000),
    length=st.integers(0, 12_000),
)
def test_any_order_of_writing_and_asking_is_answered(
    writes: list[tuple[int, int]], cut: int, start: int, length: int
) -> None:
    rng = np.random.default_rng(1)
    guard = EchoGuard(RATE_HZ)
    for at, size in writes:
        guard.played(at, rng.integers(-9000, 9000, size).astype(np.int16))
    guard.cut(cut)
    echo = guard.judge(rng.integers(-9000, 9000, length).astype(np.int16), start)
    assert 0.0 <= echo.likeness <= 1.0
    assert not echo.sure


# --- words ------------------------------------------------------------------------------------------------

SAID = "We are open from nine in the morning until six in the evening".split()


@pytest.mark.parametrize(
    "text",
    ["from nine in the morning", "Open from nine, in the MORNING until six", "nine in the warning until six",
     "until six in the evening"],
)  # fmt: skip
def test_the_bots_own_words_are_known_again(text: str) -> None:
    assert said_by_bot(text, SAID)


@pytest.mark.parametrize(
    "text",
    ["in the", "nine", "", "can i come in the evening", "the morning is too early for me", "we want the evening",
     "six until morning the in nine"],
)  # fmt: skip
def test_other_words_and_too_few_are_not(text: str) -> None:
    assert not said_by_bot(text, SAID)
    assert not said_by_bot(text, [])


def test_fewer_words_may_do_where_the_sound_says_as_much() -> None:
    assert not said_by_bot("the morning", SAID)
    assert said_by_bot("the morning", SAID, 2)
    assert not said_by_bot("no stop", SAID, 2)
    assert not said_by_bot("", SAID, 0)
