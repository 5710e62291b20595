"""What Twilio's callbacks about a call say, in the words of the port.

Source: https://www.twilio.com/docs/voice/api/call-resource#statuscallback. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from telephony.ports import AnsweredBy, DialProgress, DialState

_STATES: Final[dict[str, DialState]] = {
    "queued": "queued",
    "initiated": "initiated",
    "ringing": "ringing",
    "in-progress": "answered",
    "completed": "completed",
    "busy": "busy",
    "no-answer": "no_answer",
    "failed": "failed",
    "canceled": "canceled",
}
OVER: Final[frozenset[DialState]] = frozenset({"completed", "busy", "no_answer", "failed", "canceled"})
"""What a call does not come back from."""
_SIP: Final = {
    403: "forbidden: may this account call that country?",
    404: "no such number",
    408: "the other side's network gave no answer",
    410: "the number is gone",
    480: "not to be reached",
    484: "the number is incomplete",
    486: "busy",
    487: "given up before it was answered",
    488: "the other side takes no such audio",
    503: "the network is overloaded",
    600: "busy everywhere",
    603: "declined",
    604: "the number exists nowhere",
    607: "unwanted",
    608: "rejected by the network",
}
_MACHINES: Final[dict[str, AnsweredBy]] = {"human": "human", "fax": "fax", "unknown": "unknown"}


def progress(form: Mapping[str, str]) -> DialProgress | None:
    """A status callback; None for one of a status that nobody knows."""
    state = _STATES.get(form.get("CallStatus", ""))
    if state is None:
        return None
    # One without a number is as new as can be: of final states there is only one.
    sequence = form.get("SequenceNumber", "")
    order = int(sequence) if sequence.isascii() and sequence.isdecimal() and len(sequence) < 10 else 1 << 30
    return DialProgress(form.get("CallSid", ""), state, order, _detail(form))


def _detail(form: Mapping[str, str]) -> str:
    parts = []
    code = form.get("SipResponseCode", "")
    if code.isascii() and code.isdecimal() and len(code) == 3 and code != "200":
        meaning = _SIP.get(int(code))
        parts.append(f"SIP {code}" + (f" ({meaning})" if meaning else ""))
    error = form.get("ErrorCode", "")
    if error.isascii() and error.isdecimal() and len(error) < 8:
        parts.append(f"Twilio error {error}")
    return ", ".join(parts)


def answered_by(form: Mapping[str, str]) -> AnsweredBy:
    """``AnsweredBy`` of answering machine detection: ``machine_start``, ``machine_end_beep`` ... are machines."""
    value = form.get("AnsweredBy", "")
    return "machine" if value.startswith("machine") else _MACHINES.get(value, "unknown")
