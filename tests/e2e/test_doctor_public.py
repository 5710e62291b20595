"""``talkwire doctor``: the way in, by proxies and tunnels, certificates and signatures that are right and wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server.settings import Settings
from tests.e2e.doctor import found, one
from tests.e2e.harness import Running, free_port, running
from tests.e2e.phone import FROM, TO, phone
from tests.fakes.certificates import Signed, made, presenting, trusting
from tests.fakes.proxy import Fault, Proxy, proxying
from tests.fakes.twilio import FakeTwilio

pytestmark = pytest.mark.e2e


# --- the way in -------------------------------------------------------------------------------------------


@asynccontextmanager
async def behind(tmp_path: Path, proxy: Proxy, twilio: FakeTwilio, **settings: Any) -> AsyncIterator[Running]:
    """A server whose public address is that of a proxy."""
    async with running(tmp_path, public_url=proxy.url, **{**twilio.settings, **settings}) as server:
        proxy.upstream = server.url
        yield server


@pytest.mark.parametrize("prefix", ["", "/phone"])
async def test_all_is_well_behind_a_proxy_with_tls(tmp_path: Path, prefix: str) -> None:
    authority = made("an authority of our own", authority=True)
    shown = presenting(made("localhost", authority), tmp_path)
    async with (
        FakeTwilio() as twilio,
        proxying(prefix=prefix, context=shown) as proxy,
        behind(tmp_path, proxy, twilio) as server,
    ):
        names = ("public_url", "certificate", "signature", "media", "account")
        told = await found(server.settings, *names, context=lambda: trusting(authority))
        assert {finding.status for finding in told.values()} == {"ok"}, told
        assert "an authority of our own" in told["certificate"].text
        assert "(59 days)" in told["certificate"].text
        assert "nothing of Twilio's has come" in told["signature"].text
        assert "wss://localhost" in told["media"].text


@pytest.mark.parametrize(
    ("fault", "name", "text", "remedy"),
    [
        ("no_upgrade", "media", "Upgrade header does not arrive", "proxy_http_version"),
        ("no_signature", "signature", "taken without the proxy", "X-Twilio-Signature"),
        ("no_signature", "media", "403", "signature"),
        ("renames_path", "signature", "taken without the proxy", "path"),
        ("redirects", "public_url", "redirects to https://www.example.org", "TALKWIRE_PUBLIC_URL"),
        ("redirects", "signature", "a redirect", "public_url"),
        ("login", "public_url", "login", "without one"),
        ("page", "public_url", "a page of its own", "ngrok"),
        ("down", "public_url", "does not reach the server", "start the server"),
        ("empty", "public_url", "404", "path"),
        ("deaf", "public_url", "did not answer", "firewall"),
        ("deaf", "media", "no WebSocket", "Upgrade"),
    ],
)
async def test_what_a_proxy_does_wrong(
    tmp_path: Path, fault: Fault, name: str, text: str, remedy: str
) -> None:
    async with (
        FakeTwilio() as twilio,
        proxying(fault=fault) as proxy,
        behind(tmp_path, proxy, twilio) as server,
    ):
        finding = (await found(server.settings, name, timeout_s=2.0 if fault == "deaf" else 10.0))[name]
        assert finding.status == "fail"
        assert text in finding.text
        assert remedy in finding.remedy


async def test_a_page_that_a_tunnel_shows_to_browsers_is_no_fault_for_twilio(tmp_path: Path) -> None:
    async with FakeTwilio() as twilio, proxying() as proxy, behind(tmp_path, proxy, twilio) as server:
        proxy.fault = "browser_page"
        told = await found(server.settings, "public_url", "signature", "media")
        assert [finding.status for finding in told.values()] == ["warn", "ok", "ok"]
        assert "a browser does not" in told["public_url"].text


async def test_a_public_address_of_another_server(tmp_path: Path) -> None:
    async with (
        FakeTwilio() as twilio,
        running(tmp_path / "theirs", **twilio.settings) as theirs,
        proxying() as proxy,
        behind(tmp_path / "ours", proxy, twilio) as server,
    ):
        proxy.upstream = theirs.url
        told = await found(server.settings, "public_url", "signature", "media")
        assert {finding.status for finding in told.values()} == {"fail"}
        assert "another Talkwire" in told["public_url"].text
        # Their public address is another one: the signature does not fit.
        assert "taken without the proxy" in told["signature"].text


async def test_no_name_nobody_and_no_encryption(tmp_path: Path) -> None:
    for url, text in (
        ("https://no-such-host.invalid", "cannot be reached"),
        (f"https://localhost:{free_port()}", "cannot be reached"),
        ("http://voice.example.org", "not encrypted"),
    ):
        async with running(tmp_path, public_url=url, twilio_unsigned="never") as server:
            status, told, _ = await one(server.settings, "public_url")
            assert (status, text in told) == ("fail", True), told


async def test_an_address_that_twilio_cannot_reach(tmp_path: Path) -> None:
    token = {"twilio_auth_token": "t" * 32, "twilio_unsigned": "never"}
    async with running(tmp_path, **token) as server:
        status, text, _ = await one(server.settings, "public_url")
        assert (status, "Twilio cannot" in text) == ("warn", True)


@pytest.mark.parametrize(
    ("wrong", "text", "remedy"),
    [
        ("expired", "expired", "renew"),
        ("name", "mismatch", "another name"),
        ("self", "self-signed", "public authority"),
        ("chain", "local issuer", "fullchain"),
        ("soon", "(4 days)", "renew"),
    ],
)
async def test_what_is_wrong_with_a_certificate(tmp_path: Path, wrong: str, text: str, remedy: str) -> None:
    authority = made("an authority", authority=True)
    between = made("between", authority, authority=True)
    leaf: Signed = {
        "expired": lambda: made("localhost", authority, days=-1),
        "name": lambda: made("voice.example.org", authority),
        "self": lambda: made("localhost"),
        "chain": lambda: made("localhost", between),
        "soon": lambda: made("localhost", authority, days=5),
    }[wrong]()
    async with proxying(context=presenting(leaf, tmp_path)) as proxy:
        settings = Settings(data_dir=tmp_path, public_url=proxy.url)
        told = await found(settings, "certificate", "public_url", context=lambda: trusting(authority))
    assert told["certificate"].status == ("warn" if wrong == "soon" else "fail")
    assert text in told["certificate"].text
    assert remedy in told["certificate"].remedy
    if wrong != "soon":
        assert "certificate" in told["public_url"].remedy


# --- signatures -------------------------------------------------------------------------------------------


async def test_a_server_that_was_started_with_another_token(tmp_path: Path) -> None:
    async with FakeTwilio() as twilio, running(tmp_path, **twilio.settings) as server:
        update = SecretStr("another one")
        other = server.settings.model_copy(update={"twilio_auth_token": update})
        status, text, remedy = await one(other, "signature")
        assert (status, "refused by the server itself" in text, "start it again" in remedy) == (
            "fail",
            True,
            True,
        )


async def test_unsigned_webhooks_that_are_taken_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeTwilio() as twilio, running(tmp_path, **twilio.settings) as server:
        monkeypatch.setattr("server.doors.twilio.checked.verify", lambda *_: "TWILIO_AUTH_TOKEN")
        status, text, _ = await one(server.settings, "signature")
        assert (status, text) == ("fail", "an unsigned webhook was answered with 200")


async def test_which_of_two_tokens_twilio_signs_with(tmp_path: Path) -> None:
    spare = "s3cret-that-comes-next"
    async with phone(tmp_path, twilio_auth_token_secondary=spare) as line:
        settings, twilio = line.server.settings, line.twilio
        twilio.secondary = spare
        assert (await one(settings, "account"))[0] == "ok"
        for number, signs in enumerate((twilio.token, spare), 1):
            twilio.carrier._auth_token = signs
            call = twilio.call(FROM, TO)
            await call.stream()
            call.hang_up()
            await line.agent.wait("call.ended", number)
            status, text, remedy = await one(settings, "signature")
            assert status == "warn"
            name = "TWILIO_AUTH_TOKEN" if signs == twilio.token else "TWILIO_AUTH_TOKEN_SECONDARY"
            assert f"Twilio itself signed with {name}, " in text
            assert ("make the secondary one TWILIO_AUTH_TOKEN" in remedy) == (signs == spare)
        # Promoted: the API does not know the first one any more. What is asked for goes on.
        twilio.token, twilio.secondary = spare, ""
        dialled = await line.dial()
        assert dialled["status"] == "processing"
        await twilio.placed()
        status, text, remedy = await one(settings, "account")
        assert (status, remedy) == ("warn", "set it to the one of TWILIO_AUTH_TOKEN_SECONDARY")


async def test_a_third_token_is_refused_while_two_are_taken(tmp_path: Path) -> None:
    async with phone(tmp_path, twilio_auth_token_secondary="next") as line:
        for token, status in ((line.twilio.token, 200), ("next", 200), ("another", 403), ("", 403)):
            line.twilio.carrier._auth_token = token
            assert (await line.twilio.carrier.ring(FROM, TO)).status == status
