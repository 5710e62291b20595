"""Limits, pauses and music on hold over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.harness import Frame, connected, in_order, registered, running

pytestmark = pytest.mark.e2e

FROM, TO = "+15550001111", "+15550002222"


async def test_a_silent_caller_is_warned_hears_a_farewell_and_is_hung_up_on(tmp_path: Path) -> None:
    limits = {"idle_timeout_seconds": 1, "idle_warning_seconds": 0.5, "idle_grace_seconds": 0.3}
    async with (
        running(tmp_path) as server,
        registered(server.ws, session_limits=limits) as agent,
        server.carrier() as carrier,
    ):

        def bye(frame: Frame) -> Frame:
            said = {"message_id": "bye", "text": "Good bye.", "in_reply_to": ""}
            return {"event": "bot.reply", "call_id": frame["call_id"], **said}

        agent.on["session.timeout"] = bye
        call = await carrier.place_call(FROM, TO)
        ended = await agent.wait("call.ended")
        await call.ended()
        in_order(agent.frames)
        warned = [frame["remaining_seconds"] for frame in agent.of("session.idle_warning")]
        assert warned == [0.5, 0.0]
        assert agent.of("session.timeout")[0]["reason"] == ended["reason"] == "idle_timeout"
        assert len(agent.of("bot.finished")) == 1
        assert len(call.playback.utterances()) == 1
        names = agent.names()
        assert names.index("session.created") == names.index("call.started") + 1
        assert names.count("session.ready") == 1


async def test_a_caller_on_hold_hears_music(tmp_path: Path) -> None:
    async with running(tmp_path) as server, registered(server.ws) as agent, server.carrier() as carrier:
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        await agent.send("call.hold", call_id=call_id)
        await agent.wait("user.mute_started", reason="held")
        await call.bot_speaking()
        await asyncio.sleep(1.0)
        await agent.send("call.unhold", call_id=call_id)
        await agent.wait("call.unheld")
        await call.bot_quiet(300)
        call.hang_up()
        await agent.wait("call.ended")
        in_order(agent.frames)
        assert call.playback.cleared > 0
        assert agent.of("bot.speaking") == []
        (music,) = call.playback.utterances(1000)
        assert 800 < music.duration_ms < 1800


async def test_pauses_are_answered_and_unknown_calls_are_told(tmp_path: Path) -> None:
    async with running(tmp_path) as server, connected(server.ws) as agent:
        await agent.send("agent.create", agent_id="My Desk")
        await agent.wait("agent.created")
        await agent.send("session.pause", agent_id="My Desk", contact="+1 (555) 000-1111")
        paused = await agent.wait("session.paused")
        assert paused == {"event": "session.paused", "agent_id": "My Desk", "contact": "+1 (555) 000-1111"}
        await agent.send("session.resume", agent_id="My Desk")
        assert await agent.wait("session.resumed") == {"event": "session.resumed", "agent_id": "My Desk"}
        await agent.send("session.pause", agent_id="My Desk", session_id="CA0")
        refused = await agent.wait("error")
        assert (refused["code"], refused["agent_id"], refused["call_id"]) == (
            "SESSION_UNKNOWN",
            "My Desk",
            "CA0",
        )
