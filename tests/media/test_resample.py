"""Resampling: exact length and place, a clean band, no trace of how the stream was cut."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Pcm
from media.resample import Resampler, resample

RATIOS = [
    (8000, 16000),
    (16000, 8000),
    (22050, 8000),
    (24000, 8000),
    (48000, 16000),
    (16000, 48000),
    (44100, 8000),
    (22050, 16000),
    (8000, 48000),
]


def tone(hz: float, rate: int, seconds: float = 1.0, amplitude: float = 20000.0) -> Pcm:
    t = np.arange(round(rate * seconds)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * hz * t)).astype(np.int16)


def stream(pcm: Pcm, from_hz: int, to_hz: int, chunk: int) -> Pcm:
    resampler = Resampler(from_hz, to_hz)
    parts = [resampler.process(pcm[i : i + chunk]) for i in range(0, len(pcm), chunk)]
    return np.concatenate([*parts, resampler.flush()])


def db(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-12)))


def power(signal: npt.ArrayLike) -> float:
    return float(np.mean(np.square(np.asarray(signal, np.float64)))) + 1e-9


@pytest.mark.parametrize(("from_hz", "to_hz"), RATIOS)
@pytest.mark.parametrize("length", [0, 1, 7, 159, 160, 441, 8001])
def test_the_length_is_the_rounded_one(from_hz: int, to_hz: int, length: int) -> None:
    out = resample(np.zeros(length, np.int16), from_hz, to_hz)
    assert len(out) == round(length * to_hz / from_hz)
    assert out.dtype == np.int16


@pytest.mark.parametrize(("from_hz", "to_hz"), RATIOS)
@pytest.mark.parametrize("hz", [300.0, 1000.0, 3300.0])
def test_a_tone_stays_the_same_tone_at_the_same_time(from_hz: int, to_hz: int, hz: float) -> None:
    """Against the ideal tone at the new rate: a delay of one sample at 1 kHz would leave 3 dB only."""
    out = resample(tone(hz, from_hz), from_hz, to_hz)
    edge = to_hz // 50  # the tone begins and ends abruptly, which no band-limited signal can
    inner = slice(edge, len(out) - edge)
    wanted = 20000.0 * np.sin(2 * np.pi * hz * np.arange(len(out)) / to_hz)
    noise = power(out[inner] - wanted[inner])
    assert db(power(wanted[inner]) / noise) > (70 if hz < 3000 else 50)


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "hz"),
    [
        (16000, 8000, 4050),
        (16000, 8000, 7000),
        (22050, 8000, 5000),
        (22050, 8000, 10900),
        (24000, 8000, 4100),
        (24000, 8000, 11000),
        (48000, 16000, 8100),
        (48000, 16000, 23000),
        (44100, 8000, 4100),
        (44100, 8000, 9000),
    ],
)
def test_what_lies_above_the_new_band_does_not_fold_into_it(from_hz: int, to_hz: int, hz: int) -> None:
    source = tone(hz, from_hz)
    out = resample(source, from_hz, to_hz)
    inner = out[to_hz // 50 : -to_hz // 50]
    assert db(power(source) / power(inner)) > 60


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 16000), (16000, 48000)])
def test_going_up_makes_no_mirror_image(from_hz: int, to_hz: int) -> None:
    out = resample(tone(3300, from_hz), from_hz, to_hz).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(out[to_hz // 10 : -to_hz // 10] * np.hanning(len(out) - 2 * (to_hz // 10))))
    frequency = np.fft.rfftfreq(len(out) - 2 * (to_hz // 10), 1 / to_hz)
    image = float(np.max(spectrum[frequency > from_hz / 2]))
    assert db((float(np.max(spectrum)) / image) ** 2) > 65


@pytest.mark.parametrize(("from_hz", "to_hz"), RATIOS)
def test_a_constant_stays_constant(from_hz: int, to_hz: int) -> None:
    out = resample(np.full(from_hz, 12345, np.int16), from_hz, to_hz)
    edge = to_hz // 100
    assert set(out[edge:-edge].tolist()) == {12345}


@pytest.mark.parametrize(("from_hz", "to_hz"), RATIOS)
def test_an_impulse_stays_where_it_was(from_hz: int, to_hz: int) -> None:
    pcm = np.zeros(from_hz, np.int16)
    pcm[from_hz // 2] = 30000
    out = resample(pcm, from_hz, to_hz)
    assert abs(int(np.argmax(out)) - to_hz // 2) <= 0


def test_full_scale_does_not_wrap_around() -> None:
    square = np.where(np.arange(1600) // 40 % 2 == 0, 32767, -32768).astype(np.int16)
    out = resample(square, 8000, 16000).astype(np.int32)
    assert int(out.max()) == 32767
    assert int(out.min()) == -32768
    # A wrapped sample would stand at the other end of the scale in the middle of a plateau.
    plateau = out[20:60]
    assert int(plateau.min()) > 25000


@settings(max_examples=60, deadline=None)
@given(
    ratio=st.sampled_from(RATIOS),
    cuts=st.lists(st.integers(0, 700), max_size=12),
    seed=st.integers(0, 1000),
)
def test_the_cut_into_chunks_leaves_no_trace(ratio: tuple[int, int], cuts: list[int], seed: int) -> None:
    from_hz, to_hz = ratio
    pcm = np.random.default_rng(seed).integers(-32768, 32768, sum(cuts)).astype(np.int16)
    resampler = Resampler(from_hz, to_hz)
    parts, at = [], 0
    for cut in cuts:
        parts.append(resampler.process(pcm[at : at + cut]))
        at += cut
    parts.append(resampler.flush())
    assert np.array_equal(np.concatenate(parts), resample(pcm, from_hz, to_hz))


@pytest.mark.parametrize("chunk", [1, 20, 160, 1000])
def test_no_click_between_chunks(chunk: int) -> None:
    """The second difference of a smooth tone is small everywhere; a seam would stand out by far."""
    out = stream(tone(400, 8000), 8000, 16000, chunk)[320:-320].astype(np.int32)
    assert int(np.abs(np.diff(out, 2)).max()) < 20000 * (2 * np.pi * 400 / 16000) ** 2 * 1.05 + 4


def test_only_a_few_ms_are_held_back_and_frames_then_come_whole() -> None:
    resampler = Resampler(8000, 16000)
    frame = tone(500, 8000, 0.02)
    lengths = [len(resampler.process(frame)) for _ in range(10)]
    assert resampler.held_back_ms == 3.0
    assert lengths == [320 - 48] + [320] * 9
    assert len(resampler.flush()) == 48


@pytest.mark.parametrize(("from_hz", "to_hz"), RATIOS)
def test_the_delay_is_what_is_said(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    fed = given_out = 0
    for length in (from_hz // 50, 37, from_hz // 50, 1, 500):
        given_out += len(resampler.process(np.ones(length, np.int16)))
        fed += length
        behind_ms = fed * 1000 / from_hz - given_out * 1000 / to_hz
        assert behind_ms <= resampler.held_back_ms + 1e-9
    assert resampler.held_back_ms <= 3.1


def test_flush_gives_the_tail_and_begins_a_new_stream() -> None:
    pcm = tone(440, 22050, 0.3)
    resampler = Resampler(22050, 8000)
    first = np.concatenate((resampler.process(pcm), resampler.flush()))
    again = np.concatenate((resampler.process(pcm), resampler.flush()))
    assert len(first) == 2400
    assert np.array_equal(first, again)
    assert power(first[-24:]) > 1e6  # the tail is the tone, not padding
    assert len(resampler.flush()) == 0


def test_a_long_stream_does_not_drift() -> None:
    """Ten minutes in 20 ms frames at an awkward ratio: counted exactly, and held state does not grow."""
    resampler = Resampler(44100, 8000)
    frame = np.zeros(882, np.int16)
    got = sum(len(resampler.process(frame)) for _ in range(30_000))
    assert 600 * 8000 - got <= 25
    assert got + len(resampler.flush()) == 600 * 8000


def test_equal_rates_pass_through() -> None:
    resampler = Resampler(8000, 8000)
    pcm = tone(700, 8000, 0.1)
    assert resampler.process(pcm) is pcm
    assert len(resampler.flush()) == 0
    assert resampler.held_back_ms == 0.0


@pytest.mark.parametrize(("from_hz", "to_hz", "why"), [(0, 8000, "positive"), (8000, -1, "positive")])
def test_rates_that_cannot_be(from_hz: int, to_hz: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Resampler(from_hz, to_hz)


def test_a_ratio_without_small_numbers_is_refused_with_advice() -> None:
    with pytest.raises(ValueError, match=r"22051 to 8000 Hz.*use a usual rate"):
        Resampler(22051, 8000)
