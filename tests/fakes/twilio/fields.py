"""What Twilio takes: the parameters of its REST API, and the verbs and attributes of its TwiML.

Source: the pages of the Call and IncomingPhoneNumber resources, and those of the verbs. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

CALLBACK_EVENTS = ("initiated", "ringing", "answered", "completed")
CONFERENCE_EVENTS = frozenset("start end join leave mute hold modify speaker announcement".split())
CREATE = frozenset(
    """To From Url Twiml ApplicationSid Method FallbackUrl FallbackMethod StatusCallback StatusCallbackEvent
    StatusCallbackMethod SendDigits Timeout Record RecordingChannels RecordingStatusCallback
    RecordingStatusCallbackMethod RecordingStatusCallbackEvent SipAuthUsername SipAuthPassword MachineDetection
    MachineDetectionTimeout MachineDetectionSpeechThreshold MachineDetectionSpeechEndThreshold
    MachineDetectionSilenceTimeout AsyncAmd AsyncAmdStatusCallback AsyncAmdStatusCallbackMethod Trim CallerId Byoc
    CallReason CallToken RecordingTrack TimeLimit""".split()
)
UPDATE = frozenset(
    """Url Method Status FallbackUrl FallbackMethod StatusCallback StatusCallbackMethod Twiml TimeLimit""".split()
)
NUMBER = frozenset(
    """VoiceUrl VoiceMethod VoiceFallbackUrl VoiceFallbackMethod StatusCallback StatusCallbackMethod FriendlyName
    SmsUrl SmsMethod VoiceApplicationSid TrunkSid""".split()
)
NUMBER_QUERY = frozenset("PageSize Page PageToken PhoneNumber FriendlyName Beta Origin".split())
_URLS = ("VoiceUrl", "VoiceFallbackUrl", "StatusCallback", "SmsUrl")


def number_as_told(sid: str, account: str, number: str) -> dict[str, Any]:
    """A number as it is when it has just been bought."""
    return {
        "sid": sid,
        "account_sid": account,
        "phone_number": number,
        "friendly_name": "",
        "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
        "voice_url": "https://demo.twilio.com/welcome/voice/",
        "voice_method": "POST",
        "voice_fallback_url": None,
        "voice_fallback_method": "POST",
        "voice_application_sid": None,
        "trunk_sid": None,
        "status_callback": "",
        "status_callback_method": "POST",
        "sms_url": "",
        "sms_method": "POST",
    }


def wrong_in_number(fields: Mapping[str, Sequence[str]]) -> tuple[int, str] | None:
    """Code and message of what Twilio would refuse; None: nothing."""
    for name, (value, *_) in fields.items():
        if name in _URLS and value:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or "." not in (parts.hostname or ""):
                return 21502, f"{name} is not valid: {value}"
        if name.endswith("Method") and value not in ("GET", "POST"):
            return 21403, f"{name} is not valid: {value}"
        if name == "TrunkSid" and value and not value.startswith("TK"):
            return 21703, "TrunkSid is not valid"
        if name == "VoiceApplicationSid" and value and not value.startswith("AP"):
            return 21501, "VoiceApplicationSid is not valid"
    return None


MAX_TWIML = 4000
"""Characters of a document that is given to the REST API."""

_CALLBACKS = {"statusCallback", "statusCallbackMethod", "statusCallbackEvent"}
_TARGET = {"url", "method", *_CALLBACKS, "machineDetection", "amdStatusCallback", "amdStatusCallbackMethod"}
VERBS: dict[str, set[str]] = {
    "Connect": {"action", "method"},
    "Dial": {
        *("action", "method", "timeout", "callerId", "answerOnBridge", "hangupOnStar", "timeLimit", "record"),
        *("ringTone", "trim", "recordingStatusCallback", "recordingStatusCallbackMethod", "sequential"),
    },
    "Hangup": set(),
    "Pause": {"length"},
    "Play": {"digits", "loop"},
    "Redirect": {"method"},
    "Reject": {"reason"},
    "Say": {"voice", "language", "loop"},
    "Start": {"action", "method"},
    "Record": {"action", "method", "timeout", "finishOnKey", "maxLength", "playBeep", "trim"},
}
NOUNS: dict[str, dict[str, set[str]]] = {
    "Connect": {"Stream": {"url", "name", "track", "statusCallback", "statusCallbackMethod"}},
    "Dial": {
        "Number": {*_TARGET, "sendDigits"},
        "Sip": {*_TARGET, "username", "password"},
        "Client": _TARGET,
        "Conference": {
            *(
                "muted",
                "beep",
                "startConferenceOnEnter",
                "endConferenceOnExit",
                "participantLabel",
                "waitUrl",
            ),
            *("waitMethod", "maxParticipants", "coach", "region", "trim", "record", *_CALLBACKS),
        },
    },
    "Start": {
        "Stream": {"url", "name", "track", "statusCallback", "statusCallbackMethod"},
        "Recording": {
            *("channels", "track", "trim", "recordingStatusCallback", "recordingStatusCallbackMethod"),
            "recordingStatusCallbackEvent",
        },
    },
}


def oddities(root: ElementTree.Element) -> list[str]:
    """What Twilio would pass over in a document, or stumble over."""
    found = []
    for index, verb in enumerate(root):
        known = VERBS.get(verb.tag)
        if known is None:
            found.append(f"12200: <{verb.tag}> is no verb")
            continue
        found += [f"12200: <{verb.tag} {name}=>" for name in verb.attrib.keys() - known]
        if verb.tag == "Reject" and index:
            found.append("<Reject> is not the first verb: the call is answered already")
        for noun in verb:
            nouns = NOUNS.get(verb.tag, {})
            if noun.tag not in nouns:
                found.append(f"12200: <{noun.tag}> within <{verb.tag}>")
            else:
                found += [f"12200: <{noun.tag} {name}=>" for name in noun.attrib.keys() - nouns[noun.tag]]
    return found
