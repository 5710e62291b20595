"""Checks of the account at Twilio, and of its numbers."""

from __future__ import annotations

from typing import Any

from server.commands.doctor.case import Case
from server.commands.doctor.findings import Finding, fail, ok, skipped, warn
from server.commands.numbers import Line, Wanted, lines_of, shown, state_of
from telephony.errors import CarrierError, CarrierRefused


async def account(case: Case) -> Finding:
    """Whether the account takes our tokens, and is good for calls."""
    found = case.settings
    if not found.twilio_auth_tokens and found.twilio_account_sid is None:
        return skipped("TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are unset")
    if found.twilio_account_sid is None or not found.twilio_auth_tokens:
        missing = "TWILIO_ACCOUNT_SID" if found.twilio_account_sid is None else "TWILIO_AUTH_TOKEN"
        return warn(
            f"{missing} is unset: calls cannot be dialled, forwarded or given keys", f"set {missing}, too"
        )
    told: dict[str, Any] = {}
    refused: list[str] = []
    for setting, token in found.twilio_auth_tokens.items():
        rest = case.rest(token)
        try:
            told = await rest.account()
        except CarrierRefused as error:
            if error.status != 401:
                return fail(str(error), "see Twilio's console")
            refused.append(setting)
        except CarrierError as error:
            return fail(str(error), "let this machine reach TWILIO_API_BASE_URL")
        finally:
            await rest.aclose()
    if len(refused) == len(found.twilio_auth_tokens):
        return fail(
            f"Twilio does not take {' or '.join(refused)} for {found.twilio_account_sid}",
            "take both from the same account's console; a sub-account has a SID and a token of its own",
        )
    if refused:
        return warn(
            f"Twilio does not know the token of {refused[0]} any more",
            "unset it"
            if refused[0].endswith("SECONDARY")
            else "set it to the one of TWILIO_AUTH_TOKEN_SECONDARY",
        )
    return _state(told)


def _state(told: dict[str, Any]) -> Finding:
    status, kind = str(told.get("status", "active")), str(told.get("type", "Full"))
    owner = told.get("owner_account_sid")
    sub = f", a sub-account of {owner}" if owner and owner != told.get("sid") else ""
    if status != "active":
        return fail(f"the account is {status}{sub}", "have it opened again in Twilio's console")
    if kind == "Trial":
        return warn(
            f"a trial account{sub}: it calls verified numbers alone, and callers hear a notice first",
            "upgrade it before others are to call",
        )
    return ok(f"{told.get('sid', '')}{sub} is active and takes the token")


async def numbers(case: Case) -> Finding:
    """Whether the account's numbers point at this server, and rightly so."""
    found = case.settings
    if found.twilio_account_sid is None or not found.twilio_auth_tokens:
        return skipped("TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not both set")
    rest = case.rest()
    try:
        lines = lines_of(await rest.numbers())
    except CarrierError as error:
        return fail(str(error), "see the check `account`")
    finally:
        await rest.aclose()
    if not lines:
        return warn("the account has no number that can be called", "buy one in Twilio's console")
    return judged(lines, Wanted.of(found.public_url))


def judged(lines: list[Line], wanted: Wanted) -> Finding:
    """What all numbers together come to."""
    states = [(line, *state_of(line, wanted)) for line in lines]
    broken = [(line, why) for line, state, why in states if state == "broken"]
    odd = [(line, why) for line, state, why in states if state == "odd"]
    here = sum(state in ("here", "odd") for _, state, _ in states)
    count = f"{here} of {len(lines)} numbers point here"
    if broken or odd:
        told = "; ".join(f"{line.number}: {why}" for line, why in (broken + odd)[:5])
        first = (broken + odd)[0][0].number
        make = fail if broken else warn
        return make(f"{count}; {told}", f"talkwire numbers point {first}")
    if not here:
        elsewhere = ", ".join(f"{line.number} -> {shown(line.voice_url) or 'nothing'}" for line in lines[:5])
        return warn(f"{count}: {elsewhere}", f"talkwire numbers point {lines[0].number}")
    return ok(f"{count}, with their status callbacks")
