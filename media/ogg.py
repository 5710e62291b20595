"""As much of Ogg (RFC 3533) as it takes to make a file of Opus (RFC 7845) whole that was never closed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_HEADER = struct.Struct("<4sBBqIIIB")
_MAGIC = b"OggS"
_END = 4
"""Of the flags of a page: it is the last one."""
_RATE_HZ = 48_000
"""In which Opus counts in Ogg, whatever it is made from."""
LONGEST_PAGE = _HEADER.size + 255 + 255 * 255


@dataclass(frozen=True, slots=True)
class Page:
    start: int
    size: int
    flags: int
    granule: int
    """Samples up to its end; -1: no packet ends in it."""


def page_at(data: bytes, start: int) -> Page | None:
    """The whole page that begins here, if there is one and its checksum holds."""
    if len(data) - start < _HEADER.size or data[start : start + 4] != _MAGIC:
        return None
    _, version, flags, granule, _, _, checksum, segments = _HEADER.unpack_from(data, start)
    lengths = data[start + _HEADER.size : start + _HEADER.size + segments]
    size = _HEADER.size + segments + sum(lengths)
    if version or len(lengths) < segments or len(data) - start < size:
        return None
    page = data[start : start + size]
    return Page(start, size, flags, granule) if crc(_blank(page)) == checksum else None


def last_page(data: bytes) -> Page | None:
    """The last whole page in it."""
    start = data.rfind(_MAGIC)
    while start >= 0:
        page = page_at(data, start)
        if page is not None:
            return page
        start = data.rfind(_MAGIC, 0, start)
    return None


def repair(file: BinaryIO) -> int:
    """Cut off what is no whole page, and say of the last one that it is that. Returns the length of the audio in
    milliseconds; 0: there is none. Raises ``OSError``, and ``ValueError`` for a file that is no Ogg."""
    first = file.read(LONGEST_PAGE)
    if first[:4] not in (_MAGIC, b""):
        raise ValueError("it is no Ogg file")
    size = file.seek(0, 2)
    begin = max(0, size - 2 * LONGEST_PAGE)
    file.seek(begin)
    tail = file.read()
    page = last_page(tail)
    if page is None or page.granule <= 0:
        return 0
    file.truncate(begin + page.start + page.size)
    if not page.flags & _END:
        whole = bytearray(tail[page.start : page.start + page.size])
        whole[5] |= _END
        whole[22:26] = struct.pack("<I", crc(_blank(bytes(whole))))
        file.seek(begin + page.start)
        file.write(whole)
    return max(0, page.granule - _pre_skip(first)) * 1000 // _RATE_HZ


def measured(file: BinaryIO) -> tuple[int, int]:
    """Of a file of Opus: the length of its audio in milliseconds, and the rate in Hz that it was made from. Raises
    ``OSError``, and ``ValueError`` for another file."""
    first = file.read(LONGEST_PAGE)
    at = first.find(b"OpusHead")
    if first[:4] != _MAGIC or at < 0:
        raise ValueError("it is no Ogg file of Opus")
    file.seek(max(0, file.seek(0, 2) - 2 * LONGEST_PAGE))
    page = last_page(file.read())
    samples = max(0, page.granule - _pre_skip(first)) if page is not None else 0
    return samples * 1000 // _RATE_HZ, int.from_bytes(first[at + 12 : at + 16], "little")


def _pre_skip(first: bytes) -> int:
    """Samples at the beginning that are not played."""
    at = first.find(b"OpusHead")
    return int.from_bytes(first[at + 10 : at + 12], "little") if at >= 0 else 0


def _blank(page: bytes) -> bytes:
    return page[:22] + bytes(4) + page[26:]


def _table() -> tuple[int, ...]:
    out = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        out.append(value & 0xFFFFFFFF)
    return tuple(out)


_TABLE = _table()


def crc(data: bytes) -> int:
    """The checksum of a page whose own field for it is blank."""
    value = 0
    for byte in data:
        value = ((value << 8) & 0xFFFFFFFF) ^ _TABLE[(value >> 24) ^ byte]
    return value
