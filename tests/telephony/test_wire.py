"""The Media Streams wire: what Twilio sends, what it takes, and what neither side may choke on."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.carriers.twilio import wire
from telephony.carriers.twilio.simulator import wire as carrier
from telephony.carriers.twilio.simulator.errors import InvalidMessage
from telephony.errors import CarrierProtocolError, TelephonyError

IDS = carrier.StreamIds("AC1", "CA1", "MZ1")
START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"call_id": "CA1"},
    },
}


def media(**body: object) -> str:
    return json.dumps(
        {"event": "media", "media": {"chunk": "2", "timestamp": "20", "payload": "/w==", **body}}
    )


# --- what the carrier sends -------------------------------------------------------------------------------


def test_start_says_whose_stream_it_is_and_how_it_is_coded() -> None:
    assert wire.parse(json.dumps(START)) == wire.Start(
        stream_sid="MZ1",
        call_sid="CA1",
        account_sid="AC1",
        tracks=("inbound",),
        encoding=wire.ENCODING,
        sample_rate_hz=wire.SAMPLE_RATE_HZ,
        channels=1,
        custom_parameters={"call_id": "CA1"},
    )


def test_media_is_decoded() -> None:
    text = media(track="inbound", payload=base64.b64encode(bytes(range(160))).decode())
    assert wire.parse(text) == wire.Media("inbound", 2, 20, bytes(range(160)))


@pytest.mark.parametrize(("chunk", "read"), [("7", 7), (7, 7), ("0", 0), ("3600000", 3_600_000)])
def test_counters_are_read_as_strings_and_as_numbers(chunk: object, read: int) -> None:
    message = wire.parse(media(chunk=chunk, timestamp=chunk))
    assert isinstance(message, wire.Media)
    assert (message.chunk, message.timestamp_ms) == (read, read)


@pytest.mark.parametrize(
    "chunk", ["", "-1", "+1", " 1", "1_0", "1.0", "٣", "9" * 17, -1, 1.5, True, None, [], 2**60, "1e3"]
)
def test_a_counter_that_is_no_whole_number_is_refused(chunk: object) -> None:
    with pytest.raises(CarrierProtocolError, match=r"media\.chunk"):
        wire.parse(media(chunk=chunk))


@pytest.mark.parametrize("payload", ["/w=", "/w", "/w==\n", "/w==/w==", "é", "*", None, 5, ["/w=="]])
def test_bad_base64_is_refused(payload: object) -> None:
    with pytest.raises(CarrierProtocolError, match=r"media\.payload"):
        wire.parse(media(payload=payload))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (carrier.connected(), wire.Connected("Call", "1.0.0")),
        (carrier.dtmf("MZ1", 5, "#"), wire.Dtmf("#")),
        ('{"event":"dtmf","dtmf":{"digit":"a"}}', wire.Dtmf("A")),
        (carrier.mark("MZ1", 4, 'bot-1:200 "é"'), wire.Mark('bot-1:200 "é"')),
        (carrier.stop(IDS, 9), wire.Stop("CA1")),
        ('{"event":"video","video":{}}', wire.Unknown("video")),
        ('{"event":"' + "x" * 500 + '"}', wire.Unknown("x" * 64)),
    ],
)
def test_the_other_messages(text: str, message: wire.Message) -> None:
    assert wire.parse(text) == message


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\ud800", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "not a JSON object"),
        ('"media"', "not a JSON object"),
        ("{}", "no 'event'"),
        ('{"event":5}', "no 'event'"),
        ('{"event":["media"]}', "no 'event'"),
        ('{"event":"connected"}', r"connected\.protocol"),
        ('{"event":"media"}', "'media' is not an object"),
        ('{"event":"media","media":[]}', "'media' is not an object"),
        ('{"event":"media","media":{"payload":"/w==","track":5}}', r"media\.track"),
        ('{"event":"media","media":{"payload":"/w==","chunk":"1"}}', r"media\.timestamp"),
        ('{"event":"dtmf","dtmf":{"digit":"12"}}', r"dtmf\.digit"),
        ('{"event":"dtmf","dtmf":{"digit":""}}', r"dtmf\.digit"),
        ('{"event":"mark"}', "'mark'"),
        ('{"event":"mark","mark":{}}', r"mark\.name"),
        ('{"event":"stop"}', "'stop'"),
        ('{"event":"stop","stop":{"callSid":null}}', r"stop\.callSid"),
        (" " * (wire.MAX_MESSAGE_CHARS + 1), "characters"),
    ],
)
def test_what_the_protocol_does_not_allow_is_said(text: str, match: str) -> None:
    with pytest.raises(CarrierProtocolError, match=match) as caught:
        wire.parse(text)
    assert (caught.value.code, caught.value.blame) == ("CARRIER_PROTOCOL_ERROR", "carrier")
    assert isinstance(caught.value, TelephonyError)


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("callSid",), None, "callSid"),
        (("streamSid",), 5, "streamSid"),
        (("accountSid",), ..., "accountSid"),
        (("tracks",), "inbound", "tracks"),
        (("tracks",), [1], "tracks"),
        (("mediaFormat",), ..., "mediaFormat"),
        (("mediaFormat", "sampleRate"), "8k", "sampleRate"),
        (("mediaFormat", "encoding"), ..., "encoding"),
        (("customParameters",), [], "customParameters"),
        (("customParameters", "n"), 5, "customParameters"),
    ],
)
def test_a_start_with_a_hole_is_refused(path: tuple[str, ...], value: object, match: str) -> None:
    message = json.loads(json.dumps(START))
    place = message["start"]
    for name in path[:-1]:
        place = place[name]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(CarrierProtocolError, match=match):
        wire.parse(json.dumps(message))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = "event start media dtmf mark stop payload chunk timestamp track digit name callSid streamSid"
field_names = st.sampled_from([*_NAMES.split(), "accountSid", "tracks", "mediaFormat", "customParameters"])
bodies = st.dictionaries(field_names, json_values | st.sampled_from(["/w==", "1", "5", "CA1"]), max_size=6)
events = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "other"])


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(CarrierProtocolError):
        wire.parse(text)


@given(event=events, body=bodies | json_values, rest=bodies)
def test_no_message_raises_anything_else(event: str, body: object, rest: dict[str, object]) -> None:
    text = json.dumps({**rest, event: body, "event": event})
    try:
        message = wire.parse(text)
    except CarrierProtocolError:
        return
    assert isinstance(message, wire.Message)


@given(data=st.data())
def test_no_damaged_message_raises_anything_else(data: st.DataObject) -> None:
    """One character of a good message changed, removed or doubled."""
    good = data.draw(st.sampled_from([json.dumps(START), media(), carrier.stop(IDS, 3), carrier.connected()]))
    at = data.draw(st.integers(0, len(good) - 1))
    text = (
        good[:at]
        + data.draw(st.sampled_from(["", good[at] * 2, "\x00", '"', "}", "9", "é"]))
        + good[at + 1 :]
    )
    with contextlib.suppress(CarrierProtocolError):
        wire.parse(text)


# --- what we send, and what the carrier makes of it -------------------------------------------------------

sids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(sid=sids, audio=st.binary(min_size=1, max_size=500))
def test_the_carrier_understands_our_media(sid: str, audio: bytes) -> None:
    assert carrier.parse(wire.media(sid, audio), sid) == carrier.ReceivedMedia(audio)


@given(sid=sids, name=sids)
def test_the_carrier_understands_our_marks_and_clears(sid: str, name: str) -> None:
    assert carrier.parse(wire.mark(sid, name), sid) == carrier.ReceivedMark(name)
    assert carrier.parse(wire.clear(sid), sid) == carrier.ReceivedClear()


@given(audio=st.binary(max_size=500), chunk=st.integers(0, 2**40))
def test_we_understand_the_carriers_media(audio: bytes, chunk: int) -> None:
    text = carrier.media("MZ1", 3, chunk, 20 * chunk, base64.b64encode(audio).decode())
    assert wire.parse(text) == wire.Media("inbound", chunk, 20 * chunk, audio)


@given(parameters=st.dictionaries(sids, st.text(st.characters(codec="utf-8"), max_size=40)))
def test_we_understand_the_carriers_start(parameters: dict[str, str]) -> None:
    message = wire.parse(carrier.start(IDS, carrier.MediaFormat(), parameters))
    assert isinstance(message, wire.Start)
    assert message.custom_parameters == parameters
    assert (message.call_sid, message.account_sid, message.stream_sid) == ("CA1", "AC1", "MZ1")
    assert (message.encoding, message.sample_rate_hz, message.channels) == ("audio/x-mulaw", 8000, 1)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("nope", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"event":"hangup","streamSid":"MZ1"}', "unknown event"),
        ('{"event":["media"],"streamSid":"MZ1"}', "unknown event"),
        ('{"event":"clear"}', "fields"),
        ('{"event":"clear","streamSid":"MZ1","sequenceNumber":"1"}', "fields"),
        ('{"event":"clear","streamSid":"MZ2"}', "streamSid"),
        ('{"event":"media","streamSid":"MZ1","media":{"payload":"!"}}', "base64"),
        ('{"event":"media","streamSid":"MZ1","media":{"payload":""}}', "empty"),
        ('{"event":"media","streamSid":"MZ1","media":{"payload":"/w==","track":"outbound"}}', "payload"),
        ('{"event":"mark","streamSid":"MZ1","mark":{"name":5}}', "name"),
        ('{"event":"mark","streamSid":"MZ1","mark":{"name":""}}', "name"),
    ],
)
def test_the_carrier_drops_what_twilio_drops(text: str, match: str) -> None:
    with pytest.raises(InvalidMessage, match=match) as caught:
        carrier.parse(text, "MZ1")
    assert caught.value.twilio_code == 31951
