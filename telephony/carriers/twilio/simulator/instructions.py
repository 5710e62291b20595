"""What the server wants done with the call: the TwiML of its answer, read as Twilio would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

from telephony.carriers.twilio.simulator.errors import (
    CallHungUp,
    CallRejected,
    StreamRefused,
    WebhookFailed,
)

_PARAMETER_LIMIT: Final = 500
_MAX_DOCUMENT: Final = 65_536
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_SILENT_VERBS: Final = ("Say", "Play", "Pause")
"""Verbs that a simulated caller passes over at once: they change what is heard, not where the call goes."""


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A media stream to open. For a forged token use ``dataclasses.replace(plan, url=...)``."""

    call_sid: str
    url: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_twiml(body: str, call_sid: str) -> StreamPlan:
    """Follow the document to its ``<Connect><Stream>``.

    Raises ``CallRejected``, ``CallHungUp`` where it ends without a stream, ``StreamRefused`` for a stream
    that Twilio would not open, and ``WebhookFailed`` for what is no TwiML or has verbs not simulated.
    """
    if len(body) > _MAX_DOCUMENT:
        raise WebhookFailed(f"the TwiML has {len(body)} characters, more than {_MAX_DOCUMENT}", 200, 11750)
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise WebhookFailed(f"the answer is not XML: {error}", 200, 12100) from None
    if root.tag != "Response":
        raise WebhookFailed(f"the TwiML begins with <{root.tag}>, not with <Response>", 200, 12100)
    for verb in root:
        if verb.tag == "Reject":
            raise CallRejected(verb.get("reason", "rejected"))
        if verb.tag == "Hangup":
            break
        if verb.tag == "Connect":
            stream = verb.find("Stream")
            if stream is None:
                raise WebhookFailed("<Connect> without <Stream> is not simulated", 200, 12200)
            return stream_plan(stream, call_sid)
        if verb.tag not in _SILENT_VERBS:
            raise WebhookFailed(f"the verb <{verb.tag}> is not simulated", 200, 12200)
    raise CallHungUp("the TwiML ended the call without opening a stream")


def stream_plan(stream: ElementTree.Element, call_sid: str) -> StreamPlan:
    """A ``<Stream>`` as Twilio reads it. Raises ``StreamRefused``."""
    url = stream.get("url", "")
    parts = urlsplit(url)
    if "?" in url:
        raise StreamRefused(f"the stream URL has a query: {url}", None, 31920)
    if parts.scheme != "wss" and not (parts.scheme == "ws" and parts.hostname in _LOOPBACK):
        raise StreamRefused(f"a stream needs wss:// (ws:// only to this machine), not {url!r}", None, 31910)
    parameters: dict[str, str] = {}
    for parameter in stream.findall("Parameter"):
        name, value = parameter.get("name", ""), parameter.get("value", "")
        if not name or len(name) + len(value) >= _PARAMETER_LIMIT:
            raise StreamRefused(f"stream parameter {name[:40]!r} is nameless or too long", None, 31922)
        parameters[name] = value
    return StreamPlan(call_sid, url, parameters)
