"""Checks of the STUN and TURN servers, and of the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from media.rtc.asking import NotServed, Relay, allocated, seen_from
from server import ice
from server.commands.doctor.case import Case
from server.commands.doctor.findings import Finding, fail, ok, skipped, warn, worst

FAR, VERY_FAR = 5.0, 60.0
"""Seconds that two clocks may differ. Dates of HTTP are whole seconds."""
_UNAUTHORISED = 401
_QUOTA = 486


async def stun(case: Case) -> Finding:
    found = case.settings
    servers = ice.stun_servers(found.ice_servers)
    if not found.webrtc or not servers:
        return skipped(
            "no stun: address in TALKWIRE_ICE_SERVERS" if found.webrtc else "TALKWIRE_WEBRTC is off"
        )
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_stun(server, case)) for server in servers]
    return worst([task.result() for task in asked])


async def _stun(server: tuple[str, int], case: Case) -> Finding:
    name = f"stun:{server[0]}:{server[1]}"
    try:
        address, _ = await seen_from(server, case.timeout_s / 2)
    except NotServed as error:
        return fail(f"{name}: {error}", "check the address, and that this machine may send UDP to it")
    told = case.settings.webrtc_address
    if told and address not in told:
        return warn(
            f"{name} sees {address}, and TALKWIRE_WEBRTC_ADDRESS has {', '.join(told)}",
            "set TALKWIRE_WEBRTC_ADDRESS to the address by which browsers reach this machine",
        )
    return ok(f"{name} sees this machine as {address}")


async def turn(case: Case) -> Finding:
    found = case.settings
    urls = tuple(url for url in found.ice_servers if not url.startswith("stun:"))
    if not found.webrtc or not urls:
        return skipped(
            "no turn: address in TALKWIRE_ICE_SERVERS" if found.webrtc else "TALKWIRE_WEBRTC is off"
        )
    password = found.turn_password.get_secret_value() if found.turn_password else None
    secret = found.turn_secret.get_secret_value() if found.turn_secret else None
    entry = ice.Turn(secret, found.turn_username, password)
    # As a browser gets them.
    given = ice.servers(urls, entry, datetime.now(UTC).timestamp(), "doctor", relay=True)
    if not given:
        return fail(
            "browsers are not given it: nothing is set to enter it with",
            "set TALKWIRE_TURN_SECRET, or TALKWIRE_TURN_USERNAME and TALKWIRE_TURN_PASSWORD",
        )
    username, credential = given[0].username or "", given[0].credential or ""
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_turn(url, username, credential, case)) for url in urls]
    return worst([task.result() for task in asked])


async def _turn(url: str, username: str, credential: str, case: Case) -> Finding:
    try:
        address, port = await allocated(
            Relay.of(url), username, credential, case.timeout_s / 2, context=lambda: case.context
        )
    except NotServed as error:
        if error.code == _UNAUTHORISED:
            remedy = (
                "TALKWIRE_TURN_SECRET must be its static-auth-secret; else TALKWIRE_TURN_USERNAME and "
                "TALKWIRE_TURN_PASSWORD one of its users"
            )
        elif error.code == _QUOTA:
            remedy = (
                "it allows no further relays to this user: raise its quota (coturn: user-quota, total-quota)"
            )
        else:
            remedy = "check its address, that it runs, and that a firewall lets its port through"
        return fail(f"{url}: {error}", remedy)
    return ok(f"{url} relays for us, at {address} port {port}")


async def clock(case: Case) -> Finding:
    found = case.settings
    endpoint = found.endpoint("llm")
    if found.twilio_account_sid is not None:
        asked = found.twilio_api_url
    elif endpoint is not None and endpoint[0] is not None:
        asked = endpoint[0]
    else:
        return skipped("neither Twilio nor an endpoint is set, whose clock could be compared")
    before = datetime.now(UTC)
    try:
        answer = await case.http.head(asked)
    except httpx.HTTPError as error:
        return warn(
            f"{asked} tells no time: {str(error) or type(error).__name__}",
            "see what the other checks say of it",
        )
    after = datetime.now(UTC)
    try:
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return skipped(f"{asked} tells no time")
    told = told if told.tzinfo is not None else told.replace(tzinfo=UTC)
    # The second that it names is half over by and large.
    off_s = (before + (after - before) / 2 - told).total_seconds() - 0.5
    text = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} {asked}"
    remedy = "have it set by NTP (timedatectl set-ntp true): tokens and TURN credentials expire by it"
    if abs(off_s) >= VERY_FAR:
        return fail(text, remedy)
    return (
        warn(text, remedy)
        if abs(off_s) >= FAR
        else ok(f"within a second or so of {asked}" if abs(off_s) < 2 else text)
    )
