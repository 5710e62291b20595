"""``talkwire numbers``: what the numbers of the Twilio account point at, and pointing one at this server."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

from server.auth import is_loopback
from server.settings import Settings, SettingsError
from telephony.carriers.twilio.rest import Rest
from telephony.errors import CarrierError
from telephony.numbers import normalise

VOICE_PATH: Final = "/twilio/voice"
STATUS_PATH: Final = "/twilio/status"
State = Literal["here", "odd", "broken", "elsewhere"]
"""``odd``: calls come, and something is missing; ``broken``: it is meant for this server, and no call comes."""

_OPTIONS: Final = {
    "voice_url": "VoiceUrl",
    "voice_method": "VoiceMethod",
    "status_callback": "StatusCallback",
    "status_callback_method": "StatusCallbackMethod",
    "voice_application_sid": "VoiceApplicationSid",
    "trunk_sid": "TrunkSid",
}
"""What of a number decides where its calls go, as Twilio tells it and as it is set."""


@dataclass(frozen=True, slots=True)
class Line:
    """One number of the account's, as far as calls go."""

    sid: str
    number: str
    name: str = ""
    voice_url: str = ""
    voice_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    voice_application_sid: str = ""
    """A TwiML application, which is asked instead of ``voice_url``."""
    trunk_sid: str = ""
    """A SIP trunk that takes all its calls."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Line:
        def text(name: str, usual: str = "") -> str:
            value = told.get(name)
            return value if isinstance(value, str) and value else usual

        return cls(
            sid=text("sid"),
            number=text("phone_number"),
            name=text("friendly_name"),
            voice_url=text("voice_url"),
            voice_method=text("voice_method", "POST").upper(),
            status_callback=text("status_callback"),
            status_callback_method=text("status_callback_method", "POST").upper(),
            voice_application_sid=text("voice_application_sid"),
            trunk_sid=text("trunk_sid"),
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the numbers of a server are to have."""

    voice_url: str
    status_callback: str

    @classmethod
    def of(cls, public_url: str) -> Wanted:
        base = public_url.rstrip("/")
        return cls(base + VOICE_PATH, base + STATUS_PATH)


def lines_of(told: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Those that can be called, by their numbers."""
    callable_ = [
        one
        for one in told
        if not isinstance(one.get("capabilities"), dict) or one["capabilities"].get("voice", True)
    ]
    return sorted((Line.of(one) for one in callable_), key=lambda line: line.number)


def state_of(line: Line, wanted: Wanted) -> tuple[State, str]:
    """Whether its calls come to this server, and what is wrong with that."""
    here = line.voice_url == wanted.voice_url
    if line.trunk_sid:
        return ("broken" if here else "elsewhere"), f"the SIP trunk {line.trunk_sid} takes its calls"
    if line.voice_application_sid:
        what = f"the application {line.voice_application_sid} is asked, and not its voice URL"
        return ("broken" if here else "elsewhere"), what
    if not here:
        same_host = bool(line.voice_url) and _origin(line.voice_url) == _origin(wanted.voice_url)
        if same_host:
            return "broken", f"its voice URL is {shown(line.voice_url)}, not {wanted.voice_url}"
        return "elsewhere", ""
    if line.voice_method != "POST":
        return "broken", f"its voice URL is asked with {line.voice_method}, not with POST"
    if line.status_callback != wanted.status_callback or line.status_callback_method != "POST":
        told = shown(line.status_callback) or "unset"
        return "odd", f"its status callback is {told}: calls that end while they ring are found out late"
    return "here", ""


def _origin(url: str) -> str:
    return urlsplit(url).netloc.lower()


def shown(url: str) -> str:
    """Without what may be a secret in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "..." if parts.query else "", ""))


