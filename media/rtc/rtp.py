"""RTP packets as bytes (RFC 3550, RFC 8285). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

HEADER: Final = Struct("!BBHII")
VERSION: Final = 0x80
_PADDED, _EXTENDED, _SOURCES = 0x20, 0x10, 0x0F
_MARKER = 0x80


@dataclass(slots=True)
class Rtp:
    """What of a packet counts here."""

    payload_type: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


def is_media(data: bytes) -> bool:
    """RTP or RTCP, and not one of the others that come by the same socket (RFC 7983)."""
    return bool(data) and 127 < data[0] < 192


def is_control(data: bytes) -> bool:
    """RTCP and not RTP (RFC 5761)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def parse(data: bytes) -> Rtp | None:
    """A packet whose protection was taken off; None: it is none."""
    if len(data) < HEADER.size:
        return None
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    begin = HEADER.size + 4 * (first & _SOURCES)
    if first & _EXTENDED:
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4])
    end = len(data) - (data[-1] if first & _PADDED else 0)
    if begin > end:
        return None
    return Rtp(second & 0x7F, sequence, timestamp, ssrc, data[begin:end])


def extensions(profile: int, value: bytes) -> bytes:
    """Header extensions as they stand in each packet; empty: there are none."""
    return profile.to_bytes(2) + (len(value) // 4).to_bytes(2) + value if value else b""


def build(packet: Rtp, extended: bytes) -> bytes:
    """A packet, marked as the end of a frame, with ``extensions``."""
    header = HEADER.pack(
        VERSION | (_EXTENDED if extended else 0),
        _MARKER | packet.payload_type,
        packet.sequence_number,
        packet.timestamp,
        packet.ssrc,
    )
    return header + extended + packet.payload
