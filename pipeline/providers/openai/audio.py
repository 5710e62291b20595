"""The sound of an answer to ``/audio/speech``: bytes cut anywhere, into samples. Pure.

Asked for is PCM: bare 16-bit little-endian mono samples. Servers that do not know that format answer with a
WAV file, which says its rate itself; its length is not known when it begins, so what the header says of it
counts only where it is possible. Source of the layout: see ``media.wav``.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from media.frames import Pcm

_BARE = ("", "pcm", "x-pcm", "l16", "raw", "x-raw", "octet-stream", "wav", "x-wav", "wave", "vnd.wave")
_RATE = re.compile(r";\s*rate=\"?(\d{4,6})", re.IGNORECASE)
_COMPRESSED = (b"ID3", b"OggS", b"fLaC")
_MAX_HEADER_BYTES = 1 << 16
_ENDLESS = 0x7FFF0000
"""A length from here on says that the writer did not know it."""


class AudioReader:
    """One answer. Raises ``ValueError`` where it is not audio of a kind that can be played as it comes."""

    def __init__(self, content_type: str, rate_hz: int) -> None:
        kind, _, _ = content_type.partition(";")
        family, _, subtype = kind.strip().lower().partition("/")
        if family not in ("audio", "application", "binary", "") or subtype not in _BARE:
            raise ValueError(f"it answered with {kind.strip()} instead of audio/pcm or audio/wav")
        told = _RATE.search(content_type)
        self.rate_hz = int(told[1]) if told else rate_hz
        """In Hz; certain once ``feed`` has returned samples."""
        self._head: bytearray | None = bytearray()
        """What came before the samples; None once they have begun."""
        self._odd = b""
        self._left = _ENDLESS

    def feed(self, data: bytes) -> Pcm:
        """The samples that are complete now, maybe none."""
        if self._head is not None:
            self._head += data
            begun = self._begun(bytes(self._head))
            if begun is None:
                return np.zeros(0, np.int16)
            data, self._head = begun, None
        if self._odd:
            data = self._odd + data
        usable = min(len(data) & ~1, self._left)
        self._odd = data[usable:] if usable < self._left else b""
        if self._left < _ENDLESS:
            self._left -= usable
        return np.frombuffer(data, "<i2", usable // 2).astype(np.int16)

    def flush(self) -> Pcm:
        """The answer is over: what was held back because it might have been a header. Half a sample is lost."""
        head, self._head = self._head, None
        return self.feed(bytes(head)) if head and not head.startswith(b"RIFF") else np.zeros(0, np.int16)

    def _begun(self, head: bytes) -> bytes | None:
        """The samples in what has come so far; None while that is not known."""
        if len(head) < 4:
            return None
        if head.startswith(_COMPRESSED):
            raise ValueError("it answered with compressed audio instead of PCM")
        if not head.startswith(b"RIFF"):
            return head
        return self._after_header(head)

    def _after_header(self, head: bytes) -> bytes | None:
        at, layout = 12, b""
        while at + 8 <= len(head):
            kind, size = struct.unpack_from("<4sI", head, at)
            if kind == b"data":
                self._read_layout(layout)
                self._left = size & ~1 if 0 < size < _ENDLESS else _ENDLESS
                return head[at + 8 :]
            if kind == b"fmt ":
                layout = head[at + 8 : at + 8 + size]
            at += 8 + size + size % 2
        if len(head) > _MAX_HEADER_BYTES:
            raise ValueError("it answered with a WAV file whose samples do not begin")
        return None

    def _read_layout(self, layout: bytes) -> None:
        if len(layout) < 16:
            raise ValueError("it answered with a broken WAV file")
        code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", layout)
        if code not in (1, 0xFFFE) or channels != 1 or bits != 16:
            raise ValueError(
                f"it answered with a WAV file of {channels} channels and {bits} bits, not mono of 16"
            )
        self.rate_hz = rate
