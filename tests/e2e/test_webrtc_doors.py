"""Who may begin a call from a browser, and who may not: over real HTTP."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import httpx
import jwt
import psutil
import pytest

from server.doors.browser import AUDIENCES, WEBRTC
from tests.e2e.browser import Browser, browser, post_offer, token
from tests.e2e.harness import KEY, Running, registered, running

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

SHOP = "https://shop.example.org"
BEARER = {"Authorization": f"Bearer {KEY}"}
BEHIND_A_PROXY = {"X-Forwarded-For": "203.0.113.9"}
"""Nothing is open to whoever comes through one."""


async def get(server: Running, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.get(server.url + path, headers=headers)


async def a_body(**fields: Any) -> dict[str, Any]:
    """An offer that could be answered, of a page that will never come."""
    page = Browser()
    body = await page.offer(**fields)
    await page.close()
    return body


async def test_tokens_are_given_to_keys_and_to_pages_that_are_allowed(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, "My Agent", allowed_origins=[SHOP, "http://localhost:*"]),
    ):
        path = "/webrtc/token?agent_id=My%20Agent"
        given = await get(server, path, {**BEARER, **BEHIND_A_PROXY})
        assert given.status_code == 200
        assert given.json().keys() == {"token", "server", "expires_in"}
        assert (given.json()["server"], given.json()["expires_in"]) == (server.settings.public_url, 60)
        assert given.headers["access-control-allow-origin"] == "*"
        assert (await get(server, "/" + path, BEARER)).status_code == 200, "a doubled slash"
        at_home = await get(server, path)
        assert at_home.status_code == 200, "by the open-door rule"
        shop = await get(server, path, {"Origin": SHOP, **BEHIND_A_PROXY})
        assert shop.status_code == 200

        async def refused(headers: dict[str, str], query: str = path) -> tuple[int, str]:
            reply = await get(server, query, headers)
            assert reply.headers["access-control-allow-origin"] == "*", "the page may read why"
            return reply.status_code, reply.json()["detail"]

        assert (await refused(BEHIND_A_PROXY))[0] == 401
        assert (await refused({"Authorization": "Bearer nope"}))[0] == 401
        assert (await refused({"Origin": "https://evil.example.net"}))[0] == 403, (
            "from a browser on this machine"
        )
        assert (await refused({"Origin": "https://evil.example.net", **BEHIND_A_PROXY}))[0] == 403
        sealing = path + '&metadata={"plan":"gold"}'
        assert (await refused({"Origin": SHOP, **BEHIND_A_PROXY}, sealing))[0] == 403
        assert (await refused(BEARER, path + "&metadata=5")) == (400, "metadata must be a JSON object")
        assert (await refused(BEARER, path + "&metadata=" + "x" * 3000))[0] == 400
        assert (await refused(BEARER, path + "&scope=everything"))[0] == 400
        assert await refused(BEARER, "/webrtc/token?agent_id=nobody") == (404, "Agent 'nobody' is not online")
        assert (await refused(BEARER, "/webrtc/token"))[0] == 400
        assert (await refused({"Origin": SHOP}, "/stream/token?agent_id=My%20Agent"))[0] == 403
        several = await get(server, "/stream/token?agent_id=My%20Agent,my-agent&scope=observe", BEARER)
        assert several.json()["expires_in"] == 3600
        chat = (await get(server, "/chat/token?agent_id=My%20Agent", BEARER)).json()["token"]
        reply = await post_offer(server, await a_body(token=chat))
        assert reply.status_code == 401, "a token is for one thing"


async def test_offers_that_are_refused_say_why_and_cost_nothing(tmp_path: Path) -> None:
    async with (
        running(tmp_path, max_calls=1) as server,
        registered(server.ws, allowed_origins=[SHOP]) as agent,
    ):

        async def refused(body: Any, **headers: str) -> tuple[int, str]:
            reply = await post_offer(server, body, **headers)
            assert reply.headers["access-control-allow-origin"] == "*"
            return reply.status_code, reply.json()["detail"]

        body = await a_body()
        assert (await refused(body))[0] == 401
        assert (await refused({**body, "token": "x.y.z"}))[0] == 401
        assert (await refused([]))[0] == 400
        assert (await refused({"type": "offer"}))[0] == 400
        assert (await refused({**body, "sdp": "x" * 200_000}))[0] == 413
        claims = {"sub": "tester", "aud": AUDIENCES[WEBRTC], "exp": 1, "jti": "1"}
        secret = (tmp_path / "secret").read_text().strip()
        expired = jwt.encode(claims, secret, algorithm="HS256")
        assert await refused({**body, "token": expired}) == (401, "the token has expired")
        given = await token(server)
        assert (await refused({**body, "sdp": "v=0", "token": given}))[0] == 400
        assert "language" in (await refused({**body, "token": given, "config": {"language": 5}}))[1]
        assert "metadata" in (await refused({**body, "token": given, "metadata": [1]}))[1]
        assert (await post_offer(server, {**body, "token": given})).status_code == 200, (
            "it was not spent on that"
        )
        server.services.calls.forget(next(iter(server.services.calls._calls.values())))
        sealed = await get(server, "/webrtc/token?agent_id=tester", {"Origin": SHOP, **BEHIND_A_PROXY})
        foreign = {**body, "token": sealed.json()["token"]}
        assert (await refused(foreign, Origin="https://evil.example.net"))[0] == 403
        assert len(server.services.calls) == 0
        async with browser(server) as page:
            again = {**body, "token": await token(server)}
            assert (await refused(again))[0] == 503
            assert (await refused(again))[0] == 401, "used"
            await page.wait("session.ready")
        await agent.wait("call.ended")
        assert agent.of("error") == []


async def test_a_stranger_gets_some_places_and_not_all(tmp_path: Path) -> None:
    limits = {"page_tokens_per_minute": 6, "page_calls": 3, "page_connecting": 2}
    async with running(tmp_path, **limits) as server, registered(server.ws, allowed_origins=[SHOP]):
        body = await a_body()

        async def asked(address: str = "203.0.113.9") -> httpx.Response:
            headers = {"Origin": SHOP, "X-Forwarded-For": f"192.0.2.77, {address}"}
            given = await get(server, "/webrtc/token?agent_id=tester", headers)
            if given.status_code != 200:
                return given
            return await post_offer(server, {**body, "token": given.json()["token"]}, **headers)

        assert [(await asked()).status_code for _ in range(2)] == [200, 200]
        third = await asked()
        assert third.status_code == 429
        assert third.headers["access-control-allow-origin"] == "*"
        assert 1 <= int(third.headers["retry-after"]) <= 60
        assert "2 calls of your network connect already" in third.json()["detail"]
        assert (await asked("198.51.100.1")).status_code == 200, "another one"
        async with browser(server):
            assert len(server.services.calls) == 4, "a key vouches for that one"
        assert [(await asked()).status_code for _ in range(3)] == [429] * 3
        none_left = await asked()
        assert "6 tokens a minute" in none_left.json()["detail"]
        assert 1 <= int(none_left.headers["retry-after"]) <= 10
        for call in list(server.services.calls._calls.values()):
            server.services.calls.forget(call)


async def test_pages_of_other_origins_may_ask(tmp_path: Path) -> None:
    urls = ("stun:127.0.0.1:3478", "turn:127.0.0.1:3478")
    async with (
        running(tmp_path, ice_servers=urls, turn_secret="shared") as server,
        registered(server.ws, allowed_origins=[SHOP]) as agent,
    ):
        async with httpx.AsyncClient() as http:
            asked = await http.options(
                server.url + "/webrtc/offer",
                headers={
                    "Origin": SHOP,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": "content-type",
                },
            )
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "*"
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert asked.headers["access-control-allow-headers"] == "content-type"

        async def servers(headers: dict[str, str], query: str = "") -> list[dict[str, Any]]:
            reply = await get(server, "/webrtc/ice-servers" + query, {**headers, **BEHIND_A_PROXY})
            assert reply.headers["access-control-allow-origin"] == "*"
            found: list[dict[str, Any]] = reply.json()["iceServers"]
            return found

        assert await servers({}) == [{"urls": ["stun:127.0.0.1:3478"]}]
        assert len(await servers({"Origin": "https://evil.example.net"})) == 1
        assert len(await servers({"Origin": SHOP})) == 2
        assert len(await servers(BEARER)) == 2
        (_, turn) = await servers({}, "?token=" + await token(server))
        assert turn["username"].endswith(turn["username"].split(":")[1])
        assert turn["credential"]
        await agent.send("channel.add", agent_id="tester", type="phone", ref="+15550001111")
        await agent.wait("channel.added", 2)
        info = await get(server, "/api/sdk/agent-info/Tester", BEHIND_A_PROXY)
        assert info.json() == {
            "agent": "tester",
            "channels": [
                {"type": "webrtc"},
                {"type": "phone", "numbers": ["+15550001111"], "phone": "+15550001111"},
            ],
        }
        assert (await get(server, "/api/sdk/agent-info/nobody")).status_code == 404


async def test_a_channel_holds_what_is_otherwise_for_browsers(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws, greeting="To the phone.") as agent:
        await agent.send(
            "channel.add", agent_id="tester", type="webrtc", greeting="To the page.", language="es"
        )
        assert "ref" not in await agent.wait("channel.added", type="webrtc")
        async with browser(server) as page:
            assert (await page.wait("bot.speaking"))["text"] == "To the page."
            assert (await agent.wait("call.started"))["language"] == "es"
        async with browser(server, config={"greeting": "To you.", "prompt": "Be rude."}) as page:
            assert (await page.wait("bot.speaking"))["text"] == "To you."
        await agent.send("channel.remove", agent_id="tester", ref="webrtc")
        await agent.wait("channel.removed")
        async with browser(server) as page:
            assert (await page.wait("bot.speaking"))["text"] == "To the phone."


async def test_switched_off_there_are_no_browser_calls(tmp_path: Path) -> None:
    async with running(tmp_path, webrtc=False) as server, registered(server.ws) as agent:
        await agent.send("channel.add", agent_id="tester", type="webrtc")
        assert (await agent.wait("error"))["code"] == "CHANNEL_UNSUPPORTED"
        async with httpx.AsyncClient() as http:
            assert (await http.post(server.url + "/webrtc/offer", json={})).status_code == 404
        refused = await get(server, "/webrtc/token?agent_id=tester", BEARER)
        assert (refused.status_code, "TALKWIRE_WEBRTC" in refused.json()["detail"]) == (404, True)


async def test_a_page_that_never_connects_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.browser_call.CONNECT_S", 0.3)
    async with running(tmp_path) as server, registered(server.ws) as agent:
        reply = await post_offer(server, await a_body(token=await token(server)))
        assert reply.status_code == 200
        assert len(server.services.calls) == 1
        async with asyncio.timeout(3):
            while len(server.services.calls):
                await asyncio.sleep(0.05)
        assert agent.of("call.started") == []


async def test_calls_leave_nothing_behind(tmp_path: Path) -> None:
    process = psutil.Process()
    async with running(tmp_path) as server, registered(server.ws, greeting="Hello.") as agent:
        ended = 0

        async def round_of(count: int) -> None:
            nonlocal ended
            async with asyncio.TaskGroup() as tasks:
                for _ in range(count):
                    tasks.create_task(one())
            ended += count
            await agent.wait("call.ended", ended)
            while len(server.services.calls):
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            gc.collect()

        async def one() -> None:
            async with browser(server) as page:
                await page.wait("session.ready")

        await round_of(4)

        def threads() -> int:
            """But for those of the loop's pool, which has as many as it needed at once, and a bound."""
            return process.num_threads() - sum(t.name.startswith("asyncio_") for t in threading.enumerate())

        tasks, files, before = len(asyncio.all_tasks()), process.num_fds(), threads()
        for _ in range(3):
            await round_of(4)
        assert len(asyncio.all_tasks()) <= tasks
        assert process.num_fds() <= files
        assert threads() <= before
