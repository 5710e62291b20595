"""WAV: every kind that is allowed, the standard library as the judge where it can, and broken files."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import g711, wav

RAMP = np.arange(-32768, 32768, 257).astype(np.int16)


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def layout(code: int, bits: int, channels: int = 1, rate: int = 8000) -> bytes:
    width = channels * bits // 8
    return struct.pack("<HHIIHH", code, channels, rate, rate * width, width, bits)


def file_of(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def kind(code: int, bits: int, samples: bytes, channels: int = 1) -> bytes:
    return file_of(chunk(b"fmt ", layout(code, bits, channels)), chunk(b"data", samples))


def by_stdlib(width: int, samples: bytes, channels: int = 1, rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return buffer.getvalue()


def test_16_bit_of_the_standard_library() -> None:
    pcm, rate = wav.decode(by_stdlib(2, RAMP.tobytes(), rate=22050))
    assert rate == 22050
    assert pcm.dtype == np.int16
    assert np.array_equal(pcm, RAMP)


def test_8_24_and_32_bit_pcm() -> None:
    assert wav.decode(by_stdlib(1, bytes([0, 128, 129, 255])))[0].tolist() == [-32768, 0, 256, 32512]
    values = [-8388608, -256, 0, 255, 256, 8388607]
    packed = b"".join(struct.pack("<i", value)[:3] for value in values)
    assert wav.decode(by_stdlib(3, packed))[0].tolist() == [-32768, -1, 0, 0, 1, 32767]
    packed = struct.pack("<4i", -(2**31), -65536, 65536, 2**31 - 1)
    assert wav.decode(by_stdlib(4, packed))[0].tolist() == [-32768, -1, 1, 32767]


def test_float_is_scaled_clipped_and_cleaned() -> None:
    samples = struct.pack("<7f", -1.0, -0.5, 0.0, 1.0, 3.0, -3.0, float("nan"))
    assert wav.decode(kind(3, 32, samples))[0].tolist() == [-32767, -16384, 0, 32767, 32767, -32768, 0]


def test_both_laws_of_the_telephone() -> None:
    octets = bytes(range(256))
    assert np.array_equal(wav.decode(kind(7, 8, octets))[0], g711.ulaw_decode(octets))
    assert np.array_equal(wav.decode(kind(6, 8, octets))[0], g711.alaw_decode(octets))


def test_stereo_is_averaged_without_overflow() -> None:
    pairs = np.array([[32767, 32767], [-32768, -32768], [1000, 0], [-32768, 32767]], np.int16)
    assert wav.decode(by_stdlib(2, pairs.tobytes(), channels=2))[0].tolist() == [32767, -32768, 500, -1]
    octets = g711.ulaw_encode(np.array([8000, 0], np.int16))
    assert wav.decode(kind(7, 8, octets, channels=2))[0].tolist() == [int(g711.ulaw_decode(octets)[0]) // 2]


def test_the_extensible_format_names_its_true_code() -> None:
    guid_tail = bytes.fromhex("000000001000800000aa00389b71")
    extension = struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", 1) + guid_tail
    data = file_of(chunk(b"fmt ", layout(0xFFFE, 16) + extension), chunk(b"data", RAMP.tobytes()))
    assert np.array_equal(wav.decode(data)[0], RAMP)


def test_other_chunks_are_passed_over_even_odd_ones() -> None:
    data = file_of(
        chunk(b"LIST", b"odd"),
        chunk(b"fmt ", layout(1, 16)),
        chunk(b"fact", b"1"),
        chunk(b"data", RAMP.tobytes()),
    )
    assert np.array_equal(wav.decode(data)[0], RAMP)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 2 * len(RAMP) + 100])
def test_a_size_that_was_never_completed_means_to_the_end(size: int) -> None:
    """What a program writes that streams into a pipe."""
    data = file_of(chunk(b"fmt ", layout(1, 16)), b"data" + struct.pack("<I", size) + RAMP.tobytes())
    assert np.array_equal(wav.decode(data)[0], RAMP)


def test_half_a_sample_at_the_end_is_dropped() -> None:
    data = file_of(
        chunk(b"fmt ", layout(1, 16, channels=2)), b"data" + struct.pack("<I", 7) + b"\x01\0\x03\0\xff\0\xff"
    )
    assert wav.decode(data)[0].tolist() == [2]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "call.wav is not a WAV file; allowed is 8, 16"),
        (b"OggS" + bytes(40), "call.wav is not a WAV file"),
        (file_of(chunk(b"fmt ", layout(1, 16))), "call.wav is a broken WAV file: it has no samples"),
        (file_of(chunk(b"data", b"1234")), "samples come before their format"),
        (file_of(chunk(b"fmt ", b"12"), chunk(b"data", b"")), "its format is cut off"),
        (kind(1, 16, b"", channels=6), "call.wav has 6 channels; allowed is .* mono or stereo"),
        (kind(1, 16, b"", channels=0), "call.wav has 0 channels"),
        (kind(2, 4, b"1234"), "format 2 with 4 bits; allowed is"),
        (kind(1, 12, b"1234"), "format 1 with 12 bits"),
        (kind(3, 64, bytes(16)), "format 3 with 64 bits"),
        (file_of(chunk(b"fmt ", layout(1, 16, rate=3)), chunk(b"data", b"")), "sample rate of 3 Hz"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_name(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        wav.decode(data, "call.wav")


@given(st.binary(max_size=120), st.integers(0, 100))
def test_no_bytes_do_more_than_raise_a_value_error(noise: bytes, keep: int) -> None:
    for data in (noise, kind(1, 24, noise)[:keep] + noise):
        try:
            pcm, rate = wav.decode(data)
        except ValueError:
            continue
        assert pcm.dtype == np.int16
        assert rate >= 1000


def test_what_is_written_the_standard_library_reads(tmp_path: Path) -> None:
    wav.write_mono(tmp_path / "mono.wav", RAMP, 16000)
    with wave.open(str(tmp_path / "mono.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        assert file.readframes(file.getnframes()) == RAMP.tobytes()
    wav.write_stereo(tmp_path / "stereo.wav", RAMP, RAMP[:100] // 2, 8000)
    with wave.open(str(tmp_path / "stereo.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, len(RAMP))
        frames = np.frombuffer(file.readframes(len(RAMP)), np.int16).reshape(-1, 2)
    assert np.array_equal(frames[:, 0], RAMP)
    assert np.array_equal(frames[:100, 1], RAMP[:100] // 2)
    assert not frames[100:, 1].any()


def test_read_names_the_file(tmp_path: Path) -> None:
    wav.write_mono(tmp_path / "a.wav", RAMP, 8000)
    pcm, rate = wav.read(tmp_path / "a.wav")
    assert (rate, np.array_equal(pcm, RAMP)) == (8000, True)
    (tmp_path / "b.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"b\.wav is not a WAV file"):
        wav.read(tmp_path / "b.wav")
    with pytest.raises(FileNotFoundError):
        wav.read(tmp_path / "c.wav")


def test_a_file_too_large_to_be_read_whole_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wav, "MAX_BYTES", 100)
    wav.write_mono(tmp_path / "a.wav", RAMP, 8000)
    with pytest.raises(ValueError, match="is larger than"):
        wav.read(tmp_path / "a.wav")


def test_a_header_beyond_4_gb_is_refused() -> None:
    assert len(wav.header(8000, 2, 0xFFFFFFFF - 36)) == 44
    with pytest.raises(ValueError, match="at most 4 GB"):
        wav.header(8000, 2, 0xFFFFFFFF - 35)
