"""Opus by libopus itself, which PyAV's wheels carry.

Not through PyAV: its decoder neither conceals a lost packet nor uses the copy of it that the next one holds, and it
works at 48 kHz only. libopus takes and gives the rate that the conversation has, so that nothing is resampled.
Source of the interface: ``opus.h`` and ``opus_defines.h`` of libopus 1.5; RFC 6716, RFC 7587.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from media.frames import Pcm

PACKET_MS = 20
BITRATE_BPS = 32_000
COMPLEXITY = 1
"""Of speech at this rate more makes no difference that could be measured (spectral distance 3.8 dB with 1, 3.9 with 5
and 9), and costs twice and three times as much."""
EXPECTED_LOSS_PERCENT = 10
"""What the copies of lost packets are dimensioned for."""
MAX_PACKET = 1275
MAX_MS = 120
"""Longest packet that there is."""
_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_LOSS, _SET_DTX, _SET_SIGNAL = (
    4002,
    4010,
    4012,
    4014,
    4016,
    4024,
)
_SIGNAL_VOICE = 3001


class OpusUnavailable(Exception):
    """There is no libopus here."""


class OpusError(Exception):
    """libopus refuses a packet."""


@cache
def library() -> ctypes.CDLL:
    """libopus, loaded once. Raises ``OpusUnavailable``."""
    for name in _names():
        try:
            lib = ctypes.CDLL(name)
        except OSError:
            continue
        return _declared(lib)
    raise OpusUnavailable("libopus is found neither in the av package nor in the system: install libopus0")


def _names() -> Iterator[str]:
    spec = find_spec("av")
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        # Where the tools that make wheels put libraries: beside the package on Linux and Windows, in it on macOS.
        package = Path(place)
        for folder in (package.parent / "av.libs", package / ".dylibs"):
            yield from map(str, sorted(folder.glob("*opus*")))
    found = ctypes.util.find_library("opus")
    if found is not None:
        yield found


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    lib.opus_encoder_create.restype = lib.opus_decoder_create.restype = pointer
    lib.opus_encoder_create.argtypes = [ctypes.c_int32, integer, integer, ctypes.POINTER(integer)]
    lib.opus_decoder_create.argtypes = [ctypes.c_int32, integer, ctypes.POINTER(integer)]
    lib.opus_encoder_destroy.argtypes = lib.opus_decoder_destroy.argtypes = [pointer]
    lib.opus_encode.argtypes = [pointer, pointer, integer, ctypes.c_char_p, ctypes.c_int32]
    lib.opus_decode.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int32, pointer, integer, integer]
    lib.opus_packet_get_nb_samples.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
    return lib


def duration(packet: bytes, sample_rate_hz: int) -> int:
    """Samples that a packet stands for at this rate. Raises ``OpusError`` for what is none."""
    count: int = library().opus_packet_get_nb_samples(packet, len(packet), sample_rate_hz)
    if count <= 0:
        raise OpusError(f"not an Opus packet ({len(packet)} bytes)")
    return count


class Encoder:
    """Mono speech. ``sample_rate_hz``: 8000, 12000, 16000, 24000 or 48000."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._lib = library()
        self.frame = sample_rate_hz * PACKET_MS // 1000
        fault = ctypes.c_int()
        self._state = self._lib.opus_encoder_create(sample_rate_hz, 1, _VOIP, ctypes.byref(fault))
        if not self._state:
            raise ValueError(f"libopus takes no {sample_rate_hz} Hz")
        wanted = {
            _SET_BITRATE: BITRATE_BPS,
            _SET_COMPLEXITY: COMPLEXITY,
            _SET_INBAND_FEC: 1,
            _SET_LOSS: EXPECTED_LOSS_PERCENT,
            _SET_DTX: 1,
            _SET_SIGNAL: _SIGNAL_VOICE,
        }
        for request, value in wanted.items():
            # Variadic: the arguments are given as C would promote them.
            self._lib.opus_encoder_ctl(
                ctypes.c_void_p(self._state), ctypes.c_int(request), ctypes.c_int(value)
            )
        self._out = ctypes.create_string_buffer(MAX_PACKET)
        # To ask an array for its address takes longer than to copy 20 ms of it.
        self._in = np.zeros(self.frame, dtype=np.int16)
        self._from = self._in.ctypes.data

    def encode(self, pcm: Pcm) -> bytes:
        """One packet of 20 ms. Of at most two bytes where the silence lasts: it need not be sent."""
        if len(pcm) != self.frame:
            raise OpusError(f"a packet has {self.frame} samples, not {len(pcm)}")
        self._in[:] = pcm
        size: int = self._lib.opus_encode(self._state, self._from, self.frame, self._out, MAX_PACKET)
        if size < 0:
            raise OpusError(f"libopus does not encode ({size})")
        return ctypes.string_at(self._out, size)

    def close(self) -> None:
        """Free it; twice is once."""
        if self._state:
            self._lib.opus_encoder_destroy(self._state)
            self._state = None


class Decoder:
    """To mono at the rate that is wanted, whatever the sender has."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._lib = library()
        self._rate = sample_rate_hz
        fault = ctypes.c_int()
        self._state = self._lib.opus_decoder_create(sample_rate_hz, 1, ctypes.byref(fault))
        if not self._state:
            raise ValueError(f"libopus gives no {sample_rate_hz} Hz")
        self._out = np.zeros(sample_rate_hz * MAX_MS // 1000, dtype=np.int16)
        self._to = self._out.ctypes.data

    def decode(self, packet: bytes) -> Pcm:
        """A packet that came. Raises ``OpusError``."""
        return self._decode(packet, self._rate * MAX_MS // 1000, copy=False)

    def conceal(self, samples: int, next_packet: bytes | None = None) -> Pcm:
        """What stands in for audio that did not come: from the copy in the packet behind it, where that has one, else
        what libopus makes up, which fades. Whole multiples of 2.5 ms."""
        return self._decode(next_packet, samples, copy=next_packet is not None)

    def _decode(self, packet: bytes | None, samples: int, *, copy: bool) -> Pcm:
        size = len(packet) if packet is not None else 0
        room = min(samples, len(self._out))
        count: int = self._lib.opus_decode(self._state, packet, size, self._to, room, int(copy))
        if count < 0:
            raise OpusError(f"not an Opus packet ({size} bytes)")
        return self._out[:count].copy()

    def close(self) -> None:
        """Free it; twice is once."""
        if self._state:
            self._lib.opus_decoder_destroy(self._state)
            self._state = None
