"""The answers to the voice webhook, and how a carrier reads them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from telephony.carriers.twilio import twiml
from telephony.carriers.twilio.simulator.errors import (
    CallHungUp,
    CallRejected,
    StreamRefused,
    WebhookFailed,
)
from telephony.carriers.twilio.simulator.instructions import StreamPlan, read_twiml
from telephony.errors import InvalidInstruction
from telephony.ports import ForwardOrder
from tests.fakes.twilio.fields import oddities


def test_connect_stream_is_one_bidirectional_stream_with_its_parameters() -> None:
    document = twiml.connect_stream("wss://h.example/media/t", "CA1", {"agent": 'a&b "<é>"'})
    root = ElementTree.fromstring(document)
    assert [verb.tag for verb in root] == ["Connect"]
    (stream,) = root[0]
    assert stream.attrib == {"url": "wss://h.example/media/t"}
    assert read_twiml(document, "CA1") == StreamPlan(
        "CA1", "wss://h.example/media/t", {"agent": 'a&b "<é>"', "call_id": "CA1"}
    )


def test_the_status_callback_is_optional() -> None:
    document = twiml.connect_stream("wss://h/media", "CA1", status_callback="https://h/s?a=1&b=2")
    stream = ElementTree.fromstring(document)[0][0]
    assert stream.get("statusCallback") == "https://h/s?a=1&b=2"


def test_the_call_id_cannot_be_replaced_by_a_parameter() -> None:
    assert read_twiml(twiml.connect_stream("wss://h/m", "CA1", {"call_id": "x"}), "").parameters == {
        "call_id": "CA1"
    }


@pytest.mark.parametrize("length", [493, 494, 2000])
def test_a_parameter_of_500_characters_is_refused(length: int) -> None:
    """Name (6) and value together must have fewer than 500."""
    if 6 + length < twiml.PARAMETER_LIMIT:
        assert twiml.connect_stream("wss://h/m", "CA1", {"sealed": "x" * length})
    else:
        with pytest.raises(InvalidInstruction, match=r"'sealed'.*fewer than 500"):
            twiml.connect_stream("wss://h/m", "CA1", {"sealed": "x" * length})


@pytest.mark.parametrize(
    "url", ["https://h/m", "/media", "wss:///m", "wss://h/m?token=1", "wss://h/m?", "wss://h/m#x", ""]
)
def test_a_stream_url_that_twilio_refuses_is_refused_here(url: str) -> None:
    with pytest.raises(InvalidInstruction):
        twiml.connect_stream(url, "CA1")


def test_a_nameless_parameter_is_refused() -> None:
    with pytest.raises(InvalidInstruction, match="name"):
        twiml.connect_stream("wss://h/m", "CA1", {"": "x"})


@pytest.mark.parametrize("reason", ["rejected", "busy"])
def test_reject_is_the_only_verb_and_has_its_reason(reason: str) -> None:
    document = twiml.reject(reason)  # type: ignore[arg-type]  # a parametrized literal
    root = ElementTree.fromstring(document)
    assert [(verb.tag, verb.attrib) for verb in root] == [("Reject", {"reason": reason})]
    with pytest.raises(CallRejected) as caught:
        read_twiml(document, "CA1")
    assert caught.value.reason == reason


def test_another_reason_is_refused() -> None:
    with pytest.raises(InvalidInstruction, match="busy"):
        twiml.reject("offline")  # type: ignore[arg-type]  # the point of the test


def test_hangup_ends_the_call() -> None:
    assert [verb.tag for verb in ElementTree.fromstring(twiml.hangup())] == ["Hangup"]
    with pytest.raises(CallHungUp):
        read_twiml(twiml.hangup(), "CA1")


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        ("", WebhookFailed, 12100),
        ("<Response>", WebhookFailed, 12100),
        ("<html/>", WebhookFailed, 12100),
        ("<Response><Dial>+1</Dial></Response>", WebhookFailed, 12200),
        ("<Response><Connect><Room/></Connect></Response>", WebhookFailed, 12200),
        ("<Response>" + " " * 70_000 + "</Response>", WebhookFailed, 11750),
        ("<Response/>", CallHungUp, None),
        ("<Response><Say>bye</Say></Response>", CallHungUp, None),
        ('<Response><Connect><Stream url="wss://h/m?x=1"/></Connect></Response>', StreamRefused, 31920),
        ('<Response><Connect><Stream url="ws://h/m"/></Connect></Response>', StreamRefused, 31910),
        ("<Response><Connect><Stream/></Connect></Response>", StreamRefused, 31910),
        (
            '<Response><Connect><Stream url="wss://h/m"><Parameter name="n" value="'
            + "x" * 499
            + '"/></Stream></Connect></Response>',
            StreamRefused,
            31922,
        ),
    ],
)
def test_the_carrier_refuses_what_twilio_refuses(body: str, error: type[Exception], code: int | None) -> None:
    with pytest.raises(error) as caught:
        read_twiml(body, "CA1")
    assert getattr(caught.value, "twilio_code", None) == code


def test_a_stream_on_this_machine_needs_no_tls() -> None:
    body = '<Response><Say>hi</Say><Connect><Stream url="ws://127.0.0.1:8080/m"/></Connect></Response>'
    assert read_twiml(body, "CA1").url == "ws://127.0.0.1:8080/m"


def test_keys_are_pressed_and_what_comes_next_is_asked_for() -> None:
    root = ElementTree.fromstring(twiml.press("ww12#", "https://h.example/p/twilio/resume"))
    assert [(verb.tag, verb.attrib, verb.text) for verb in root] == [
        ("Play", {"digits": "ww12#"}, None),
        ("Redirect", {"method": "POST"}, "https://h.example/p/twilio/resume"),
    ]
    assert oddities(root) == []


@pytest.mark.parametrize("digits", ["", "12x", "1" * 33, "1\n", "٣"])
def test_what_twilio_has_no_tones_for_is_refused(digits: str) -> None:
    with pytest.raises(InvalidInstruction, match="1 to 32"):
        twiml.press(digits, "https://h/r")


def test_a_forward_to_a_number_rings_on_and_tells_who_picks_up() -> None:
    order = ForwardOrder("+15550003333", "+15550002222", announcement="hello")
    root = ElementTree.fromstring(twiml.dial(order, "https://h/done", "https://h/told", "https://h/whisper"))
    (verb,) = root
    assert (verb.tag, verb.attrib) == (
        "Dial",
        {
            "answerOnBridge": "true",
            "timeout": "25",
            "action": "https://h/done",
            "method": "POST",
            "callerId": "+15550002222",
        },
    )
    (noun,) = verb
    assert (noun.tag, noun.text, noun.get("url")) == ("Number", "+15550003333", "https://h/whisper")
    assert (noun.get("statusCallback"), noun.get("statusCallbackEvent")) == (
        "https://h/told",
        "answered completed",
    )
    assert oddities(root) == []


def test_a_forward_to_a_sip_address_is_escaped_and_shows_what_the_carrier_shows() -> None:
    order = ForwardOrder("sip:a@h.example?X-A=1&X-B=<2>")
    root = ElementTree.fromstring(twiml.dial(order, "https://h/done", "https://h/told"))
    (verb,), (noun,) = root, root[0]
    assert "callerId" not in verb.attrib
    assert (noun.tag, noun.text, noun.get("url")) == ("Sip", order.to, None)
    assert oddities(root) == []


def test_a_whisper_is_spoken_and_goes_on_to_the_caller() -> None:
    root = ElementTree.fromstring(twiml.whisper("Fish & <chips>", "de-AT"))
    assert [(verb.tag, verb.text, verb.get("language")) for verb in root] == [
        ("Say", "Fish & <chips>", "de-DE")
    ]