# --- the command ------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", metavar="point")
    point = what.add_parser("point", help="point a number at this server")
    point.add_argument("number", help="the number, or its SID (PN...)")
    point.add_argument("--to", metavar="URL", help="a server's public address (default: TALKWIRE_PUBLIC_URL)")
    point.add_argument("--yes", action="store_true", help="do not ask")
    exactly = point.add_argument_group("exact values, as they are told for undoing a change")
    for name, field in _OPTIONS.items():
        exactly.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=f"{field}; '' unsets it")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Returns 0; or 1 with a sentence on stderr."""
    sid, tokens = settings.twilio_account_sid, settings.twilio_auth_tokens
    if sid is None or not tokens:
        raise SettingsError(
            "numbers: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, both of the account that has the numbers"
        )
    rest = Rest(sid, list(tokens.values()), settings.twilio_api_url)
    try:
        lines = lines_of(await rest.numbers())
        if args.what == "point":
            return await _point(args, settings, rest, lines)
    except CarrierError as error:
        print(f"talkwire numbers: {error}", file=sys.stderr)
        return 1
    finally:
        await rest.aclose()
    print("\n".join(table(lines, Wanted.of(settings.public_url), sid)))
    return 0


def table(lines: Sequence[Line], wanted: Wanted, account: str) -> list[str]:
    """The lines that are printed."""
    if not lines:
        return [f"{account} has no numbers that can be called; a sub-account's need its own SID and token"]
    rows = [("NUMBER", "CALLS GO TO", "", "NAME")]
    notes = []
    for line in lines:
        state, why = state_of(line, wanted)
        to = line.trunk_sid or line.voice_application_sid or shown(line.voice_url) or "nowhere"
        mark = {"here": "this server", "odd": "this server (!)", "broken": "(!)", "elsewhere": ""}[state]
        rows.append((line.number, to, mark, line.name))
        if state in ("odd", "broken"):
            notes.append(f"(!) {line.number}: {why}. Mend it: talkwire numbers point {line.number}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    found = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return [*found, *notes]


async def _point(args: argparse.Namespace, settings: Settings, rest: Rest, lines: Sequence[Line]) -> int:
    wanted_number = normalise(args.number)
    line = next((one for one in lines if args.number == one.sid or wanted_number == one.number), None)
    if line is None:
        some = ", ".join(one.number for one in lines[:10]) or "none"
        raise SettingsError(
            f"numbers: {args.number} is not among those of {settings.twilio_account_sid} that can be called ({some}); "
            "a sub-account's numbers need its own SID and token"
        )
    changes = changed(line, _wanted(args, settings))
    if not changes:
        print(f"{line.number} is like that already")
        return 0
    for name, value in changes.items():
        print(
            f"{line.number}  {name.replace('_', ' ')}: {getattr(line, name) or 'unset'} -> {value or 'unset'}"
        )
    if not args.yes and not await asyncio.to_thread(_agreed):
        print("nothing was changed (--yes does not ask)", file=sys.stderr)
        return 1
    told = Line.of(await rest.update_number(line.sid, [(_OPTIONS[n], value) for n, value in changes.items()]))
    print("done. To undo it:")
    print(undoing(line, changes))
    left = changed(told, changes)
    if left:
        print(f"talkwire numbers: Twilio did not take {', '.join(left)}", file=sys.stderr)
        return 1
    return 0


def _agreed() -> bool:
    try:
        return input("change it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _wanted(args: argparse.Namespace, settings: Settings) -> dict[str, str]:
    """What is to be set, by the names of ``Line``'s fields."""
    exact = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    if exact and args.to is not None:
        raise SettingsError("numbers: give --to, or exact values")
    if exact:
        return exact
    base = (settings.public_url if args.to is None else args.to).rstrip("/").removesuffix(VOICE_PATH)
    parts = urlsplit(base)
    if parts.scheme != "https" or not parts.hostname or is_loopback(parts.hostname):
        source = "TALKWIRE_PUBLIC_URL" if args.to is None else "--to"
        raise SettingsError(
            f"numbers: {source} is {base}, where Twilio cannot open a media stream: it must be the https address of the "
            "proxy or tunnel in front of the server"
        )
    wanted = Wanted.of(base)
    # An application or a trunk would be asked instead.
    return {
        "voice_url": wanted.voice_url,
        "voice_method": "POST",
        "status_callback": wanted.status_callback,
        "status_callback_method": "POST",
        "voice_application_sid": "",
        "trunk_sid": "",
    }


def changed(line: Line, wanted: Mapping[str, str]) -> dict[str, str]:
    """Those of the wanted values that it does not have."""
    return {name: value for name, value in wanted.items() if getattr(line, name) != value}


def undoing(before: Line, changes: Mapping[str, str]) -> str:
    """The command that sets back what was changed."""
    options = [f"--{name.replace('_', '-')} {shlex.quote(getattr(before, name))}" for name in changes]
    return f"  talkwire numbers point {before.number} {' '.join(options)}"
