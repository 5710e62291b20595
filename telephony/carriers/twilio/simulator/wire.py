"""Twilio Media Streams, the carrier's side: what it sends, and what it takes of what the server sends.

Stricter than most servers: Twilio answers an unknown event, a missing or extra field or a wrong stream id
with warning 31951, once a stream, and drops the message. Nothing is heard, and nothing says why.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from telephony.carriers.twilio.simulator.errors import InvalidMessage

MAX_MARK_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """What ``start`` announces. Only the default is what Twilio sends."""

    encoding: str = "audio/x-mulaw"
    sample_rate_hz: int = 8000
    channels: int = 1


@dataclass(frozen=True, slots=True)
class StreamIds:
    """Whose stream it is."""

    account_sid: str
    call_sid: str
    stream_sid: str


@dataclass(frozen=True, slots=True)
class ReceivedMedia:
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class ReceivedMark:
    name: str


@dataclass(frozen=True, slots=True)
class ReceivedClear:
    pass


Received = ReceivedMedia | ReceivedMark | ReceivedClear

_CLEAR = ReceivedClear()
_FIELDS: Final = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}


def parse(text: str | bytes, stream_sid: str) -> Received:
    """One text frame of the server. Raises ``InvalidMessage``."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(f"not JSON: {error}") from None
    if type(message) is not dict:
        raise InvalidMessage("not a JSON object")
    event = message.get("event")
    fields = _FIELDS.get(event) if type(event) is str else None
    if fields is None:
        raise InvalidMessage(f"unknown event {event!r:.80}")
    if message.keys() != fields:
        raise InvalidMessage(f"{event}: fields are {sorted(message)}, not {sorted(fields)}")
    if message["streamSid"] != stream_sid:
        raise InvalidMessage(f"{event}: streamSid is {message['streamSid']!r:.80}, not {stream_sid!r}")
    if event == "media":
        return _media(message["media"])
    if event == "mark":
        name = _only(message["mark"], "mark", "name")
        if not 0 < len(name) <= MAX_MARK_CHARS:
            raise InvalidMessage(f"mark.name has {len(name)} characters, not 1 to {MAX_MARK_CHARS}")
        return ReceivedMark(name)
    return _CLEAR


def _media(body: Any) -> ReceivedMedia:
    payload = _only(body, "media", "payload")
    try:
        ulaw = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError as error:
        raise InvalidMessage(f"media.payload is not base64: {error}") from None
    if not ulaw:
        raise InvalidMessage("media.payload is empty")
    return ReceivedMedia(ulaw)


def _only(body: Any, where: str, name: str) -> str:
    if type(body) is not dict or body.keys() != {name} or type(body[name]) is not str:
        raise InvalidMessage(f"'{where}' is not an object of one string '{name}'")
    return str(body[name])


def connected() -> str:
    return '{"event":"connected","protocol":"Call","version":"1.0.0"}'


def start(ids: StreamIds, media_format: MediaFormat, parameters: Mapping[str, str]) -> str:
    return _dump(
        {
            "event": "start",
            "sequenceNumber": "1",
            "start": {
                "accountSid": ids.account_sid,
                "streamSid": ids.stream_sid,
                "callSid": ids.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {
                    "encoding": media_format.encoding,
                    "sampleRate": media_format.sample_rate_hz,
                    "channels": media_format.channels,
                },
                "customParameters": dict(parameters),
            },
            "streamSid": ids.stream_sid,
        }
    )


def media(stream_sid: str, sequence: int, chunk: int, timestamp_ms: int, payload: str) -> str:
    """``payload`` is base64 already: the silence and the recordings of a load test are encoded once."""
    return (
        f'{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}",'
        f'"timestamp":"{timestamp_ms}","payload":"{payload}"}},"streamSid":"{stream_sid}"}}'
    )


def dtmf(stream_sid: str, sequence: int, digit: str) -> str:
    return _dump(
        {
            "event": "dtmf",
            "streamSid": stream_sid,
            "sequenceNumber": str(sequence),
            "dtmf": {"track": "inbound_track", "digit": digit},
        }
    )


def mark(stream_sid: str, sequence: int, name: str) -> str:
    return _dump(
        {
            "event": "mark",
            "sequenceNumber": str(sequence),
            "streamSid": stream_sid,
            "mark": {"name": name},
        }
    )


def stop(ids: StreamIds, sequence: int) -> str:
    return _dump(
        {
            "event": "stop",
            "sequenceNumber": str(sequence),
            "streamSid": ids.stream_sid,
            "stop": {"accountSid": ids.account_sid, "callSid": ids.call_sid},
        }
    )


def _dump(message: dict[str, Any]) -> str:
    return orjson.dumps(message).decode("utf-8")
