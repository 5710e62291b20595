"""The token with which the console calls an agent."""

from __future__ import annotations

from pathlib import Path

import pytest

import server.doors.webrtc  # noqa: F401  (else the first server imports it on its event loop)
from server.doors.browser import AUDIENCES, LIFETIME_S, WEBRTC
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, PUBLIC, Site, site
from tests.server.test_v1_access import PROXIED, signed_in

PATH = "/console/token?agent_id=Tester"


def opens(made: Site, token: str) -> None:
    """It is one for a call to the agent, of no origin and with nothing sealed but that."""
    now = made.services.clock.epoch()
    claims = made.services.tokens.redeem(token, AUDIENCES[WEBRTC], now)
    assert claims["agents"] == ["tester"]
    assert "origin" not in claims
    assert "metadata" not in claims
    assert claims["exp"] - now == pytest.approx(LIFETIME_S[WEBRTC], abs=1)


def test_who_may_see_calls_may_make_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, webrtc=True, **PUBLIC) as made:
            for known in (BEARER, await signed_in(made)):
                reply = await made.web.get(PATH, **known, **{"sec-fetch-site": "same-origin"})
                assert reply.status == 200
                assert set(reply.json()) == {"token"}, "the call goes where the page came from"
                opens(made, reply.json()["token"])
        async with site(tmp_path, webrtc=True) as made:
            opens(made, (await made.web.get(PATH)).json()["token"])

    run_virtual(main())


def test_nobody_else_gets_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, webrtc=True, **PUBLIC) as made:
            cookie = await signed_in(made)
            for stranger in (
                {},
                {"authorization": "Bearer nope"},
                {**cookie, "sec-fetch-site": "cross-site"},
            ):
                reply = await made.web.get(PATH, **stranger, **PROXIED)
                assert reply.status == 401, stranger
                assert "access-control-allow-origin" not in reply.headers
            # The door for pages of others takes no cookie.
            assert (await made.web.get("/webrtc/token?agent_id=Tester", **cookie)).status == 401

    run_virtual(main())


def test_a_call_that_cannot_be_is_told_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, webrtc=True) as made:
            for path in ("/console/token", "/console/token?agent_id=Nobody"):
                reply = await made.web.get(path)
                assert (reply.status, "is not online" in reply.detail) == (404, True)
        async with site(tmp_path) as made:
            reply = await made.web.get(PATH)
            assert (reply.status, "TALKWIRE_WEBRTC" in reply.detail) == (404, True)

    run_virtual(main())


def test_the_page_knows_whether_there_is_something_to_sign_out_of(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            assert (await made.web.get("/console/session")).json()["signed_in"] is False
            cookie = await signed_in(made)
            assert (await made.web.get("/console/session", **cookie)).json()["signed_in"] is True

    run_virtual(main())
