"""G.711 against the standard library where it still has it, and against its frozen checksums everywhere."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from typing import Any

import numpy as np
import pytest

from media import g711

EVERY_SAMPLE = np.arange(65536, dtype=np.uint16).view(np.int16)
EVERY_OCTET = bytes(range(256))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def audioop() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("audioop")
        except ModuleNotFoundError:
            pytest.skip("this Python no longer has audioop; the checksums stand in for it")


def test_every_value_is_that_of_audioop() -> None:
    reference = audioop()
    samples = EVERY_SAMPLE.tobytes()
    assert g711.ulaw_encode(EVERY_SAMPLE) == reference.lin2ulaw(samples, 2)
    assert g711.alaw_encode(EVERY_SAMPLE) == reference.lin2alaw(samples, 2)
    assert g711.ulaw_decode(EVERY_OCTET).tobytes() == reference.ulaw2lin(EVERY_OCTET, 2)
    assert g711.alaw_decode(EVERY_OCTET).tobytes() == reference.alaw2lin(EVERY_OCTET, 2)


def test_every_value_has_the_checksum_that_audioop_had() -> None:
    """Taken from audioop of Python 3.11, little-endian."""
    assert (
        digest(g711.ulaw_encode(EVERY_SAMPLE))
        == "617fa4850d68d3906597e949f7625fb2fc46db479e29707f33159b3d131721cb"
    )
    assert (
        digest(g711.alaw_encode(EVERY_SAMPLE))
        == "f77c76aa923ee25617453f87514828a12896227f82ff383bf3bb53d6ac7c2a0f"
    )
    assert (
        digest(g711.ulaw_decode(EVERY_OCTET).astype("<i2").tobytes())
        == "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827"
    )
    assert (
        digest(g711.alaw_decode(EVERY_OCTET).astype("<i2").tobytes())
        == "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174"
    )


def test_silence() -> None:
    zero = np.zeros(3, np.int16)
    assert g711.ulaw_encode(zero) == bytes([g711.ULAW_SILENCE] * 3)
    assert g711.alaw_encode(zero) == bytes([g711.ALAW_SILENCE] * 3)
    assert g711.ulaw_decode(bytes([g711.ULAW_SILENCE])).tolist() == [0]
    assert g711.alaw_decode(bytes([g711.ALAW_SILENCE])).tolist() == [8]


def test_a_decoded_value_encodes_back_to_itself() -> None:
    """So audio passed on by the server unchanged reaches the far end as it was."""
    ulaw = g711.ulaw_encode(g711.ulaw_decode(EVERY_OCTET))
    # Mu-law has two zeros; both mean silence.
    assert ulaw == EVERY_OCTET.replace(b"\x7f", b"\xff")
    assert g711.alaw_encode(g711.alaw_decode(EVERY_OCTET)) == EVERY_OCTET


@pytest.mark.parametrize(
    ("encode", "decode"), [(g711.ulaw_encode, g711.ulaw_decode), (g711.alaw_encode, g711.alaw_decode)]
)
def test_the_error_stays_within_one_step(encode: Any, decode: Any) -> None:
    samples = np.arange(-32000, 32001, 7).astype(np.int16)
    error = np.abs(decode(encode(samples)).astype(np.int32) - samples)
    assert bool(np.all(error <= np.maximum(np.abs(samples.astype(np.int32)) / 16, 16)))


def test_what_comes_in_is_left_alone_and_any_buffer_will_do() -> None:
    samples = np.array([0, 1000, -1000], np.int16)
    samples.flags.writeable = False
    data = g711.ulaw_encode(samples)
    decoded = g711.ulaw_decode(memoryview(data))
    assert decoded.dtype == np.int16
    assert np.array_equal(decoded, g711.ulaw_decode(bytearray(data)))
    assert g711.ulaw_encode(np.zeros(0, np.int16)) == b""
    assert len(g711.ulaw_decode(b"")) == 0
    # A view with gaps, such as one channel of a stereo recording.
    assert g711.ulaw_encode(np.repeat(samples, 2)[::2]) == data
