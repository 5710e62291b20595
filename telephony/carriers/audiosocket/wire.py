"""AudioSocket, both sides: bytes of a TCP connection to messages and back, and nothing else.

Source: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/. A message is a byte that says its
kind, the length of its payload as 16 bits (big-endian), and the payload. The PBX begins with the UUID of the call.
Audio is linear, 16 bits, mono, little-endian; its kind says its rate. A message whose kind is not known, or whose
payload is none of its kind, is of known length: what follows it can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import UUID

import numpy as np

from media.frames import Pcm

HANGUP: Final = 0x00
IDENTIFY: Final = 0x01
DTMF: Final = 0x03
AUDIO: Final = 0x10
FAULT: Final = 0xFF

RATES_HZ: Final = MappingProxyType(
    {
        0x10: 8_000,
        0x11: 12_000,
        0x12: 16_000,
        0x13: 24_000,
        0x14: 32_000,
        0x15: 44_100,
        0x16: 48_000,
        0x17: 96_000,
        0x18: 192_000,
    }
)
"""By kind. All but the first are new in Asterisk (2025), and only its channel driver uses them."""
KINDS: Final = MappingProxyType({rate_hz: kind for kind, rate_hz in RATES_HZ.items()})

MAX_PAYLOAD: Final = 0xFFFF
HEADER: Final = 3
FAULTS: Final = MappingProxyType(
    {0x01: "the caller hung up", 0x02: "frame forwarding error", 0x04: "memory error"}
)
"""What the bits of an error's code mean where Asterisk sends it."""

_DIGITS: Final = frozenset(b"0123456789*#ABCDabcd")


@dataclass(frozen=True, slots=True)
class Hangup:
    """The connection is to be ended. Nothing after it is read."""


@dataclass(frozen=True, slots=True)
class Identify:
    """The first message: which call this is."""

    uuid: UUID


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key was pressed: one of ``0-9 * # A-D``."""

    digit: str


@dataclass(frozen=True, slots=True)
class Audio:
    """Some of the caller; usually 20 ms."""

    rate_hz: int
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Fault:
    """The PBX met an error. Its code may be of any length, and there may be none."""

    code: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A kind of message that is not of this protocol, or not yet."""

    kind: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message whose payload is none of its kind."""

    why: str


Message = Hangup | Identify | Dtmf | Audio | Fault | Unknown | Malformed


class Parser:
    """The messages of one connection, from pieces of any length. Holds one message at most."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.over = False
        """A hangup was read."""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes."""
        held = self._held
        held += data
        found: list[Message] = []
        at = 0
        while not self.over and len(held) - at >= HEADER:
            end = at + HEADER + (held[at + 1] << 8 | held[at + 2])
            if len(held) < end:
                break
            message = _message(held[at], bytes(held[at + HEADER : end]))
            self.over = isinstance(message, Hangup)
            found.append(message)
            at = end
        del held[: len(held) if self.over else at]
        return found


def _message(kind: int, payload: bytes) -> Message:
    rate_hz = RATES_HZ.get(kind)
    if rate_hz is not None:
        if len(payload) % 2:
            return Malformed(f"audio of {len(payload)} bytes, which is no whole number of samples")
        return Audio(rate_hz, np.frombuffer(payload, dtype="<i2").astype(np.int16, copy=False))
    if kind == HANGUP:
        return Hangup()
    if kind == IDENTIFY:
        if len(payload) != 16:
            return Malformed(f"a UUID of {len(payload)} bytes, not 16")
        return Identify(UUID(bytes=payload))
    if kind == DTMF:
        if len(payload) != 1 or payload[0] not in _DIGITS:
            return Malformed(f"DTMF {payload[:8]!r}, which is not one of 0-9 * # A-D")
        return Dtmf(payload.decode("ascii").upper())
    return Fault(payload) if kind == FAULT else Unknown(kind)


def message(kind: int, payload: bytes = b"") -> bytes:
    """Any message. Raises ``ValueError`` for a payload that is too long."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes: at most {MAX_PAYLOAD} fit")
    return bytes((kind, len(payload) >> 8, len(payload) & 0xFF)) + payload


def audio(pcm: Pcm, rate_hz: int) -> bytes:
    """Audio of one of ``RATES_HZ``. Raises ``KeyError`` for another rate, ``ValueError`` for more than fits."""
    return message(KINDS[rate_hz], pcm.astype("<i2", copy=False).tobytes())


def identify(uuid: UUID) -> bytes:
    return message(IDENTIFY, uuid.bytes)


def dtmf(digit: str) -> bytes:
    return message(DTMF, digit.encode("ascii"))


def fault(code: bytes = b"") -> bytes:
    return message(FAULT, code)


def hangup() -> bytes:
    return message(HANGUP)


def meaning(code: bytes) -> str:
    """What an error's code says, in words."""
    if len(code) != 1:
        return f"error {code[:8].hex()}" if code else "an error"
    told = [text for bit, text in FAULTS.items() if code[0] & bit]
    return " and ".join(told) or f"error 0x{code[0]:02x}"
