"""The AudioSocket wire: what a PBX sends, cut up anyhow, and what it is sent."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.carriers.audiosocket import wire

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
PCM = np.array([0, 1, -1, 32_767, -32_768], dtype=np.int16)


def parsed(data: bytes) -> list[wire.Message]:
    return wire.Parser().feed(data)


def test_a_call_says_which_it_is() -> None:
    # Type, length in network order, and the UUID's own bytes.
    assert wire.identify(CALL) == bytes.fromhex("01 0010 40325ec25efd4bd3805f53576e581d13")
    assert parsed(wire.identify(CALL)) == [wire.Identify(CALL)]


def test_hangup_is_three_zero_bytes_and_the_end() -> None:
    assert wire.hangup() == b"\0\0\0"
    parser = wire.Parser()
    assert parser.feed(wire.hangup() + wire.dtmf("1")) == [wire.Hangup()]
    assert parser.over
    assert parser.feed(wire.dtmf("1")) == []


@pytest.mark.parametrize(("kind", "rate_hz"), wire.RATES_HZ.items())
def test_audio_of_every_rate_is_little_endian(kind: int, rate_hz: int) -> None:
    data = wire.audio(PCM, rate_hz)
    assert data == bytes((kind, 0, 10)) + bytes.fromhex("0000 0100 ffff ff7f 0080")
    (audio,) = parsed(data)
    assert isinstance(audio, wire.Audio)
    assert audio.rate_hz == rate_hz
    assert audio.pcm.dtype == np.int16
    assert audio.pcm.tolist() == PCM.tolist()


def test_sixteen_khz_has_the_kind_that_the_documentation_gives_it() -> None:
    assert (wire.KINDS[8_000], wire.KINDS[16_000], wire.KINDS[48_000]) == (0x10, 0x12, 0x16)


def test_keys_are_pressed() -> None:
    assert wire.dtmf("5") == b"\x03\0\x015"
    assert parsed(b"".join(map(wire.dtmf, "1*#d"))) == [wire.Dtmf(digit) for digit in "1*#D"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (b"", "an error"),
        (b"\x01", "the caller hung up"),
        (b"\x06", "frame forwarding error and memory error"),
        (b"\x80", "error 0x80"),
        (b"\x12\x34", "error 1234"),
    ],
)
def test_errors_are_put_into_words(code: bytes, said: str) -> None:
    assert parsed(wire.fault(code)) == [wire.Fault(code)]
    assert wire.meaning(code) == said


@pytest.mark.parametrize(
    "data",
    [
        wire.message(wire.IDENTIFY, b"short"),
        wire.message(wire.DTMF, b""),
        wire.message(wire.DTMF, b"12"),
        wire.message(wire.DTMF, b"x"),
        wire.message(wire.AUDIO, b"odd"),
    ],
)
def test_a_payload_that_is_none_of_its_kind_does_not_hide_what_follows(data: bytes) -> None:
    first, second = parsed(data + wire.dtmf("7"))
    assert isinstance(first, wire.Malformed)
    assert second == wire.Dtmf("7")


def test_a_kind_that_is_not_known_is_passed_over() -> None:
    assert parsed(wire.message(0x42, b"later") + wire.dtmf("7")) == [wire.Unknown(0x42), wire.Dtmf("7")]


def test_a_message_that_is_too_long_is_not_made() -> None:
    with pytest.raises(ValueError, match="at most 65535"):
        wire.message(wire.AUDIO, bytes(65_536))
    with pytest.raises(KeyError):
        wire.audio(PCM, 11_025)


def comparable(found: list[wire.Message]) -> list[object]:
    return [(m.rate_hz, m.pcm.tobytes()) if isinstance(m, wire.Audio) else m for m in found]


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=20))
def test_how_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    parser, found = wire.Parser(), []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(edges):
        found += parser.feed(data[start:end])
    assert comparable(found) == comparable(parsed(data))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50)), max_size=50))
def test_every_message_is_found_and_nothing_else(sent: list[tuple[int, bytes]]) -> None:
    found = parsed(b"".join(wire.message(kind, payload) for kind, payload in sent))
    kinds = [kind for kind, _ in sent]
    expected = kinds.index(wire.HANGUP) + 1 if wire.HANGUP in kinds else len(kinds)
    assert len(found) == expected


def test_no_more_than_one_message_is_held() -> None:
    parser = wire.Parser()
    data = wire.message(wire.AUDIO, bytes(0xFFFF - 1)) * 3
    for start in range(0, len(data), 1000):
        parser.feed(data[start : start + 1000])
        assert len(parser._held) < wire.HEADER + wire.MAX_PAYLOAD
