"""WAV files: any usual kind in, 16-bit out.

Read by hand, since the standard library's ``wave`` knows neither G.711 nor float samples, which is what
telephone recordings and speech engines come as. Source: Microsoft, "Multimedia Programming Interface and
Data Specifications 1.0" and "Multiple Channel Audio Data and WAVE Files" (the extensible format).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from media import g711
from media.frames import Pcm

HEADER = 44
"""Bytes before the samples, in the files that are written here."""
MAX_BYTES = 512 << 20
"""Larger files are refused: they are read as a whole."""

ALLOWED = "8, 16, 24 or 32-bit PCM, 32-bit float, mu-law or A-law, mono or stereo"

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE


@dataclass(frozen=True, slots=True)
class _Format:
    code: int
    channels: int
    sample_rate_hz: int
    bits: int


def decode(data: bytes, name: str = "the audio") -> tuple[Pcm, int]:
    """A WAV file in memory: mono samples (two channels are averaged) and their rate in Hz.

    Raises as ``decode_channels``.
    """
    channels, sample_rate_hz = decode_channels(data, name)
    return _to_mono(channels), sample_rate_hz


def decode_channels(data: bytes, name: str = "the audio") -> tuple[tuple[Pcm, ...], int]:
    """A WAV file in memory: the samples of each channel and their rate in Hz.

    A file cut off in the middle, or one whose header was never completed, gives what it holds. Raises
    ``ValueError`` that begins with ``name`` and says what is allowed.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{name} is not a WAV file; allowed is {ALLOWED}")
    layout: _Format | None = None
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        body = memoryview(data)[at + 8 : at + 8 + size]
        if kind == b"fmt ":
            layout = _read_format(body, name)
        elif kind == b"data":
            if layout is None:
                raise ValueError(f"{name} is a broken WAV file: its samples come before their format")
            samples = _samples(body, layout, name)
            return tuple(
                samples[at :: layout.channels] for at in range(layout.channels)
            ), layout.sample_rate_hz
        at += 8 + size + size % 2
    raise ValueError(f"{name} is a broken WAV file: it has no samples")


def read(path: Path) -> tuple[Pcm, int]:
    """``decode`` a file. Raises ``OSError`` too. Blocks: not for the event loop."""
    channels, sample_rate_hz = read_channels(path)
    return _to_mono(channels), sample_rate_hz


