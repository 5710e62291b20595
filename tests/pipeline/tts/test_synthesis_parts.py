"""Shaping, spans, pieces and frames: the pure parts under the embedded voices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.frames import Pcm
from pipeline.ports import TtsAudio, TtsWord
from pipeline.synthesis.shaping import HEAD_MS, TAIL_MS, Shaper, level_table
from pipeline.synthesis.spans import MAX_TOKEN_CHARS, PIECE_CHARS, Span, pieces, share
from pipeline.synthesis.wire import (
    Cancel,
    Done,
    Failed,
    FromWorker,
    Missing,
    Ready,
    Speak,
    decode_order,
    decode_report,
    encode_order,
    encode_report,
)
from pipeline.text import tokens


def quiet(n: int) -> Pcm:
    return np.full(n, 50, np.int16)


def loud(n: int) -> Pcm:
    return np.full(n, 5000, np.int16)


def shape(shaper: Shaper, chunks: list[Pcm]) -> Pcm:
    return np.concatenate([*(shaper.feed(chunk) for chunk in chunks), shaper.finish()])


def test_silence_at_both_ends() -> None:
    shaper = Shaper(1000, 1000, 0.0)
    out = shape(shaper, [quiet(300), loud(100), quiet(400), loud(50), quiet(500)])
    assert shaper.trimmed == 300 - HEAD_MS
    assert len(out) == HEAD_MS + 100 + 400 + 50 + TAIL_MS
    assert out[HEAD_MS - 1] < 100 < out[HEAD_MS]
    assert out[-1] == 0


def test_a_short_ending_is_filled_up() -> None:
    out = shape(Shaper(1000, 1000, 0.0), [loud(100), quiet(5)])
    assert len(out) == 100 + TAIL_MS


def test_no_sound_gives_nothing() -> None:
    shaper = Shaper(1000, 1000, 0.0)
    assert len(shape(shaper, [quiet(300), quiet(300)])) == 0
    assert shaper.trimmed is None


@given(
    st.lists(st.integers(0, 400), max_size=6),
    st.lists(st.tuples(st.booleans(), st.integers(1, 300)), max_size=8),
)
def test_the_cut_into_chunks_makes_no_difference(cuts: list[int], runs: list[tuple[bool, int]]) -> None:
    whole = np.concatenate([quiet(0), *(loud(n) if sounding else quiet(n) for sounding, n in runs)])
    one, many = Shaper(1000, 1000, 3.0), Shaper(1000, 1000, 3.0)
    parts = np.split(whole, sorted(min(cut, len(whole)) for cut in cuts))
    assert np.array_equal(shape(one, [whole]), shape(many, parts))
    assert one.trimmed == many.trimmed


def test_the_level_is_a_straight_gain_that_bends_below_minus_3_dbfs() -> None:
    table = level_table(6.0)
    index = np.arange(65536, dtype=np.uint16).view(np.int16)
    gain = 10 ** (6 / 20)
    low = np.abs(index.astype(int)) < 6000
    assert np.abs(table[low] - index[low] * gain).max() <= 1.5
    assert np.abs(table.astype(int)).max() < 32768 * 10 ** (-3 / 20)
    order = np.argsort(index)
    assert (np.diff(table[order].astype(int)) >= 0).all()


def test_a_rate_that_cannot_be_converted_is_refused() -> None:
    with pytest.raises(ValueError, match="12347"):
        Shaper(22050, 12347, 0.0)


@given(
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.lists(st.integers(1, 20), min_size=1, max_size=6),
    st.lists(st.integers(0, 20_000), max_size=8).map(sorted),
)
def test_shared_spans_tile_the_stretch(
    start: int, length: int, weights: list[int], boundaries: list[int]
) -> None:
    spans = share(start, start + length, 7, weights, boundaries)
    assert [span.index for span in spans] == list(range(7, 7 + len(weights)))
    assert spans[0].start == start
    assert spans[-1].end == start + length
    assert all(span.start <= span.end for span in spans)
    assert all(a.end == b.start for a, b in itertools.pairwise(spans))


def test_a_share_follows_the_letters_and_begins_at_a_phoneme() -> None:
    assert share(0, 100, 0, [1, 3]) == [Span(0, 0, 25), Span(1, 25, 100)]
    assert share(0, 100, 0, [1, 3], [10, 31, 60]) == [Span(0, 0, 31), Span(1, 31, 100)]


@given(st.lists(st.sampled_from(["word", "end.", "Dr.", "\u2014", "a" * 120, "3.5", "yes!"]), max_size=150))
def test_pieces_are_the_tokens_of_the_text(words: list[str]) -> None:
    text = " ".join(words)
    expected = [token.text for token in tokens(text)]
    found: list[str] = []
    for piece in pieces(text):
        assert piece.first_token == len(found)
        own = [token.text for token in tokens(piece.text)]
        assert len(own) == piece.tokens
        found += own
        assert len(piece.text) <= max(PIECE_CHARS, 122 + 2 * len(words))
    assert found == expected


def test_pieces_end_at_sentences_where_they_can() -> None:
    sentence = "This sentence of mine is some fifty characters long. "
    assert [piece.text for piece in pieces("Hi. " + sentence)] == [("Hi. " + sentence).strip()]
    assert [len(piece.text) for piece in pieces(sentence * 6)] == [len(sentence * 2) - 1] * 3
    assert max(len(piece.text) for piece in pieces("word " * 500)) <= PIECE_CHARS
    assert [piece.text for piece in pieces("a" * MAX_TOKEN_CHARS)] == ["a" * MAX_TOKEN_CHARS]


@pytest.mark.parametrize("order", [Cancel(3), Speak(7, "caf\u00e9 \u4f60\n", 8000, "en-us", None, 1.5)])
def test_orders(order: Speak | Cancel) -> None:
    assert decode_order(encode_order(order)) == order


@pytest.mark.parametrize(
    "report",
    [
        Ready(("en", "es"), ("f3",)),
        Missing("install it"),
        TtsWord(3, 1.25, 2.5),
        Done(),
        Failed("no such voice", retryable=False),
    ],
)
def test_reports(report: FromWorker) -> None:
    assert decode_report(encode_report(report, 9)) == (9, report)


def test_audio_report() -> None:
    pcm = np.array([0, -32768, 32767, 5], np.int16)
    about, report = decode_report(encode_report(TtsAudio(pcm), 4294967295))
    assert about == 4294967295
    assert isinstance(report, TtsAudio)
    assert np.array_equal(report.pcm, pcm)
    assert report.pcm.dtype == np.int16


@pytest.mark.parametrize("frame", [b"", b"A", b"Z\0\0\0\0", b"W\0\0\0\0short", b"F\0\0\0\0{"])
def test_what_is_no_frame_is_a_value_error(frame: bytes) -> None:
    with pytest.raises(ValueError):
        decode_report(frame)
