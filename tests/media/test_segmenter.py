"""Segments of voice: onset dated back, release with hysteresis, starts and ends in strict turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.ports import VadWindow
from media.segmenter import VadParams, VoiceEnded, VoiceSegmenter, VoiceStarted

WINDOW = 256  # 32 ms at 8 kHz
ADDING = VadParams(sure_threshold=2.0)
"""No single window is sure enough: voice has to add up."""


def windows(*probabilities: float, size: int = WINDOW, start: int = 0) -> list[VadWindow]:
    return [
        VadWindow(probability, start + i * size, start + (i + 1) * size)
        for i, probability in enumerate(probabilities)
    ]


def run(
    segmenter: VoiceSegmenter, verdicts: list[VadWindow]
) -> list[tuple[VadWindow, VoiceStarted | VoiceEnded]]:
    return [(window, edge) for window in verdicts for edge in segmenter.push(window)]


def test_two_voiced_windows_begin_a_segment_dated_back_to_the_first() -> None:
    segmenter = VoiceSegmenter(8000, ADDING)
    [(window, edge)] = run(segmenter, windows(0.1, 0.1, 1.0, 0.75, 0.9))
    assert edge == VoiceStarted(onset=512, at=1024, confidence=0.875)
    assert window.end == 1024
    assert segmenter.speaking
    assert segmenter.voiced_until == 1280


def test_a_dip_inside_the_lookback_does_not_start_the_count_anew() -> None:
    [(_, edge)] = run(VoiceSegmenter(8000, ADDING), windows(1.0, 0.1, 0.5))
    assert edge == VoiceStarted(onset=0, at=768, confidence=0.75)


def test_voice_older_than_the_lookback_does_not_count() -> None:
    segmenter = VoiceSegmenter(8000, ADDING)
    assert run(segmenter, windows(0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.9)) == []
    assert segmenter.voiced_until == 8 * WINDOW


def test_a_click_is_no_voice() -> None:
    assert run(VoiceSegmenter(8000, ADDING), windows(0.0, 0.99, 0.0, 0.0, 0.0)) == []


def test_the_end_is_where_the_voice_ended_not_where_it_was_noticed() -> None:
    segmenter = VoiceSegmenter(8000, ADDING)
    edges = run(segmenter, windows(0.9, 0.9, 0.9, *[0.1] * 20))
    assert [edge for _, edge in edges][1] == VoiceEnded(onset=0, end=768, at=768 + 9 * WINDOW)
    # 300 ms are 2400 samples: nearer to nine windows of 256 than to ten.
    assert not segmenter.speaking
    assert segmenter.voiced_until == 768


def test_a_pause_shorter_than_the_delay_does_not_end_it() -> None:
    edges = run(VoiceSegmenter(8000, ADDING), windows(0.9, 0.9, *[0.0] * 8, 0.9, *[0.0] * 8, 0.9))
    assert len(edges) == 1


def test_between_the_thresholds_voice_goes_on_but_does_not_begin() -> None:
    assert run(VoiceSegmenter(8000, ADDING), windows(*[0.45] * 50)) == []
    segmenter = VoiceSegmenter(8000, ADDING)
    assert len(run(segmenter, windows(0.9, 0.9, *[0.36] * 50))) == 1
    assert segmenter.voiced_until == 52 * WINDOW


def test_windows_of_20_ms_need_four() -> None:
    [(_, edge)] = run(VoiceSegmenter(16000, ADDING), windows(0.2, 1.0, 1.0, 1.0, 1.0, size=320))
    assert edge == VoiceStarted(onset=320, at=1600, confidence=1.0)


def test_flush_closes_what_is_open_and_only_that() -> None:
    segmenter = VoiceSegmenter(8000, ADDING)
    assert segmenter.flush(100) == []
    run(segmenter, windows(0.9, 0.9, 0.1))
    assert segmenter.flush(900) == [VoiceEnded(onset=0, end=512, at=900)]
    assert segmenter.flush(900) == []
    assert not segmenter.speaking


def test_flush_forgets_voice_that_was_not_yet_certain() -> None:
    segmenter = VoiceSegmenter(8000, ADDING)
    run(segmenter, windows(0.9))
    assert segmenter.flush(256) == []
    assert run(segmenter, windows(0.9, start=256)) == []


def test_a_segment_never_begins_before_the_end_of_the_last() -> None:
    """With a delay shorter than the lookback the old voice must not be counted again."""
    params = VadParams(speech_end_delay_ms=20, sure_threshold=2.0)
    edges = [edge for _, edge in run(VoiceSegmenter(8000, params), windows(0.9, 0.9, 0.1, 0.9, 0.9))]
    assert edges == [
        VoiceStarted(0, 512, 0.9),
        VoiceEnded(0, 512, 768),
        VoiceStarted(768, 1280, 0.9),
    ]


def test_one_window_that_is_sure_begins_a_segment() -> None:
    [(window, edge)] = run(VoiceSegmenter(8000), windows(0.1, 0.6, 0.1, 0.1, 0.1, 0.1, 0.8))
    assert window.start == 6 * WINDOW
    assert edge == VoiceStarted(6 * WINDOW, 7 * WINDOW, 0.8)


verdict_lists = st.lists(st.sampled_from([0.0, 0.2, 0.34, 0.35, 0.49, 0.5, 0.7, 1.0]), max_size=120)
param_sets = st.builds(
    VadParams,
    threshold=st.just(0.5),
    release_threshold=st.sampled_from([0.2, 0.35, 0.5]),
    onset_ms=st.integers(1, 100),
    speech_end_delay_ms=st.integers(1, 600),
    sure_threshold=st.sampled_from([0.7, 2.0]),
)


@given(verdict_lists, param_sets, st.sampled_from([(8000, 256), (8000, 160), (16000, 512)]))
def test_starts_and_ends_alternate_and_time_only_goes_forward(
    probabilities: list[float], params: VadParams, rate_and_size: tuple[int, int]
) -> None:
    rate, size = rate_and_size
    segmenter = VoiceSegmenter(rate, params)
    verdicts = windows(*probabilities, size=size)
    edges = [edge for _, edge in run(segmenter, verdicts)]
    edges += segmenter.flush(len(probabilities) * size)
    assert [isinstance(edge, VoiceStarted) for edge in edges] == [i % 2 == 0 for i in range(len(edges))]
    assert len(edges) % 2 == 0
    last_at = last_end = 0
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        assert isinstance(start, VoiceStarted)
        assert isinstance(end, VoiceEnded)
        assert last_end <= start.onset < start.at <= end.at
        assert start.onset == end.onset < end.end <= end.at
        assert start.at - start.onset <= rate * 100 // 1000
        assert last_at <= start.at
        voiced = [
            w for w in verdicts if start.onset <= w.start and w.end <= start.at and w.probability >= 0.5
        ]
        assert voiced[0].start == start.onset
        sure = voiced[-1].probability >= params.sure_threshold
        assert sure or sum(w.end - w.start for w in voiced) >= rate * params.onset_ms // 1000
        assert min(w.probability for w in voiced) - 1e-9 <= start.confidence <= 1.0
        quiet = [w.probability for w in verdicts if end.end <= w.start and w.end <= end.at]
        assert all(probability < params.release_threshold for probability in quiet)
        last_at, last_end = end.at, end.end


@given(verdict_lists)
def test_the_same_verdicts_give_the_same_edges(probabilities: list[float]) -> None:
    first = run(VoiceSegmenter(8000, ADDING), windows(*probabilities))
    assert run(VoiceSegmenter(8000, ADDING), windows(*probabilities)) == first


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 0.0),
        ("threshold", 1.1),
        ("release_threshold", 0.6),
        ("release_threshold", 0.0),
        ("onset_ms", 0),
        ("onset_ms", 101),
        ("speech_end_delay_ms", 0),
        ("speech_end_delay_ms", 10_001),
    ],
)
def test_a_senseless_parameter_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field} must"):
        VadParams(**{field: value})  # type: ignore[arg-type]  # the point is a value out of range


# --- the echo of a voice in the detector ------------------------------------------------------------------


def heard(*verdicts: tuple[float, float]) -> list[VadWindow]:
    """Windows with a probability and a level."""
    return [VadWindow(p, i * WINDOW, (i + 1) * WINDOW, rms) for i, (p, rms) in enumerate(verdicts)]


LOUD, SOFT, QUIET = 0.2, 0.02, 0.001


def test_what_the_detector_believes_in_after_the_end_is_no_voice() -> None:
    segmenter = VoiceSegmenter(8000)
    edges = run(segmenter, heard(*[(1.0, LOUD)] * 5, (0.9, QUIET), (0.6, QUIET), *[(0.1, QUIET)] * 10))
    (_, started), (window, ended) = edges
    assert isinstance(started, VoiceStarted)
    assert isinstance(ended, VoiceEnded)
    assert ended.end == 5 * WINDOW
    assert window.end == (5 + 9) * WINDOW, "it waits for 300 ms of quiet from there on"


def test_what_is_speech_beyond_doubt_is_voice_however_quiet() -> None:
    segmenter = VoiceSegmenter(8000)
    run(segmenter, heard((1.0, LOUD), (1.0, LOUD), (0.995, QUIET)))
    assert segmenter.voiced_until == 3 * WINDOW


def test_a_voice_that_becomes_soft_is_voice() -> None:
    segmenter = VoiceSegmenter(8000)
    run(segmenter, heard((1.0, LOUD), *[(0.6, SOFT)] * 20))
    assert segmenter.voiced_until == 21 * WINDOW


def test_a_voice_that_is_nearly_inaudible_is_not_cut_off() -> None:
    segmenter = VoiceSegmenter(8000)
    edges = run(segmenter, heard((1.0, LOUD), *[(0.6, QUIET)] * 30))
    assert len(edges) == 1
    assert segmenter.speaking
    assert segmenter.voiced_until == 31 * WINDOW - 1280  # 160 ms


def test_a_loud_segment_says_nothing_about_the_next_one() -> None:
    segmenter = VoiceSegmenter(8000)
    quiet = (0.0, 0.0)
    edges = run(segmenter, heard(*[(1.0, 1.0)] * 3, *[quiet] * 12, *[(0.9, SOFT)] * 5, *[quiet] * 12))
    assert [edge.end for _, edge in edges if isinstance(edge, VoiceEnded)] == [3 * WINDOW, 20 * WINDOW]
