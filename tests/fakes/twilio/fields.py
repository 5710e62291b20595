"""What Twilio takes: the parameters of its REST API, and the verbs and attributes of its TwiML.

Source: the pages of the Call and IncomingPhoneNumber resources, and those of the verbs. Pure.
"""

from __future__ import annotations

from xml.etree import ElementTree

CALLBACK_EVENTS = ("initiated", "ringing", "answered", "completed")
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