def read_channels(path: Path) -> tuple[tuple[Pcm, ...], int]:
    """``decode_channels`` a file. Raises ``OSError`` too. Blocks: not for the event loop."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES >> 20} MB; cut it into parts")
    return decode_channels(data, str(path))


def header(sample_rate_hz: int, channels: int, data_bytes: int) -> bytes:
    """The 44 bytes before ``data_bytes`` of 16-bit samples. Raises ``ValueError`` beyond 4 GB."""
    if data_bytes > 0xFFFFFFFF - 36:
        raise ValueError("a WAV file holds at most 4 GB")
    frame = 2 * channels
    riff = struct.pack("<4sI4s", b"RIFF", 36 + data_bytes, b"WAVE")
    layout = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, _PCM, channels, sample_rate_hz, sample_rate_hz * frame, frame, 16
    )
    return riff + layout + struct.pack("<4sI", b"data", data_bytes)


def repair(file: BinaryIO) -> int:
    """Have the header of a file that was written here tell what lies behind it. Returns the length of the audio in
    milliseconds; 0: there is none. Raises ``OSError``, and ``ValueError`` for another file."""
    start = file.read(HEADER)
    size = file.seek(0, 2) - HEADER
    if size <= 0:
        return 0
    layout: tuple[int, ...] = struct.unpack_from("<HHIIHH", start, 20)
    code, channels, rate, _, frame, bits = layout
    ours = start[:4] == b"RIFF" and start[8:16] == b"WAVEfmt " and start[36:40] == b"data"
    if not ours or (code, bits, frame) != (_PCM, 16, 2 * channels) or not rate:
        raise ValueError("its header is not one that was written here")
    size -= size % frame
    file.truncate(HEADER + size)
    file.seek(0)
    file.write(header(rate, channels, size))
    return size // frame * 1000 // rate


def measured(file: BinaryIO) -> tuple[int, int]:
    """Of a file that was written here: the length of its audio in milliseconds, and its rate in Hz. Raises ``OSError``,
    and ``ValueError`` for another file."""
    start = file.read(HEADER)
    if len(start) < HEADER or start[:4] != b"RIFF" or start[36:40] != b"data":
        raise ValueError("its header is not one that was written here")
    _, channels, rate = struct.unpack_from("<HHI", start, 20)
    if not channels or not rate:
        raise ValueError("its header is not one that was written here")
    return (file.seek(0, 2) - HEADER) // (2 * channels) * 1000 // rate, rate


def encode(pcm: Pcm, sample_rate_hz: int) -> bytes:
    """A mono 16-bit WAV file in memory."""
    return header(sample_rate_hz, 1, 2 * len(pcm)) + pcm.astype("<i2").tobytes()


def write_mono(path: Path, pcm: Pcm, sample_rate_hz: int) -> None:
    """Write a 16-bit file, over what stood there. Raises ``OSError``. Blocks."""
    path.write_bytes(encode(pcm, sample_rate_hz))


def write_stereo(path: Path, left: Pcm, right: Pcm, sample_rate_hz: int) -> None:
    """Write a 16-bit file of two channels, over what stood there; the shorter one is filled with silence.
    Raises ``OSError``. Blocks."""
    frames = np.zeros((max(len(left), len(right)), 2), "<i2")
    frames[: len(left), 0] = left
    frames[: len(right), 1] = right
    path.write_bytes(header(sample_rate_hz, 2, frames.nbytes) + frames.tobytes())


def _read_format(body: memoryview, name: str) -> _Format:
    if len(body) < 16:
        raise ValueError(f"{name} is a broken WAV file: its format is cut off")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if code == _EXTENSIBLE and len(body) >= 26:
        (code,) = struct.unpack_from("<H", body, 24)  # the true code leads the sub-format's GUID
    if channels not in (1, 2):
        raise ValueError(f"{name} has {channels} channels; allowed is {ALLOWED}")
    if not 1000 <= rate <= 384_000:
        raise ValueError(f"{name} has a sample rate of {rate} Hz; allowed is 1000 to 384000")
    return _Format(code, channels, rate, bits)


def _samples(body: memoryview, layout: _Format, name: str) -> Pcm:
    """All samples, the channels still interleaved."""
    width = layout.bits // 8
    if width:
        body = body[: len(body) - len(body) % (width * layout.channels)]
    match layout.code, layout.bits:
        case (1, 8):
            return (np.frombuffer(body, np.uint8).astype(np.int16) - np.int16(128)) << np.int16(8)
        case (1, 16):
            return np.frombuffer(body, "<i2").astype(np.int16)
        case (1, 24):
            octets = np.frombuffer(body, np.uint8).reshape(-1, 3)
            # The lowest octet is dropped, as it is for 32 bits.
            return np.frombuffer(octets[:, 1:].tobytes(), "<i2").astype(np.int16)
        case (1, 32):
            return (np.frombuffer(body, "<i4") >> 16).astype(np.int16)
        case (3, 32):
            return _from_float(np.frombuffer(body, "<f4"))
        case (6, 8):
            return g711.alaw_decode(body)
        case (7, 8):
            return g711.ulaw_decode(body)
    raise ValueError(
        f"{name} holds samples of format {layout.code} with {layout.bits} bits; allowed is {ALLOWED}"
    )


def _from_float(samples: npt.NDArray[np.float32]) -> Pcm:
    scaled = np.nan_to_num(samples * np.float32(32767), nan=0.0, posinf=32767, neginf=-32767)
    return np.asarray(np.clip(np.rint(scaled), -32768, 32767)).astype(np.int16)


def _to_mono(channels: tuple[Pcm, ...]) -> Pcm:
    if len(channels) == 1:
        return channels[0]
    left, right = channels
    return ((left.astype(np.int32) + right) >> 1).astype(np.int16)
