"""Turn taking over real sockets: a bot that is paused and goes on, hold and mute, and protected messages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from telephony.carriers.twilio.simulator import Clip
from tests.e2e.harness import CLIPS, in_order, registered, running

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

FROM, TO = "+15550001111", "+15550002222"
STORY = Clip.from_wav(CLIPS / "story.wav")
LONG = "This is a long sentence that goes on and on, so that somebody can say something over it, and it does."


def _short(seconds: float) -> Clip:
    """So much of somebody's voice, from its first sound on."""
    return Clip.from_ulaw(STORY.ulaw[STORY.onset : STORY.onset + round(8000 * seconds)], "short")


async def test_a_voice_that_says_nothing_pauses_the_bot_and_lets_it_go_on(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=LONG) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        began = await call.bot_speaking()
        call.say(_short(0.45), at_s=began + 2.0)
        resumed = await agent.wait("bot.resumed")
        finished = await agent.wait("bot.finished")
        await call.bot_quiet(300)
        call.hang_up()
        await agent.wait("call.ended")
        in_order(agent.frames)
        paused = agent.of("bot.paused")[0]
        assert agent.of("bot.interrupted") == []
        assert paused["message_id"] == resumed["message_id"] == finished["message_id"]
        assert paused["played_ms"] == pytest.approx(2300, abs=250)
        assert [word["word"] for word in agent.of("bot.word")] == LONG.split()
        spans = call.playback.utterances(min_silence_ms=300)
        assert len(spans) >= 2
        assert sum(span.duration_ms for span in spans) == pytest.approx(finished["duration_ms"], abs=250)
        assert agent.of("message.confirmed")[0]["text"] == LONG


async def test_a_message_that_must_be_heard_is_heard(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        started = await agent.wait("call.started")
        await agent.send(
            "bot.reply", call_id=started["call_id"], message_id="m1", text=LONG, interruptible=False
        )
        began = await call.bot_speaking()
        call.say(STORY, at_s=began + 1.0)
        await agent.wait("bot.finished", message_id="m1")
        call.hang_up()
        await agent.wait("call.ended")
        in_order(agent.frames)
        assert agent.of("bot.paused") == agent.of("bot.interrupted") == []


async def test_a_call_is_held_and_muted_by_its_agent(tmp_path: Path) -> None:
    async with (
        running(tmp_path, hold_music="off") as server,
        registered(server.ws, greeting=LONG) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        began = await call.bot_speaking()
        call_id = (await agent.wait("call.started"))["call_id"]
        await asyncio.sleep(0.8)
        await agent.send("call.hold", call_id=call_id)
        await agent.wait("call.held")
        await call.bot_quiet(700)
        words = len(agent.of("bot.word"))
        await agent.send("call.unhold", call_id=call_id)
        await agent.wait("call.unheld")
        await agent.send("call.mute", call_id=call_id)
        await agent.wait("call.muted", by="agent")
        call.say(STORY)
        await agent.wait("bot.finished")
        await agent.send("call.unmute", call_id=call_id)
        unmuted = await agent.wait("call.unmuted")
        call.hang_up()
        await agent.wait("call.ended")
        in_order(agent.frames)
        assert began >= 0
        assert unmuted["muted_transcript"] == ""  # Without a recogniser nothing is understood.
        assert agent.of("bot.paused")[0]["reason"] == "held"
        assert 0 < words < len(agent.of("bot.word")) == len(LONG.split())
        assert agent.of("bot.interrupted") == []
        assert len(agent.of("speech.started")) >= 1
