"""Checks of the way in: what of ``TALKWIRE_PUBLIC_URL`` arrives at this server, and as what."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from server.auth import is_loopback
from server.commands.doctor.case import Case, new_nonce
from server.commands.doctor.findings import START, Finding, fail, ok, skipped, warn, without_server
from server.doors.twilio.checked import CHECK_PATH, CHECK_STREAM_PATH
from telephony.carriers.twilio import signature

BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SOON_DAYS: Final = 14
_FRAME: Final = "x" * 240
"""As long as a media stream's message."""
_TUNNELS: Final = {
    "ngrok": "ngrok shows browsers a page first: use a paid domain of its, or another tunnel",
    "loca.lt": "localtunnel shows browsers a page first: use another tunnel",
    "localtunnel": "localtunnel shows browsers a page first: use another tunnel",
    "cloudflareaccess": "Cloudflare Access asks for a login: exempt this address from it",
    "cloudflare": "Cloudflare challenges who comes: switch that off for this address",
}


# --- the address ------------------------------------------------------------------------------------------


async def public_url(case: Case) -> Finding:
    url = case.settings.public_url
    if url.startswith("http:") and case.is_public:
        return fail(
            f"{url} is not encrypted: Twilio opens media streams over wss alone, and browsers give no microphone",
            "put a proxy with a certificate in front of the server, and set TALKWIRE_PUBLIC_URL to its https address",
        )
    nonce, began = new_nonce(), asyncio.get_running_loop().time()
    try:
        answer = await case.http.get(f"{url}/healthz", params={"nonce": nonce})
    except httpx.HTTPError as error:
        return await _unreached(case, error)
    took_ms = (asyncio.get_running_loop().time() - began) * 1000
    local = await case.local()
    wrong = _not_ours(answer)
    if wrong is not None:
        return wrong
    if not local.ours:
        return skipped(
            f"{url} is answered, but no server with this data directory runs here to compare", START
        )
    if not case.is_ours(str(answer.json().get("proof", "")), nonce):
        return fail(
            f"{url} leads to another Talkwire than the one that runs here",
            f"point the proxy or tunnel at port {case.settings.port} of this machine",
        )
    if not case.is_public and case.settings.twilio_auth_tokens and not _stands_in(case):
        return warn(
            f"it is {url}, which only this machine can reach: Twilio cannot",
            "set TALKWIRE_PUBLIC_URL to the https address of the proxy or tunnel in front of the server",
        )
    page = await _as_browser(case)
    return page or ok(f"{url} reaches this server ({took_ms:.0f} ms)")


def _stands_in(case: Case) -> bool:
    """The carrier is on this machine, too."""
    return is_loopback(httpx.URL(case.settings.twilio_api_url).host)


async def _as_browser(case: Case) -> Finding | None:
    """What is wrong with what a browser sees; None: nothing."""
    url = case.settings.public_url
    try:
        answer = await case.http.get(f"{url}/healthz", headers={"User-Agent": BROWSER, "Accept": "text/html"})
    except httpx.HTTPError as error:
        return warn(f"{url} does not answer browsers: {error}", "see what stands in front of the server")
    wrong = _not_ours(answer)
    if wrong is None:
        return None
    return warn(f"Twilio reaches this server, but a browser does not: {wrong.text}", wrong.remedy)


def _not_ours(answer: httpx.Response) -> Finding | None:
    """What an answer to ``/healthz`` tells that is not from a server of ours; None: it is."""
    where, status = f"{answer.request.url.scheme}://{answer.request.url.netloc.decode()}", answer.status_code
    if 300 <= status < 400:
        to = answer.headers.get("Location", "nowhere")[:200].partition("?")[0].removesuffix("/healthz")
        return fail(
            f"{where} redirects to {to}: Twilio follows, but signs for the first address, and media streams end there",
            "set TALKWIRE_PUBLIC_URL to the address that answers itself, or switch the redirect off",
        )
    if status in (502, 503, 504):
        return fail(f"{where} answers {status}: the proxy is there, and does not reach the server", START)
    if status in (401, 403, 407):
        return fail(
            f"{where} asks for a login ({status})",
            "let what is below this address through without one: the server has its own",
        )
    try:
        told: Any = answer.json()
    except ValueError:
        told = None
    if status == 200 and isinstance(told, dict) and "version" in told:
        return None
    text = (answer.text[:20_000] + answer.headers.get("Server", "")).lower()
    if "html" in answer.headers.get("Content-Type", ""):
        known = next((remedy for word, remedy in _TUNNELS.items() if word in text), None)
        if known is not None or status == 200:
            return fail(
                f"{where} shows a page of its own ({status}) instead of this server",
                known or "point the proxy or tunnel at the server, for all paths",
            )
    return fail(
        f"{where}/healthz is answered with {status}, and not by Talkwire",
        "TALKWIRE_PUBLIC_URL must have the path under which the proxy has the server, and the proxy hand on all below",
    )


