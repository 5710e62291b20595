"""RTP packets as bytes."""

from __future__ import annotations

import pytest
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from media.rtc.rtp import Rtp, build, extensions, is_control, is_media, parse

PACKET = Rtp(111, 65_535, 4_294_967_295, 0xDEADBEEF, b"sound")


def test_what_is_built_is_read_again_by_us_and_by_others() -> None:
    data = build(PACKET, b"")
    assert parse(data) == PACKET
    theirs = RtpPacket.parse(data)
    assert (theirs.payload_type, theirs.marker, theirs.sequence_number) == (111, 1, 65_535)
    assert (theirs.timestamp, theirs.ssrc, theirs.payload) == (4_294_967_295, 0xDEADBEEF, b"sound")


def test_extensions_are_where_others_look_for_them() -> None:
    ids = HeaderExtensionsMap()
    ids._HeaderExtensionsMap__ids.mid = 4  # type: ignore[attr-defined]
    data = build(PACKET, extensions(*ids.set(HeaderExtensions(mid="audio"))))
    assert RtpPacket.parse(data, ids).extensions.mid == "audio"
    assert parse(data) == PACKET
    assert extensions(0xBEDE, b"") == b""


def test_sources_extensions_and_padding_are_no_payload() -> None:
    ids = HeaderExtensionsMap()
    theirs = RtpPacket(payload_type=111, sequence_number=7, timestamp=960, ssrc=1, payload=b"sound")
    theirs.csrc = [1, 2, 3]
    theirs.padding_size = 9
    assert parse(theirs.serialize(ids)) == Rtp(111, 7, 960, 1, b"sound")


@pytest.mark.parametrize(
    "data", [b"", b"\x80", bytes(11), b"\x90" + bytes(11), b"\xa0" + bytes(10) + b"\xff"]
)
def test_what_is_no_packet_is_none(data: bytes) -> None:
    found = parse(data)
    assert found is None or found.payload == b""


@given(st.binary(max_size=200))
def test_garbage_does_no_harm(data: bytes) -> None:
    found = parse(data)
    assert found is None or len(found.payload) <= len(data)


@pytest.mark.parametrize(
    ("data", "media", "control"),
    [
        (b"", False, False),
        (b"\x00\x01", False, False),
        (b"\x16\xfe", False, False),
        (b"\x80\x6f", True, False),
        (b"\x80\xef", True, False),
        (b"\x81\xc9", True, True),
        (b"\xc0\x00", False, False),
    ],
)
def test_what_comes_by_one_socket_is_told_apart(data: bytes, media: bool, control: bool) -> None:
    assert (is_media(data), is_control(data)) == (media, control)
