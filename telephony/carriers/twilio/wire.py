"""Twilio Media Streams, the server's side: text frames to values and back, and nothing else.

Source: https://www.twilio.com/docs/voice/media-streams/websocket-messages. Fifty messages a second and call
pass here in each direction, so the frequent one is looked at first and strings are built without a
serialiser. Twilio sends its counters as decimal strings; some peers send numbers: both are read.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from telephony.errors import CarrierProtocolError

MAX_MESSAGE_CHARS: Final = 65_536
"""Longer messages are refused unread. A media message of Twilio has about 390 characters."""
ENCODING: Final = "audio/x-mulaw"
SAMPLE_RATE_HZ: Final = 8000
FRAME_BYTES: Final = 160
"""One frame of 20 ms, as Twilio sends them and as it wants whole multiples of."""
SILENCE: Final = 0xFF
"""The mu-law code of a zero sample."""

_MAX_NUMBER = 2**53
_DTMF_DIGITS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message: the socket is a media stream. It does not yet say of which call."""

    protocol: str
    version: str


@dataclass(frozen=True, slots=True)
class Start:
    """The second message: which call this is, and how its audio is coded."""

    stream_sid: str
    call_sid: str
    account_sid: str
    tracks: tuple[str, ...]
    encoding: str
    sample_rate_hz: int
    channels: int
    custom_parameters: dict[str, str]
    """What the TwiML gave as ``<Parameter>``."""


@dataclass(frozen=True, slots=True)
class Media:
    """20 ms of the caller."""

    track: str
    chunk: int
    """Counts the media messages of a track from 1; a hole in it is lost audio."""
    timestamp_ms: int
    """From the start of the stream."""
    payload: bytes
    """mu-law, one byte a sample."""


@dataclass(frozen=True, slots=True)
class Dtmf:
    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What was sent before the mark of this name has been played, or was cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream is over: the caller hung up, or the call was redirected."""

    call_sid: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A well-formed message of an event that this module does not know."""

    event: str


Message = Connected | Start | Media | Dtmf | Mark | Stop | Unknown


def parse(text: str) -> Message:
    """One text frame from the carrier. Raises ``CarrierProtocolError`` and nothing else."""
    if len(text) > MAX_MESSAGE_CHARS:
        raise CarrierProtocolError(f"message of {len(text)} characters; at most {MAX_MESSAGE_CHARS} are read")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CarrierProtocolError(f"message is not JSON: {error}") from None
    if type(message) is not dict:
        raise CarrierProtocolError("message is not a JSON object")
    event = message.get("event")
    if event == "media":
        return _media(message)
    if type(event) is not str:
        raise CarrierProtocolError("message has no 'event'")
    parser = _PARSERS.get(event)
    return Unknown(event[:64]) if parser is None else parser(message)


def _media(message: dict[str, object]) -> Media:
    body = message.get("media")
    if type(body) is not dict:
        raise CarrierProtocolError("'media' is not an object")
    payload = body.get("payload")
    if type(payload) is not str:
        raise CarrierProtocolError("'media.payload' is missing or no string")
    try:
        audio = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError as error:  # binascii.Error, or text outside ASCII
        raise CarrierProtocolError(f"'media.payload' is not base64: {error}") from None
    track = body.get("track", "inbound")
    if type(track) is not str:
        raise CarrierProtocolError("'media.track' is no string")
    return Media(track, _number(body, "media", "chunk"), _number(body, "media", "timestamp"), audio)


def _connected(message: dict[str, object]) -> Connected:
    return Connected(_text(message, "connected", "protocol"), _text(message, "connected", "version"))


def _start(message: dict[str, object]) -> Start:
    body = _object(message, "start")
    media_format = body.get("mediaFormat")
    if type(media_format) is not dict:
        raise CarrierProtocolError("'start.mediaFormat' is missing or no object")
    tracks = body.get("tracks", [])
    if type(tracks) is not list or any(type(track) is not str for track in tracks):
        raise CarrierProtocolError("'start.tracks' is no list of strings")
    parameters = body.get("customParameters", {})
    # JSON has no other keys than strings, so that only the values need a look.
    if type(parameters) is not dict or any(type(value) is not str for value in parameters.values()):
        raise CarrierProtocolError("'start.customParameters' is no object of strings")
    return Start(
        stream_sid=_text(body, "start", "streamSid"),
        call_sid=_text(body, "start", "callSid"),
        account_sid=_text(body, "start", "accountSid"),
        tracks=tuple(tracks),
        encoding=_text(media_format, "start.mediaFormat", "encoding"),
        sample_rate_hz=_number(media_format, "start.mediaFormat", "sampleRate"),
        channels=_number(media_format, "start.mediaFormat", "channels"),
        custom_parameters=parameters,
    )


def _dtmf(message: dict[str, object]) -> Dtmf:
    digit = _text(_object(message, "dtmf"), "dtmf", "digit").upper()
    if digit not in _DTMF_DIGITS:
        raise CarrierProtocolError(f"'dtmf.digit' is no key of a telephone: {digit[:16]!r}")
    return Dtmf(digit)


def _mark(message: dict[str, object]) -> Mark:
    return Mark(_text(_object(message, "mark"), "mark", "name"))


def _stop(message: dict[str, object]) -> Stop:
    return Stop(_text(_object(message, "stop"), "stop", "callSid"))


_PARSERS: Final[dict[str, Callable[[dict[str, object]], Message]]] = {
    "connected": _connected,
    "start": _start,
    "dtmf": _dtmf,
    "mark": _mark,
    "stop": _stop,
}


def _object(message: dict[str, object], name: str) -> dict[str, object]:
    body = message.get(name)
    if type(body) is not dict:
        raise CarrierProtocolError(f"'{name}' is missing or no object")
    return body


def _text(body: dict[str, object], where: str, name: str) -> str:
    value = body.get(name)
    if type(value) is not str:
        raise CarrierProtocolError(f"'{where}.{name}' is missing or no string")
    return value


def _number(body: dict[str, object], where: str, name: str) -> int:
    value = body.get(name)
    # isdecimal() alone would let through the digits of other scripts, and int() signs and underscores.
    if type(value) is str and 0 < len(value) <= 16 and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is int and 0 <= value <= _MAX_NUMBER:
        return value
    raise CarrierProtocolError(f"'{where}.{name}' is missing or no whole number from 0")


def media(stream_sid: str, ulaw: bytes) -> str:
    """Audio to be played behind what was sent before: mu-law at 8 kHz, no header, whole 20 ms frames."""
    payload = binascii.b2a_base64(ulaw, newline=False).decode("ascii")
    return f'{{"event":"media","streamSid":{_quote(stream_sid)},"media":{{"payload":"{payload}"}}}}'


def mark(stream_sid: str, name: str) -> str:
    """Ask for the mark of this name back when all that was sent before it has been played."""
    return f'{{"event":"mark","streamSid":{_quote(stream_sid)},"mark":{{"name":{_quote(name)}}}}}'


def clear(stream_sid: str) -> str:
    """Throw away what was sent and not yet played; the pending marks come back unplayed."""
    return f'{{"event":"clear","streamSid":{_quote(stream_sid)}}}'


def _quote(text: str) -> str:
    return orjson.dumps(text).decode("utf-8")
