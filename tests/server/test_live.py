"""Listening to live calls: who may, what is heard, and that nobody is held up by it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.frames import Pcm
from pipeline.events import EndReason
from server.doors.browser import STREAM, issued
from server.doors.live import KEEPALIVE
from server.live import QUEUE_MS
from server.protocol import AgentCreate, MediaSettings
from tests.fakes.asgi import ELSEWHERE
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, KEY, PUBLIC, Site, site

WS = "/live/CA1/ws"
PROXIED = {"x-forwarded-for": ELSEWHERE}


def token(made: Site, **sealed: Any) -> str:
    return issued(STREAM, [made.agent], made.services, **sealed)


def sound(frames: list[bytes]) -> Pcm:
    return np.frombuffer(b"".join(frame for frame in frames if len(frame) >= 4), "<i2").astype(np.int16)


def test_who_listens_hears_both_sides_and_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            leg, listener = made.live(call)
            await leg.silence(2)
            async with made.web.socket(f"{WS}?token={KEY}") as socket:
                await leg.silence(1)
                call.session.saying.reply("m1", "one two three", "")  # type: ignore[union-attr]
                await leg.silence(2)
                await leg.speak(1)
                await leg.silence(1)
                listener.on_closed("hangup", "")
                await asyncio.sleep(1)
                assert socket.closed == (1000, "call_ended")
            (first,) = socket.texts
            assert json.loads(first) == {
                "type": "metadata",
                "sampleRate": 8000,
                "channels": 1,
                "bitDepth": 16,
                "sessionId": "CA1",
            }
            assert socket.heard[-1] == b""
            assert {len(frame) for frame in socket.heard[:-2]} == {800}
            heard = sound(socket.heard)
            assert len(heard) == pytest.approx(5 * 8000, abs=160)
            loud = np.abs(heard.astype(int)) > 100
            first_bot = np.flatnonzero(loud)[0] / 8000
            users = np.flatnonzero(np.abs(heard.astype(int)) == 8000)
            assert users[0] / 8000 == pytest.approx(3.0, abs=0.03)
            assert len(users) == pytest.approx(8000, abs=2)
            assert first_bot == pytest.approx(1.0, abs=0.1)

    run_virtual(main())


def test_nobody_listening_costs_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            leg, _ = made.live(call)
            await leg.silence(0.5)
            monitor = call.session.monitor  # type: ignore[union-attr]
            before = monitor._listeners
            async with made.web.socket(WS) as one, made.web.socket(WS) as two:
                await leg.silence(2)
                assert len(monitor._listeners) == len(before) + 1, "it is mixed once"
                assert one.heard
                assert one.heard == two.heard
            await leg.silence(0.1)
            assert monitor._listeners == before
            assert call.live is None

    run_virtual(main())


def test_it_may_be_joined_while_it_rings_and_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            async with made.web.socket(WS) as socket:
                await asyncio.sleep(7)
                assert socket.accepted
                assert not socket.texts, "nobody knows its rate yet"
                assert not socket.heard
                leg, _ = made.live(call)
                await leg.silence(3)
                assert len(socket.texts) == 1
                assert socket.heard
            async with made.web.socket(WS) as again:
                await leg.silence(1)
                assert again.heard

    run_virtual(main())


def test_a_call_that_never_began_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            async with made.web.socket(WS) as socket:
                await asyncio.sleep(1)
                made.calls.never_began(call, EndReason.HANGUP, "")
                await asyncio.sleep(2)
                assert socket.heard == [b""]
                assert socket.closed == (1000, "call_ended")
            assert not socket.texts

    run_virtual(main())


def test_where_no_audio_comes_it_says_that_it_lives(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            leg, listener = made.live(call)
            await leg.silence(2)
            async with made.web.socket(WS) as socket:
                await leg.silence(1)
                before = len(socket.heard)
                listener.on_lost()
                await asyncio.sleep(9)
                assert socket.heard[before:].count(KEEPALIVE) == 1
                assert not call.session.ended  # type: ignore[union-attr]

    run_virtual(main())


@pytest.mark.parametrize("frozen", [False, True])
def test_who_does_not_keep_up_is_let_go_and_the_others_hear_on(tmp_path: Path, frozen: bool) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            leg, _ = made.live(call)
            await leg.silence(2)
            async with made.web.socket(WS) as slow, made.web.socket(WS) as quick:
                await leg.silence(1)
                slow.flowing.clear()
                await leg.silence(2)
                if not frozen:
                    slow.flowing.set()
                await leg.silence(QUEUE_MS / 1000 + 4)
                assert slow.closed == ((1013, "slow_consumer") if frozen else None)
                assert quick.closed is None
                assert len(sound(quick.heard)) >= 8000 * 10
                if not frozen:
                    assert slow.heard == quick.heard

    run_virtual(main())


def test_a_hand_over_is_not_the_end_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.ring()
            leg, _ = made.live(call)
            await leg.silence(2)
            other = made.services.agents.create("Other", made.agent.owner, AgentCreate(agent_id="Other"), 0.0)
            async with made.web.socket(WS) as socket:
                await leg.silence(1)
                made.calls.hand_over(call, other, call.facts, call.config, history=True)
                before = len(socket.heard)
                await leg.silence(1)
                assert socket.closed is None
                assert len(socket.heard) >= before + 19

    run_virtual(main())


def test_who_may_listen(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            call = made.ring()
            leg, _ = made.live(call)
            await leg.silence(1)
            agents = made.services.agents
            other = agents.create("Other", made.agent.owner, AgentCreate(agent_id="Other"), 0.0)
            foreign = issued(STREAM, [other], made.services, scope="observe")
            for query, headers, status in (
                ("", {}, 401),
                ("?token=nope", {}, 401),
                (f"?token={made.services.tokens.issue('tester', 'browser-call', 0, 9e9)}", {}, 401),
                ("", {"authorization": "Bearer nope"}, 401),
                (f"?token={token(made, scope='participate')}", {}, 403),
                (f"?token={token(made, scope='observe', call_id='CA2')}", {}, 404),
                (f"?token={foreign}", {}, 404),
            ):
                async with made.web.socket(WS + query, **headers) as socket:
                    await asyncio.sleep(0.1)
                    assert (socket.accepted, socket.status) == (False, status), query
                    assert socket.detail
                assert (await made.web.get(f"/live/CA1/player{query}", **headers)).status == status
            for query, headers in (
                ("", dict(BEARER)),
                (f"?token={KEY}", {}),
                (f"?token={token(made, scope='observe')}", {"origin": "https://desk.example.net"}),
                (f"?token={token(made, scope='supervise', call_id='CA1')}", {}),
                (f"?token={token(made)}", {}),
            ):
                async with made.web.socket(WS + query, **headers, **PROXIED) as socket:
                    await asyncio.sleep(0.1)
                    assert socket.accepted, query
            async with made.web.socket(f"/live/CA9/ws?token={KEY}") as socket:
                await asyncio.sleep(0.1)
                assert socket.status == 404

    run_virtual(main())


def test_a_page_of_another_server_does_not_listen_with_the_readers_cookie(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            leg, _ = made.live(made.ring())
            await leg.silence(1)
            login = await made.web.post("/console/login", {"key": KEY})
            cookie = {"cookie": login.cookies[0].partition(";")[0]}
            for headers, good in (
                ({"origin": "https://evil.example.net"}, False),
                ({"sec-fetch-site": "same-site"}, False),
                ({"origin": "http://127.0.0.1:8080"}, True),
                ({"sec-fetch-site": "same-origin"}, True),
            ):
                async with made.web.socket(WS, **cookie, **headers) as socket:
                    await asyncio.sleep(0.1)
                    assert socket.accepted is good, headers

    run_virtual(main())


def test_agent_and_operator_may_forbid_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.agent.configuration["media"] = MediaSettings(live=False)
            leg, _ = made.live(made.ring())
            await leg.silence(1)
            async with made.web.socket(WS, **BEARER) as socket:
                await asyncio.sleep(0.1)
                assert (socket.status, "media.live" in socket.detail) == (403, True)
        async with site(tmp_path, live_listening=False) as made:
            leg, _ = made.live(made.ring())
            await leg.silence(1)
            async with made.web.socket(WS, **BEARER) as socket:
                await asyncio.sleep(0.1)
                assert (socket.status, "TALKWIRE_LIVE_LISTENING" in socket.detail) == (404, True)

    run_virtual(main())
