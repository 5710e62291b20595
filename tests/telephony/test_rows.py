"""Rows of the list of what a Twilio server must get right, as far as they need no server: 1, 6, 7, 8, 10, 21."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from media.playout import Playout
from pipeline.events import BotFinished
from telephony.carriers.twilio import signature, twiml, wire
from telephony.errors import CarrierProtocolError, InvalidInstruction
from tests.media.test_playout import FarEnd
from tests.telephony.test_twilio_leg import STOP, media, streamed

TOKEN, PUBLIC = "12345", "https://voice.example.org"
FORM = [("CallSid", "CA1"), ("From", "+15550001111"), ("To", "+15550002222")]


def by_hand(url: str, params: list[tuple[str, str]]) -> str:
    """Twilio's rule, written anew: the names sorted, of each its different values sorted."""
    text = url + "".join(name + value for name, value in sorted(set(params)))
    return base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


@pytest.mark.parametrize(
    "params",
    [
        pytest.param(FORM, id="valid"),
        pytest.param([*FORM, ("FromCity", ""), ("ToCity", "")], id="blank"),
        pytest.param([*FORM, ("Digits", "2"), ("Digits", "1")], id="duplicate"),
        pytest.param([], id="empty"),
    ],
)
def test_row_1_valid_blank_and_duplicate_parameters(params: list[tuple[str, str]]) -> None:
    given = by_hand(f"{PUBLIC}/twilio/voice", params)
    assert signature.verify(TOKEN, PUBLIC, "/twilio/voice", params, given)
    assert not signature.verify(TOKEN, PUBLIC, "/twilio/voice", [*params, ("More", "1")], given)
    assert not signature.verify("54321", PUBLIC, "/twilio/voice", params, given)


@pytest.mark.parametrize("given", [None, "", "AAAA", "ü"])
def test_row_1_missing_and_wrong(given: str | None) -> None:
    assert not signature.verify(TOKEN, PUBLIC, "/twilio/voice", FORM, given)


@pytest.mark.parametrize(
    ("public", "path", "signed"),
    [
        (PUBLIC, "/twilio/voice", f"{PUBLIC}/twilio/voice"),
        (PUBLIC + "/", "/twilio/voice?a=1&b=%20", f"{PUBLIC}/twilio/voice?a=1&b=%20"),
        (f"{PUBLIC}/phone", "/twilio/voice", f"{PUBLIC}/phone/twilio/voice"),
        (f"{PUBLIC}/phone", "/phone/twilio/voice", f"{PUBLIC}/phone/twilio/voice"),
        (f"{PUBLIC}:8443", "/twilio/voice", f"{PUBLIC}:8443/twilio/voice"),
    ],
)
def test_row_1_a_proxy_and_a_public_url_with_a_prefix(public: str, path: str, signed: str) -> None:
    assert signature.verify(TOKEN, public, path, FORM, by_hand(signed, FORM))
    assert not signature.verify(TOKEN, public, path, FORM, by_hand(signed.replace("https", "http"), FORM))


def test_row_1_the_upgrade_is_signed_over_wss() -> None:
    given = by_hand("wss://voice.example.org/twilio/media/TOKEN", [])
    assert signature.verify(TOKEN, PUBLIC, "/twilio/media/TOKEN", [], given, websocket=True)
    assert not signature.verify(TOKEN, PUBLIC, "/twilio/media/TOKEN", [], given)
    assert not signature.verify(TOKEN, PUBLIC, "/twilio/media/TOKEN/", [], given, websocket=True)


def test_row_1_a_json_body() -> None:
    body = '{"a": 1}'
    path = f"/hook?bodySHA256={hashlib.sha256(body.encode()).hexdigest()}"
    given = by_hand(PUBLIC + path, [])
    assert signature.verify(TOKEN, PUBLIC, path, [], given, json_body=body)
    assert not signature.verify(TOKEN, PUBLIC, path, [], given, json_body=body + " ")
    assert not signature.verify(TOKEN, PUBLIC, "/hook", [], by_hand(f"{PUBLIC}/hook", []), json_body=body)


