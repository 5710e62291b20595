"""The frames between the server and a voice worker.

To the worker, JSON: ``{"speak": {...}}`` and ``{"cancel": id}``. From the worker, one byte for the kind, the
id of the request as little-endian u32, then the content. A worker does one request at a time and answers
each speak with any number of words and audio, then exactly one done or failed; a cancelled one is done.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

import numpy as np

from media.frames import Pcm
from pipeline.ports import TtsAudio, TtsWord

_HEAD = struct.Struct("<cI")
_WORD = struct.Struct("<Idd")


@dataclass(frozen=True, slots=True)
class Speak:
    """One piece of text, ready to be synthesised."""

    request_id: int
    text: str
    sample_rate_hz: int
    language: str
    voice: str | None
    speed: float


@dataclass(frozen=True, slots=True)
class Cancel:
    request_id: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded its engine and knows these."""

    languages: tuple[str, ...]
    voices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """The engine is not on this machine; the cause says how to install it."""

    cause: str


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    cause: str
    retryable: bool


ToWorker = Speak | Cancel
FromWorker = Ready | Missing | TtsAudio | TtsWord | Done | Failed


def encode_order(order: ToWorker) -> bytes:
    if isinstance(order, Cancel):
        return json.dumps({"cancel": order.request_id}).encode()
    return json.dumps({"speak": asdict(order)}).encode()


def decode_order(frame: bytes) -> ToWorker:
    content = json.loads(frame)
    if "cancel" in content:
        return Cancel(content["cancel"])
    return Speak(**content["speak"])


def encode_report(report: FromWorker, request_id: int = 0) -> bytes:
    match report:
        case TtsAudio(pcm):
            return _HEAD.pack(b"A", request_id) + pcm.astype("<i2", copy=False).tobytes()
        case TtsWord(index, start_s, end_s):
            return _HEAD.pack(b"W", request_id) + _WORD.pack(index, start_s, end_s)
        case Done():
            return _HEAD.pack(b"D", request_id)
        case Failed() | Ready() | Missing():
            kind = type(report).__name__[:1].encode()
            return _HEAD.pack(kind, request_id) + json.dumps(asdict(report)).encode()


def decode_report(frame: bytes) -> tuple[int, FromWorker]:
    """Raises ``ValueError`` for what is no frame of ours."""
    if len(frame) < _HEAD.size:
        raise ValueError("a frame of a voice worker is shorter than its head")
    kind, request_id = _HEAD.unpack_from(frame)
    content = frame[_HEAD.size :]
    match kind:
        case b"A":
            pcm: Pcm = np.frombuffer(content, "<i2").astype(np.int16, copy=False)
            return request_id, TtsAudio(pcm)
        case b"W" if len(content) == _WORD.size:
            return request_id, TtsWord(*_WORD.unpack(content))
        case b"D":
            return request_id, Done()
        case b"F":
            return request_id, Failed(**json.loads(content))
        case b"R":
            lists = json.loads(content)
            return request_id, Ready(tuple(lists["languages"]), tuple(lists["voices"]))
        case b"M":
            return request_id, Missing(**json.loads(content))
    raise ValueError(f"a voice worker sent a frame of an unknown kind {kind!r}")
