"""The sound of an answer, cut anywhere."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import wav
from media.frames import Pcm
from pipeline.providers.openai.audio import AudioReader

SAMPLES: Pcm = np.random.default_rng(7).integers(-32768, 32767, 400).astype(np.int16)
BARE = SAMPLES.astype("<i2").tobytes()
ENDLESS = wav.header(16_000, 1, 0)[:40] + b"\xff\xff\xff\xff"
LISTED = (
    wav.header(16_000, 1, 800)[:36]
    + b"LIST"
    + struct.pack("<I", 5)
    + b"INFO\0\0"
    + wav.header(1, 1, 800)[36:]
)
BODIES = {
    "bare": (BARE, 24_000),
    "wav": (wav.encode(SAMPLES, 16_000), 16_000),
    "wav with a list": (LISTED + BARE, 16_000),
    "wav with a tail": (wav.encode(SAMPLES, 16_000) + b"LIST" + b"\0" * 40, 16_000),
    "wav without an end": (ENDLESS + BARE, 16_000),
    "wav of length 0": (wav.header(16_000, 1, 0) + BARE, 16_000),
    "half a sample": (BARE + b"x", 24_000),
}


def read(body: bytes, cuts: list[int], content_type: str = "audio/pcm") -> tuple[Pcm, int]:
    reader = AudioReader(content_type, 24_000)
    found: list[Pcm] = []
    at = 0
    for cut in [*sorted(cuts), len(body)]:
        found.append(reader.feed(body[at:cut]))
        at = cut
    found.append(reader.flush())
    return np.concatenate(found), reader.rate_hz


@pytest.mark.parametrize("name", sorted(BODIES))
@given(cuts=st.lists(st.integers(0, 900), max_size=20))
def test_the_samples_are_the_same_however_they_are_cut(name: str, cuts: list[int]) -> None:
    body, rate_hz = BODIES[name]
    pcm, own_hz = read(body, [min(cut, len(body)) for cut in cuts])
    assert np.array_equal(pcm, SAMPLES)
    assert own_hz == rate_hz


@pytest.mark.parametrize(
    "content_type",
    ["", "AUDIO/PCM", "audio/L16", "audio/x-pcm", "application/octet-stream", "audio/wav; a=1", "audio/wave"],
)  # fmt: skip
def test_what_may_hold_samples(content_type: str) -> None:
    assert np.array_equal(read(BARE, [], content_type)[0], SAMPLES)


def test_the_rate_in_the_content_type() -> None:
    assert read(BARE, [], 'audio/L16; channels=1; rate="16000"')[1] == 16_000
    assert read(wav.encode(SAMPLES, 8000), [], "audio/wav; rate=16000")[1] == 8000, "the header knows better"


@pytest.mark.parametrize(
    "content_type",
    [
        "audio/mpeg",
        "audio/ogg; codecs=opus",
        "audio/flac",
        "application/json",
        "text/plain",
        "text/wav",
        "video/mp4",
    ],
)
def test_what_holds_none(content_type: str) -> None:
    with pytest.raises(ValueError, match=content_type.partition(";")[0]):
        AudioReader(content_type, 24_000)


@pytest.mark.parametrize("magic", [b"ID3\x04", b"OggS", b"fLaC"])
def test_compressed_audio_under_a_false_name(magic: bytes) -> None:
    reader = AudioReader("audio/pcm", 24_000)
    assert len(reader.feed(magic[:3])) == 0
    with pytest.raises(ValueError, match="compressed"):
        reader.feed(magic[3:] + bytes(100))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (wav.header(16_000, 2, 0), "2 channels"),
        (wav.header(16_000, 1, 0)[:34] + b"\x18\0" + wav.header(1, 1, 0)[36:], "24 bits"),
        (wav.header(16_000, 1, 0)[:20] + b"\7\0" + wav.header(16_000, 1, 0)[22:], "not mono of 16"),
        (wav.header(16_000, 1, 0)[:12] + b"data\0\0\0\0", "broken"),
        (b"RIFF\0\0\0\0WAVE" + (b"LIST" + struct.pack("<I", 30_000) + bytes(30_000)) * 3, "do not begin"),
    ],
)
def test_a_wav_file_of_another_kind(header: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AudioReader("audio/wav", 24_000).feed(header)


@pytest.mark.parametrize("body", [b"", b"x", b"RIFF\0\0\0\0WAVEfmt "])
def test_an_answer_without_samples(body: bytes) -> None:
    assert len(read(body, [])[0]) == 0


def test_a_single_sample_is_one() -> None:
    assert read(b"\1\0", [])[0].tolist() == [1]
