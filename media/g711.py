"""G.711: the two 8-bit companding laws of the telephone, by table.

Source: ITU-T G.711 (11/1988), with the decision rule of the reference code by Sun Microsystems that the
standard library's ``audioop`` used until it was removed in Python 3.13. Decoders agree everywhere; encoders
may differ by one step for the few hundred of the 65,536 values that lie on a decision threshold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from media.frames import Pcm

ULAW_SILENCE = 0xFF
"""The mu-law octet of zero."""
ALAW_SILENCE = 0xD5
"""The A-law octet closest to zero: it decodes to +8, since A-law has no zero."""

_Octets = npt.NDArray[np.uint8]


def _build_ulaw_decoder() -> Pcm:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _build_ulaw_encoder() -> _Octets:
    """Indexed by the sample seen as an unsigned 16-bit number."""
    value = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32) >> 2
    magnitude = np.minimum(np.abs(value), 8158) + 33  # at most 8191, the top of the last segment
    segment = np.searchsorted([0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF], magnitude)
    code: npt.NDArray[np.int64] = segment << 4 | magnitude >> (segment + 1) & 0x0F
    return (code ^ np.where(value < 0, 0x7F, 0xFF)).astype(np.uint8)


def _build_alaw_decoder() -> Pcm:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = code >> 4 & 7
    mantissa = (code & 0x0F) << 4
    magnitude = np.where(segment == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _build_alaw_encoder() -> _Octets:
    """Indexed by the sample seen as an unsigned 16-bit number."""
    value = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32) >> 3
    magnitude = np.where(value < 0, -value - 1, value)
    segment = np.searchsorted([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF], magnitude)
    code: npt.NDArray[np.int64] = segment << 4 | magnitude >> np.maximum(segment, 1) & 0x0F
    return (code ^ np.where(value < 0, 0x55, 0xD5)).astype(np.uint8)


_ULAW_TO_PCM = _build_ulaw_decoder()
_PCM_TO_ULAW = _build_ulaw_encoder()
_ALAW_TO_PCM = _build_alaw_decoder()
_PCM_TO_ALAW = _build_alaw_encoder()


def ulaw_encode(pcm: Pcm) -> bytes:
    """One mu-law octet per sample."""
    return _PCM_TO_ULAW.take(pcm.view(np.uint16)).tobytes()


def ulaw_decode(data: bytes | bytearray | memoryview) -> Pcm:
    """One sample per mu-law octet, full scale +-32124."""
    return _ULAW_TO_PCM.take(np.frombuffer(data, np.uint8))


def alaw_encode(pcm: Pcm) -> bytes:
    """One A-law octet per sample."""
    return _PCM_TO_ALAW.take(pcm.view(np.uint16)).tobytes()


def alaw_decode(data: bytes | bytearray | memoryview) -> Pcm:
    """One sample per A-law octet, full scale +-32256."""
    return _ALAW_TO_PCM.take(np.frombuffer(data, np.uint8))
