"""Who may look at calls, and who may not; the console's page and signing in on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import jwt
import pytest
from starlette.requests import Request

from server.auth import KeyRing
from server.doors.browser import Refused
from server.doors.console import ASSETS, POLICY
from server.doors.guard import COOKIE, COOKIE_S, LOGINS_PER_MINUTE, Guard
from server.secrets import new_api_key
from tests.fakes.asgi import ELSEWHERE, Reply, Web
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, KEY, PASSWORD, PUBLIC, Site, site

PATHS = (
    "/metrics",
    "/v1/stats",
    "/v1/agents",
    "/v1/calls",
    "/v1/calls/CA1",
    "/v1/calls/CA1/events",
    "/v1/calls/CA1/waveform",
    "/v1/calls/CA1/recording",
    "/v1/calls/CA1/transcript",
)
PROXIED = {"x-forwarded-for": ELSEWHERE}


def cookie_of(reply: Reply) -> dict[str, str]:
    (header,) = reply.cookies
    name, _, value = header.partition(";")[0].partition("=")
    assert name == COOKIE
    return {"cookie": f"{COOKIE}={value}"}


async def signed_in(made: Site, key: str = KEY, **headers: str) -> dict[str, str]:
    reply = await made.web.post("/console/login", {"key": key}, **headers)
    assert reply.status == 204, reply.body
    return cookie_of(reply)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_door_is_closed_to_those_who_are_not_named(tmp_path: Path, path: str, stream: bool) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.begin()
            wanted = {"accept": "text/event-stream"} if stream else {}
            for refused in (
                PROXIED,
                {"authorization": "Bearer nope"},
                {"authorization": f"Basic {KEY}"},
                {"authorization": KEY},
                {**PROXIED, "cookie": f"{COOKIE}=x.y.z"},
                {"origin": "https://evil.example.net"},
                {"host": "evil.example.net"},
                {"sec-fetch-site": "cross-site"},
            ):
                reply = await made.web.get(path, **refused, **wanted)
                assert reply.status == 401, refused
                assert reply.detail
                assert reply.headers["www-authenticate"] == "Bearer"
                assert "access-control-allow-origin" not in reply.headers

    run_virtual(main())


def test_a_key_opens_from_anywhere_and_loopback_opens_without_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            for known in (
                {**BEARER, **PROXIED},
                {},
                {"origin": "http://localhost:3000"},
                {"authorization": f"bearer  {KEY} "},
            ):
                reply = await made.web.get("/v1/calls", **known)
                assert (reply.status, reply.json()) == (200, {"calls": [], "next": None}), known
                assert reply.headers["cache-control"] == "no-store"
                assert reply.headers["x-content-type-options"] == "nosniff"
        async with site(tmp_path, **PUBLIC) as made:
            assert (await made.web.get("/v1/calls")).status == 401, "not where others can come in"
            assert (await made.web.get("/v1/calls", **BEARER)).status == 200
            wrong = await made.web.get("/v1/calls", authorization="Bearer nope", **await signed_in(made))
            assert wrong.status == 401, "a wrong key is told, also beside a cookie"

    run_virtual(main())


def test_a_cookie_opens_for_twelve_hours_and_for_these_keys_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, console_password=PASSWORD, **PUBLIC) as made:
            reply = await made.web.post("/console/login", {"key": KEY})
            (header,) = reply.cookies
            flags = {part.strip().lower() for part in header.split(";")[1:]}
            assert flags == {"httponly", "secure", "path=/", "samesite=strict", f"max-age={COOKIE_S}"}
            cookies = [cookie_of(reply), await signed_in(made, PASSWORD)]
            for cookie in cookies:
                assert (await made.web.get("/v1/calls", **cookie, **PROXIED)).status == 200
                session = await made.web.get("/console/session", **cookie)
                assert session.json()["authorized"] is True
            out = await made.web.post("/console/logout", **cookies[0])
            assert out.status == 204
            assert "max-age=0" in out.cookies[0].lower()
            forged = jwt.encode({"sub": "console", "aud": "console", "exp": 9e9}, "s" * 64, algorithm="HS256")
            assert (await made.web.get("/v1/calls", cookie=f"{COOKIE}={forged}")).status == 401
            other = made.services.tokens.issue("console", "browser-call", made.services.clock.epoch(), 60)
            assert (await made.web.get("/v1/calls", cookie=f"{COOKIE}={other}")).status == 401
            claims = jwt.decode(cookies[0]["cookie"].partition("=")[2], options={"verify_signature": False})
            assert claims["exp"] - made.services.clock.epoch() == pytest.approx(COOKIE_S, abs=1)
        async with site(tmp_path, console_password="another one", **PUBLIC) as made:
            assert (await made.web.get("/v1/calls", **cookies[0])).status == 401, "the password has changed"
        async with site(tmp_path, (new_api_key(),), console_password=PASSWORD, **PUBLIC) as made:
            assert (await made.web.get("/v1/calls", **cookies[0])).status == 401, "the keys have changed"
        async with site(tmp_path, console_password=PASSWORD, **PUBLIC) as made:
            assert (await made.web.get("/v1/calls", **cookies[0])).status == 200, "a restart changes nothing"

    run_virtual(main())


def test_over_plain_http_the_cookie_is_not_secure_or_it_would_never_come_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            reply = await made.web.post("/console/login", {"key": KEY})
            assert "secure" not in reply.cookies[0].lower()

    run_virtual(main())


def test_what_cannot_sign_in_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            for body, status in (
                ({"key": "nope"}, 401),
                ({"key": ""}, 401),
                ({"key": PASSWORD}, 401),  # None is set.
                ({"key": 5}, 400),
                ({}, 400),
                ([], 400),
                ({"key": "x" * 5000}, 413),
            ):
                reply = await made.web.post("/console/login", body)
                assert reply.status == status, body
                assert reply.detail
                assert not reply.cookies
            broken = await made.web.ask("/console/login", "POST", b"{")
            assert broken.status == 400

    run_virtual(main())


def test_a_cookie_changes_something_only_from_the_consoles_own_page(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            guard = Guard(made.services)
            cookie = await signed_in(made)

            def refused(**headers: str) -> int:
                named = {"host": "voice.example.org", **headers}
                raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in named.items()]
                try:
                    guard.check(Request({"type": "http", "method": "POST", "headers": raw}))
                except Refused as error:
                    return error.status
                return 200

            assert refused() == 401
            assert refused(**cookie) == 200, "no browser sends neither of both"
            assert refused(**cookie, origin="https://voice.example.org") == 200
            assert refused(**cookie, sec_fetch_site="same-origin") == 200
            assert refused(**cookie, origin="https://evil.example.org") == 403
            assert refused(**cookie, sec_fetch_site="same-site") == 403
            assert refused(authorization=f"Bearer {KEY}", origin="https://evil.example.org") == 200

    run_virtual(main())


def test_only_the_consoles_own_page_signs_in_and_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            cookie = await signed_in(made)
            foreign: tuple[dict[str, str], ...] = (
                {"origin": "https://evil.example.net"},
                {"origin": "null"},
                {"sec-fetch-site": "cross-site"},
                {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8080"},
            )
            for headers in foreign:
                for path in ("/console/login", "/console/logout"):
                    reply = await made.web.post(path, {"key": KEY}, **headers, **cookie)
                    assert reply.status == 403, (path, headers)
                    assert not reply.cookies
            own: tuple[dict[str, str], ...] = (
                {"origin": "http://127.0.0.1:8080"},
                {"sec-fetch-site": "same-origin", "origin": "https://voice.example.org"},
                {"origin": "https://Voice.example.org", "host": "voice.example.org"},
            )
            for headers in own:
                await signed_in(made, **headers)

    run_virtual(main())


def test_wrong_keys_are_taken_ten_times_a_minute_from_one_address(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            for _ in range(LOGINS_PER_MINUTE):
                assert (await made.web.post("/console/login", {"key": "nope"})).status == 401
            reply = await made.web.post("/console/login", {"key": KEY})
            assert reply.status == 429, "not even the right one"
            assert 0 < int(reply.headers["retry-after"]) <= 60
            assert not reply.cookies
            elsewhere = Web(made.web.app, client=ELSEWHERE)
            assert (await elsewhere.post("/console/login", {"key": KEY})).status == 204
            await asyncio.sleep(float(reply.headers["retry-after"]))
            await signed_in(made)

        async with site(tmp_path, trusted_proxies=("10.0.0.0/8",), **PUBLIC) as made:
            proxy = Web(made.web.app, client="10.0.0.1")
            for index in range(LOGINS_PER_MINUTE + 1):
                refused = await proxy.post("/console/login", {"key": "nope"}, x_forwarded_for="203.0.113.7")
                assert refused.status == (401 if index < LOGINS_PER_MINUTE else 429)
            other = await proxy.post("/console/login", {"key": KEY}, x_forwarded_for="203.0.113.8")
            assert other.status == 204, "behind a trusted proxy each has an address of its own"

    run_virtual(main())


def test_right_keys_are_not_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            for _ in range(LOGINS_PER_MINUTE + 5):
                await signed_in(made)

    run_virtual(main())


def test_a_visitor_is_told_how_to_sign_in_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, console_password=PASSWORD, **PUBLIC) as made:
            session = await made.web.get("/console/session")
            assert session.json() == {"authorized": False, "password": True}
            assert (await made.web.get("/console/session", authorization="Bearer nope")).json() == {
                "authorized": False,
                "password": True,
            }
            made.begin()
            told = (await made.web.get("/console/session", **BEARER)).json()
            assert (told["authorized"], told["live_calls"], told["max_calls"]) == (True, 1, 40)
            assert (told["public_url"], told["draining"]) == ("https://voice.example.org", False)
            assert (told["tts"], told["stt"], told["llm"], told["webrtc"]) == ("fake", "", "", False)
            made.calls.draining = True
            assert (await made.web.get("/console/session", **BEARER)).json()["draining"] is True

    run_virtual(main())


async def test_the_page_is_for_everybody_and_takes_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with site(tmp_path, **PUBLIC) as made:
        page = await made.web.get("/")
        assert page.status == 200
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["content-security-policy"] == POLICY
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert rule in POLICY
        assert "unsafe" not in POLICY
        assert "microphone=(self)" in page.headers["permissions-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-cache"
        html = page.body.decode()
        assert "<script>" not in html
        assert "<style" not in html
        assert "://" not in html, "no file from elsewhere"
        again = await made.web.get("/", if_none_match=page.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert again.headers["content-security-policy"] == POLICY


async def test_assets_are_kept_for_ever_and_lead_nowhere_else(tmp_path: Path) -> None:
    async with site(tmp_path, **PUBLIC) as made:
        for path in ("/assets/nothing.js", "/assets/../index.html", "/assets/%2e%2e/__init__.py", "/assets/"):
            assert (await made.web.get(path)).status == 404, path
        for file in sorted(ASSETS.glob("*"))[:3]:
            reply = await made.web.get(f"/assets/{file.name}")
            assert (reply.status, reply.body) == (200, file.read_bytes())
            assert "immutable" in reply.headers["cache-control"]


def test_without_a_console_there_is_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, console=False) as made:
            for path in ("/", "/console/session", "/assets/x"):
                assert (await made.web.get(path)).status == 404
            assert (await made.web.get("/v1/calls")).status == 200

    run_virtual(main())


def test_a_fingerprint_changes_with_the_keys_and_holds_none_of_them() -> None:
    prints = [KeyRing(keys).fingerprint for keys in ([], ["a"], ["b"], ["a", "b"], ["ab"])]
    assert len(set(prints)) == len(prints)
    assert KeyRing(["a"]).fingerprint == prints[1]