async def _unreached(case: Case, error: httpx.HTTPError) -> Finding:
    url = case.settings.public_url
    if isinstance(error.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE" in str(error):
        return fail(f"{url} has a certificate that is not trusted", "see the check `certificate`")
    if isinstance(error, httpx.TimeoutException):
        return fail(
            f"{url} did not answer in time",
            "let its port through the firewall. Where a router does not let machines behind it come back in by their "
            "public address, ask from outside",
        )
    cause = str(error) or type(error).__name__
    if not case.is_public and not (await case.local()).ours:
        return without_server()
    return fail(
        f"{url} cannot be reached: {cause}", "check the name in DNS, and that the proxy or tunnel runs"
    )


# --- the certificate --------------------------------------------------------------------------------------

_X509: Final = {
    10: "it has expired: renew it, and have the proxy load the new one",
    18: "it is self-signed: get one from a public authority, such as Let's Encrypt",
    19: "a certificate of its chain is self-signed: get one from a public authority, such as Let's Encrypt",
    20: "the chain is incomplete: have the proxy send the intermediate certificates, too (fullchain.pem)",
    21: "the chain is incomplete: have the proxy send the intermediate certificates, too (fullchain.pem)",
    62: "it is for another name: get one for the name in TALKWIRE_PUBLIC_URL",
}
"""By OpenSSL's codes (X509_V_ERR)."""


async def certificate(case: Case) -> Finding:
    url = httpx.URL(case.settings.public_url)
    if url.scheme != "https":
        return skipped(f"{case.settings.public_url} has none")
    port = url.port or 443
    try:
        async with asyncio.timeout(case.timeout_s):
            _, writer = await asyncio.open_connection(url.host, port, ssl=case.context)
    except ssl.SSLCertVerificationError as error:
        remedy = _X509.get(error.verify_code, "get one from a public authority, such as Let's Encrypt")
        return fail(f"the certificate of {url.host} is not trusted: {error.verify_message}", remedy)
    except TimeoutError:
        return fail(f"{url.host} port {port} gave no answer", "see the check `public_url`")
    except (OSError, ssl.SSLError) as error:
        return fail(
            f"no TLS with {url.host} port {port}: {error.strerror or error}", "see what listens on that port"
        )
    try:
        found: Any = writer.get_extra_info("peercert")
    finally:
        writer.close()
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    days = (expires - datetime.now(UTC)).days
    issuer = dict(pair for part in found.get("issuer", ()) for pair in part)
    by = issuer.get("organizationName") or issuer.get("commonName") or "?"
    text = f"for {url.host}, by {by}, good until {expires:%Y-%m-%d} ({days} days)"
    if days < SOON_DAYS:
        return warn(text, "renew it, and see why that did not happen by itself")
    return ok(text)


# --- signatures -------------------------------------------------------------------------------------------


async def signed(case: Case) -> Finding:
    """A webhook that we sign goes through the public address; unsigned ones must not get in."""
    found = case.settings
    if not found.twilio_auth_tokens:
        return skipped("TWILIO_AUTH_TOKEN is unset", "set it before calls of Twilio's are to come")
    if not (await case.local()).ours:
        return without_server()
    last: dict[str, Any] = {}
    for setting, token in found.twilio_auth_tokens.items():
        nonce = new_nonce()
        form = [("nonce", nonce), ("Blank", ""), ("Text", "ä & +")]
        try:
            answer = await _post(case, found.public_url, form, token)
        except httpx.HTTPError as error:
            return fail(
                f"the webhook did not arrive: {str(error) or type(error).__name__}", "see `public_url`"
            )
        if answer.status_code != 200:
            return await _refused(case, answer, setting, form, token)
        told = _json(answer)
        if not case.is_ours(str(told.get("proof", "")), nonce):
            return fail(f"{found.public_url} leads to another server", "see the check `public_url`")
        if told.get("signed_by") != setting:
            return fail(
                f"the running server takes the token of {setting} for that of {told.get('signed_by')}",
                "it was started with other settings: start it again",
            )
        last = told
    for kind, forged in (("an unsigned webhook", None), ("a webhook with a wrong signature", "of nobody")):
        answer = await _post(case, found.public_url, [("nonce", new_nonce())], forged)
        if answer.status_code != 403:
            return fail(f"{kind} was answered with {answer.status_code}", "do not expose it: tell us of this")
    return _rotation(case, last)


def _rotation(case: Case, told: dict[str, Any]) -> Finding:
    """What is known of whose signatures Twilio's own webhooks have."""
    tokens = " and ".join(case.settings.twilio_auth_tokens)
    text = f"signed with {tokens}: taken; unsigned or signed by others: refused"
    last, seen = told.get("last"), told.get("seen_s_ago", {})
    if last is None:
        return ok(text + "; nothing of Twilio's has come since the server started")
    text += f"; Twilio itself signed with {last}, {float(seen.get(last, 0)):.0f} s ago"
    if len(case.settings.twilio_auth_tokens) == 1:
        return ok(text)
    done = last == "TWILIO_AUTH_TOKEN_SECONDARY"
    return warn(
        text,
        "the token was rotated: make the secondary one TWILIO_AUTH_TOKEN, and unset TWILIO_AUTH_TOKEN_SECONDARY"
        if done
        else "promote the secondary token at Twilio; or, if that was done and this one is the new one, unset "
        "TWILIO_AUTH_TOKEN_SECONDARY",
    )


async def _refused(
    case: Case, answer: httpx.Response, setting: str, form: list[tuple[str, str]], token: str
) -> Finding:
    """Is it the way, or the server?"""
    wrong = f"a webhook signed with {setting} is answered with {answer.status_code} at the public address"
    if 300 <= answer.status_code < 400:
        return fail(f"{wrong}: a redirect", "see the check `public_url`")
    direct = await _post(case, case.local_url, form, token)
    if direct.status_code == 200:
        return fail(
            f"{wrong}, and is taken without the proxy",
            "the proxy changes the path, the X-Twilio-Signature header or the body: have it hand them on as they come, "
            "and let TALKWIRE_PUBLIC_URL have the path under which it has the server",
        )
    return fail(
        f"{wrong}, and refused by the server itself ({direct.status_code})",
        "the running server has another token or TALKWIRE_PUBLIC_URL than these settings: start it again",
    )


async def _post(case: Case, base: str, form: list[tuple[str, str]], token: str | None) -> httpx.Response:
    url = signature.public_urls(case.settings.public_url, CHECK_PATH)[-1]
    headers = {} if token is None else {signature.HEADER: signature.sign(token, url, form)}
    return await case.http.post(base + CHECK_PATH, data=dict(form), headers=headers)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


# --- the media stream -------------------------------------------------------------------------------------


async def media(case: Case) -> Finding:
    """A WebSocket where media streams are, through the public address."""
    if not (await case.local()).ours:
        return without_server()
    found = case.settings
    url = signature.websocket_url(found.public_url, CHECK_STREAM_PATH)
    headers = {
        signature.HEADER.lower(): signature.sign(token, url)
        for token in list(found.twilio_auth_tokens.values())[:1]
    }
    if not headers and (found.twilio_unsigned != "loopback" or case.is_public):
        return skipped("TWILIO_AUTH_TOKEN is unset", "set it before calls of Twilio's are to come")
    nonce, clock = new_nonce(), asyncio.get_running_loop().time
    try:
        async with connect(
            url,
            additional_headers=headers,
            ssl=case.context if url.startswith("wss:") else None,
            proxy=None,
            compression=None,
            open_timeout=case.timeout_s / 2,
            close_timeout=1,
        ) as socket:
            await socket.send(nonce)
            proof = await socket.recv()
            ways = []
            for _ in range(5):
                began = clock()
                await socket.send(json.dumps({"event": "media", "payload": _FRAME}))
                await socket.recv()
                ways.append((clock() - began) * 1000)
    except InvalidStatus as error:
        return _no_socket(error.response.status_code, url)
    except TimeoutError:
        return fail(
            f"no WebSocket within {case.timeout_s / 2:g} s",
            "the proxy must hand WebSockets on (Upgrade), unbuffered",
        )
    except (WebSocketException, OSError) as error:
        return fail(f"no WebSocket: {error}", "see the checks `public_url` and `certificate`")
    if not case.is_ours(str(proof), nonce):
        return fail(f"{found.stream_url} leads to another server", "see the check `public_url`")
    return ok(f"{found.stream_url} opens media streams; there and back in {sorted(ways)[2]:.0f} ms")


def _no_socket(status: int, url: str) -> Finding:
    text = f"the WebSocket at {url.partition('/twilio')[0]} was refused with {status}"
    if status == 426:
        return fail(
            "the Upgrade header does not arrive: the proxy drops it",
            "with nginx: proxy_http_version 1.1, and hand on Upgrade and Connection (docs/telephony.md, behind a proxy)",
        )
    if status == 403:
        return fail(f"{text}: its signature does not fit", "see the check `signature`")
    if status in (400, 404, 405, 501):
        return fail(
            f"{text}: it does not arrive as one",
            "the proxy must hand WebSockets on (Upgrade) below /twilio/media/",
        )
    return fail(text, "see the check `public_url`")
