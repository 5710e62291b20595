"""The answers to Twilio's voice webhook, as TwiML.

Source: https://www.twilio.com/docs/voice/twiml and the pages of its verbs. What Twilio would refuse at the
call, where nobody sees why, is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from telephony.errors import InvalidInstruction
from telephony.ports import ForwardOrder

CONTENT_TYPE: Final = "text/xml"
PARAMETER_LIMIT: Final = 500
"""Name and value of one ``<Parameter>`` together must have fewer characters."""
DIGITS: Final = re.compile(r"[0-9A-D*#wW]{1,32}", re.ASCII)


_SPOKEN: Final = {
    "ca": "ca-ES",
    "da": "da-DK",
    "de": "de-DE",
    "en": "en-US",
    "es": "es-ES",
    "fi": "fi-FI",
    "fr": "fr-FR",
    "it": "it-IT",
    "ja": "ja-JP",
    "ko": "ko-KR",
    "nb": "nb-NO",
    "nl": "nl-NL",
    "pl": "pl-PL",
    "pt": "pt-BR",
    "ru": "ru-RU",
    "sv": "sv-SE",
    "zh": "zh-CN",
}
"""Languages of ``<Say>`` with a voice at no further charge."""


@lru_cache(maxsize=1)
def _response_class() -> Any:
    # 30 ms of import that a process without Twilio never pays.
    from twilio.twiml.voice_response import VoiceResponse

    return VoiceResponse


def connect_stream(
    url: str,
    call_id: str,
    parameters: Mapping[str, str] | None = None,
    *,
    action: str | None = None,
    status_callback: str | None = None,
) -> str:
    """Answer, and join the call to a bidirectional media stream at ``url``.

    ``parameters`` come back in the stream's ``start`` as ``customParameters``, with ``call_id`` among them.
    ``action`` is asked what comes next when the stream is over; without it the call ends then. ``status_callback`` is an
    absolute URL that is told of ``stream-started``, ``stream-stopped`` and ``stream-error``.

    Raises ``InvalidInstruction`` for a URL or a parameter that Twilio does not take.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("wss", "ws") or not parts.netloc:
        raise InvalidInstruction(f"a stream needs an absolute wss:// URL, not {url!r}")
    if parts.query or parts.fragment or "?" in url:
        raise InvalidInstruction(
            f"Twilio refuses a stream URL with a query (error 31920): use parameters for {url!r}"
        )
    values = {**(parameters or {}), "call_id": call_id}
    for name, value in values.items():
        if not name:
            raise InvalidInstruction("a stream parameter needs a name")
        if len(name) + len(value) >= PARAMETER_LIMIT:
            raise InvalidInstruction(
                f"stream parameter {name[:40]!r}: name and value have {len(name) + len(value)} characters; "
                f"Twilio takes fewer than {PARAMETER_LIMIT}"
            )
    response = _response_class()()
    callback = {} if status_callback is None else {"status_callback": status_callback}
    connect = response.connect() if action is None else response.connect(action=action, method="POST")
    stream = connect.stream(url=url, **callback)
    for name, value in values.items():
        stream.parameter(name=name, value=value)
    return str(response)


def press(digits: str, then: str) -> str:
    """Press keys for the other side, and ask the absolute URL ``then`` what comes next.

    Raises ``InvalidInstruction`` for what Twilio has no tones for (error 13430).
    """
    if not DIGITS.fullmatch(digits):
        raise InvalidInstruction(f"Twilio plays 1 to 32 of 0-9 A-D * # w W as digits, not {digits[:40]!r}")
    response = _response_class()()
    response.play(digits=digits)
    response.redirect(then, method="POST")
    return str(response)


def dial(order: ForwardOrder, action: str, told: str, announced: str = "") -> str:
    """Join the caller to somebody else; ``action`` is asked what comes next when that is over, or does not come about.
    ``told``: is told when somebody picks up and when he hangs up. ``announced``: is asked for what he is told before.
    All are absolute URLs. The caller hears it ring, and is billed as one call, until then (``answerOnBridge``)."""
    response = _response_class()()
    shown = {"caller_id": order.caller_id} if order.caller_id else {}
    verb = response.dial(
        answer_on_bridge=True, timeout=order.ring_timeout_s, action=action, method="POST", **shown
    )
    how = {
        "status_callback": told,
        "status_callback_method": "POST",
        "status_callback_event": "answered completed",
    }
    if announced:
        how |= {"url": announced, "method": "POST"}
    if order.to.startswith(("sip:", "sips:")):
        verb.sip(order.to, **how)
    else:
        verb.number(order.to, **how)
    return str(response)


def whisper(text: str, language: str = "en") -> str:
    """Have Twilio speak a text to who has picked up; then he is joined to the caller."""
    response = _response_class()()
    response.say(text, language=_SPOKEN.get(language.split("-")[0].lower(), "en-US"))
    return str(response)


@dataclass(frozen=True, slots=True)
class Room:
    """A conference of two. ``wait`` is asked what who is alone in it hears, ``told`` who comes and goes; absolute
    URLs."""

    name: str
    wait: str
    told: str


def wait(room: Room, action: str) -> str:
    """Have a caller wait in a conference until ``join`` brings somebody; ``action`` is asked what comes next when he is
    out of it."""
    response = _response_class()()
    _confer(response.dial(action=action, method="POST"), room, starts=False)
    return str(response)


def join(room: Room) -> str:
    """Put somebody into a conference with who waits there. When he leaves it is over."""
    response = _response_class()()
    _confer(response.dial(), room, starts=True)
    return str(response)


def _confer(dial: Any, room: Room, *, starts: bool) -> None:
    # Twilio takes the callback of who comes first, whoever that is.
    dial.conference(
        room.name,
        start_conference_on_enter=starts,
        end_conference_on_exit=True,
        beep="false",
        max_participants=2,
        wait_url=room.wait,
        wait_method="POST",
        status_callback=room.told,
        status_callback_method="POST",
        status_callback_event="join leave",
    )


def music(url: str, then: str, times: int = 10) -> str:
    """Play a sound file; then ``then`` is asked what comes next. Absolute URLs."""
    response = _response_class()()
    response.play(url, loop=times)
    response.redirect(then, method="POST")
    return str(response)


def pause(seconds: int, then: str) -> str:
    """Be silent; then the absolute URL ``then`` is asked what comes next."""
    response = _response_class()()
    response.pause(length=seconds)
    response.redirect(then, method="POST")
    return str(response)


def announce(text: str, language: str, then: str) -> str:
    """Have Twilio speak a text to who has picked up; then the absolute URL ``then`` is asked what comes next."""
    response = _response_class()()
    response.say(text, language=_SPOKEN.get(language.split("-")[0].lower(), "en-US"))
    response.redirect(then, method="POST")
    return str(response)


def reject(reason: Literal["rejected", "busy"] = "rejected") -> str:
    """Refuse the call unanswered and uncharged: the caller hears "not in service", or the busy tone."""
    if reason not in ("rejected", "busy"):
        raise InvalidInstruction(f"Twilio rejects a call as 'rejected' or 'busy', not as {reason!r}")
    response = _response_class()()
    response.reject(reason=reason)
    return str(response)


def say(text: str, language: str = "en") -> str:
    """Answer, have Twilio speak a text, and hang up. In a language that it does not know it speaks English."""
    response = _response_class()()
    response.say(text, language=_SPOKEN.get(language.split("-")[0].lower(), "en-US"))
    response.hangup()
    return str(response)


def hangup() -> str:
    """End a call that is answered already: a late or repeated request for a call that is over."""
    response = _response_class()()
    response.hangup()
    return str(response)
