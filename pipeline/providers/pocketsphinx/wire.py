"""What the engine and its workers say to each other, one frame of the worker's socket each.

Pure. To the worker: ``begin``, ``audio``, ``end``, ``cancel``; from it: ``ready`` or ``failed`` once, then
``begun`` when it takes a segment up, ``partial``, ``part`` (the beginning of a very long segment, done for
good) and ``final``. Each names its segment by a serial number of the engine, so that what was on its way when
a segment was taken back is known for what it is.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from pipeline.ports import SttWord

_HEAD = struct.Struct("<cI")


@dataclass(frozen=True, slots=True)
class Begin:
    serial: int
    sample_rate_hz: int
    phrases: tuple[str, ...]
    mean: tuple[float, ...] | None
    """The caller's cepstral mean as the worker told it with an earlier segment."""


@dataclass(frozen=True, slots=True)
class Audio:
    serial: int
    pcm: bytes
    """16-bit samples in native order."""


@dataclass(frozen=True, slots=True)
class End:
    serial: int


@dataclass(frozen=True, slots=True)
class Cancel:
    serial: int


ToWorker = Begin | Audio | End | Cancel


@dataclass(frozen=True, slots=True)
class Ready:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot work, and ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The worker is alive and works on this segment from now on."""

    serial: int


@dataclass(frozen=True, slots=True)
class Partial:
    serial: int
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Part:
    """The text of the first ``samples`` of the segment is settled; what follows starts afresh."""

    serial: int
    samples: int
    """At the rate of the segment."""
    text: str
    confidence: float
    words: tuple[SttWord, ...]


@dataclass(frozen=True, slots=True)
class Final:
    serial: int
    text: str
    confidence: float
    words: tuple[SttWord, ...]
    mean: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Phrases that cannot be listened for, each with the reason; told once for each set."""

    phrases: tuple[tuple[str, str], ...]


FromWorker = Ready | Failed | Begun | Partial | Part | Final | Dropped


def encode(message: ToWorker) -> bytes:
    match message:
        case Begin(serial, rate, phrases, mean):
            return _HEAD.pack(b"B", serial) + json.dumps([rate, phrases, mean]).encode()
        case Audio(serial, pcm):
            return _HEAD.pack(b"A", serial) + pcm
        case End(serial):
            return _HEAD.pack(b"E", serial)
        case Cancel(serial):
            return _HEAD.pack(b"X", serial)


def decode(frame: bytes) -> ToWorker:
    """Raises ``ValueError`` for a frame that ``encode`` did not make."""
    kind, serial = _HEAD.unpack_from(frame)
    body = frame[_HEAD.size :]
    match kind:
        case b"B":
            rate, phrases, mean = json.loads(body)
            return Begin(serial, rate, tuple(phrases), tuple(mean) if mean else None)
        case b"A":
            return Audio(serial, body)
        case b"E":
            return End(serial)
        case b"X":
            return Cancel(serial)
    raise ValueError(f"unknown kind of frame {kind!r}")


_KINDS = {kind.__name__: kind for kind in (Ready, Failed, Begun, Partial, Part, Final, Dropped)}


def encode_answer(message: FromWorker) -> bytes:
    fields = {name: getattr(message, name) for name in message.__slots__}
    if isinstance(message, Part | Final):
        fields["words"] = [[w.word, w.start_s, w.end_s, w.confidence] for w in message.words]
    return json.dumps([type(message).__name__, fields]).encode()


def decode_answer(frame: bytes) -> FromWorker:
    """Raises ``ValueError`` or ``KeyError`` for a frame that ``encode_answer`` did not make."""
    name, fields = json.loads(frame)
    for key in ("phrases", "words", "mean"):
        if fields.get(key) is not None:
            fields[key] = tuple(tuple(item) if isinstance(item, list) else item for item in fields[key])
    if "words" in fields:
        fields["words"] = tuple(SttWord(*word) for word in fields["words"])
    message: FromWorker = _KINDS[name](**fields)
    return message