def test_row_6_counters_are_strings_and_a_missing_chunk_is_silence() -> None:
    listener, _, _ = streamed(media(1), media(3), STOP)
    assert [(frame.start, len(frame.pcm)) for frame in listener.frames] == [(0, 160), (160, 160), (320, 160)]
    assert not listener.frames[1].pcm.any()
    assert listener.frames[2].pcm.any()


def test_row_6_a_timestamp_of_an_hour() -> None:
    message = media(180_001)
    message["media"]["timestamp"] = str(3_600_020)  # type: ignore[index]
    parsed = wire.parse(json.dumps(message))
    assert isinstance(parsed, wire.Media)
    assert (parsed.chunk, parsed.timestamp_ms) == (180_001, 3_600_020)


def test_row_7_an_unknown_event_is_passed_over() -> None:
    listener, _, leg = streamed({"event": "teleport", "streamSid": "MZ1"}, media(1), STOP)
    assert len(listener.frames) == 1
    assert leg.counters.faults == 0


def test_row_7_malformed_base64_is_passed_over_and_counted() -> None:
    broken = media(1)
    broken["media"]["payload"] = "%%%"  # type: ignore[index]
    listener, _, leg = streamed(broken, media(2), STOP)
    assert leg.counters.faults == 1
    assert listener.ends == [("hangup", "the caller hung up")]
    assert len(listener.frames) >= 1


def test_row_7_a_giant_frame_is_not_read() -> None:
    with pytest.raises(CarrierProtocolError, match="at most"):
        wire.parse("x" * (wire.MAX_MESSAGE_CHARS + 1))


def test_row_8_no_drift_over_ten_minutes_and_a_bounded_lead() -> None:
    playout = Playout(8000, lead_ms=300)
    playout.write(np.zeros(8000 * 600, dtype=np.int16))
    far = FarEnd(playout)
    far.run(0.0, 599.0, step=0.013)
    assert far.gaps == []
    ahead_s = far.played / 8000 - 599.0
    assert 0 <= ahead_s <= 0.301
    assert all(size % 160 == 0 for _, size in far.sends)


def test_row_8_a_stall_of_500_ms_costs_no_more_than_itself() -> None:
    playout = Playout(8000, lead_ms=300)
    playout.write(np.ones(8000 * 3, dtype=np.int16))
    far = FarEnd(playout)
    far.run(0.0, 1.0)
    far.run(1.5, 5.0)
    assert sum(far.gaps) <= 0.5 - 0.3 + 0.03
    assert far.played == 8000 * 3


def test_row_10_a_lost_mark_does_not_keep_the_bot_from_having_finished() -> None:
    from tests.fakes.leg import FakeLeg
    from tests.fakes.tts import FakeTts
    from tests.pipeline.test_session import Scene, call

    class Deaf(FakeLeg):
        """No mark ever comes back."""

        def mark(self, name: str) -> None: ...

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", "one two three", "")
        await scene.leg.silence(6.0)

    scene = call(script, voice=FakeTts(word_ms=250), leg=Deaf)
    (finished,) = scene.of(BotFinished)
    assert finished.duration_ms == pytest.approx(750, abs=60)
    assert scene.at(BotFinished) < 4.0


def test_row_21_twiml_is_escaped() -> None:
    document = twiml.connect_stream(
        "wss://h/t?".rstrip("?"), "CA1", {"name": '<&"'}, action="https://h/a?b=1&c=2"
    )
    root = ElementTree.fromstring(document)
    values = {p.get("name"): p.get("value") for p in root.iter("Parameter")}
    assert values == {"name": '<&"', "call_id": "CA1"}
    connect = root.find("Connect")
    assert connect is not None
    assert connect.get("action") == "https://h/a?b=1&c=2"
    assert ElementTree.fromstring(twiml.say("<Hangup/> & more"))[0].text == "<Hangup/> & more"


def test_row_21_a_parameter_has_fewer_than_500_characters() -> None:
    twiml.connect_stream("wss://h/t", "CA1", {"n" * 100: "v" * 399})
    with pytest.raises(InvalidInstruction, match="fewer than 500"):
        twiml.connect_stream("wss://h/t", "CA1", {"n" * 100: "v" * 400})
