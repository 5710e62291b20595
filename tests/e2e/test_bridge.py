"""Agents that call one another, over real sockets; in one test they really hear what the other one says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media import wav
from tests.e2e.harness import Agent, Frame, Running, connected, in_order, running

pytestmark = pytest.mark.e2e


LONG = (
    "This is a story that goes on and on for a very long time, about somebody who walked through the woods and met "
    "another one, who told him a story that went on and on as well."
)

OTHER = "Excuse me, I have to interrupt you here, for I do not want to hear all of that again, as you know."


@dataclass
class Pair:
    server: Running
    anna: Agent
    ben: Agent

    async def bridge(self, target: str = "Ben", **fields: Any) -> Frame:
        """Anna calls; returns the acknowledgement."""
        await self.anna.send("call.bridge", agent_id="Anna", target=target, ack="bridge", **fields)
        return await self.anna.wait("ack", ack="bridge")

    async def begun(self, **fields: Any) -> tuple[Frame, Frame]:
        """Anna calls Ben; what both are told of the beginning."""
        assert (await self.bridge(**fields))["status"] == "processing"
        return await self.anna.wait("call.started"), await self.ben.wait("call.started")

    async def over(self) -> tuple[Frame, Frame]:
        return await self.anna.wait("call.ended"), await self.ben.wait("call.ended")


@asynccontextmanager
async def pair(
    tmp_path: Path, anna: dict[str, Any] | None = None, ben: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Pair]:
    """Two agents, each on a connection of its own."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(tmp_path, **settings))
        agents = []
        for name, config in (("Anna", anna), ("Ben", ben)):
            agent = await stack.enter_async_context(connected(server.ws))
            await agent.send("agent.create", agent_id=name, **(config or {}))
            await agent.wait("agent.created")
            agents.append(agent)
        yield Pair(server, *agents)


async def test_each_has_a_call_of_its_own_that_names_the_other(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        ack = await both.bridge(metadata={"order": 7})
        out, in_ = await both.anna.wait("call.started"), await both.ben.wait("call.started")
        assert ack["extras"] == {"call_id": out["call_id"], "bridged_with": in_["call_id"]}
        assert (out["direction"], out["from"], out["to"]) == ("outbound", "Anna", "Ben")
        assert (in_["direction"], in_["from"], in_["to"]) == ("inbound", "Anna", "Ben")
        assert out["transport"] == in_["transport"] == "bridge"
        assert out["metadata"] == in_["metadata"] == {"order": 7}
        assert (out["bridged_with"], in_["bridged_with"]) == (in_["call_id"], out["call_id"])
        assert out["call_id"] != in_["call_id"]
        await both.anna.send("call.hangup", call_id=out["call_id"], reason="that was all")
        ended, other = await both.over()
        assert (ended["reason"], ended["detail"]) == ("client_hangup", "that was all")
        assert (other["reason"], other["detail"]) == ("hangup", "the other side hung up: that was all")
        in_order(both.anna.frames)
        in_order(both.ben.frames)


async def test_the_one_that_is_called_may_hang_up_as_well(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        _, in_ = await both.begun()
        await both.ben.send("call.hangup", call_id=in_["call_id"])
        ended, other = await both.over()
        assert (ended["reason"], other["reason"]) == ("hangup", "client_hangup")


async def test_who_is_called_greets_and_who_calls_greets_behind_it(tmp_path: Path) -> None:
    async with pair(
        tmp_path, {"greeting": "not this"}, {"greeting": "Ben here."}, stt=("pocketsphinx",)
    ) as both:
        await both.begun(greeting="Good morning.", config={"language": "en"})
        first = await both.ben.wait("bot.speaking")
        assert first["text"] == "Ben here."
        second = await both.anna.wait("bot.speaking")
        assert second["text"] == "Good morning."
        assert second["ts"] > (await both.ben.wait("bot.finished"))["ts"]
        turn = await both.anna.wait("turn.end")
        assert (turn["source"], turn["ts"] < second["ts"]) == ("bot", True)
        turn = await both.ben.wait("turn.end")
        assert "source" not in turn


async def test_who_calls_greets_at_once_where_that_is_asked_for(tmp_path: Path) -> None:
    async with pair(
        tmp_path, None, {"greeting": "Ben here, what can I do for you on this fine day?"}
    ) as both:
        await both.begun(greeting="Good morning.", detect_turn_end=False)
        assert (await both.anna.wait("bot.speaking"))["ts"] < (await both.ben.wait("bot.finished"))["ts"]


@pytest.mark.parametrize("limit", ["anna", "ben"])
async def test_two_that_greet_one_another_for_ever_are_ended_by_the_limits(
    tmp_path: Path, limit: str
) -> None:
    def hello(turn: Frame) -> Frame:
        text = "Hello, this is me, and who are you?"
        ids = {"message_id": f"m{turn['seq']}", "in_reply_to": turn["message_id"]}
        return {"event": "bot.reply", "call_id": turn["call_id"], "text": text, **ids}

    short = {"session_limits": {"max_duration_seconds": 8}}
    config = {"anna": None, "ben": None, limit: short}
    async with pair(tmp_path, **config, stt=("pocketsphinx",), farewell_s=0.5) as both:
        both.anna.on["turn.end"] = both.ben.on["turn.end"] = hello
        await both.begun(greeting="Hello!", detect_turn_end=False)
        ended, other = await both.over()
        reasons = {"anna": ended["reason"], "ben": other["reason"]}
        assert reasons.pop(limit) == "max_duration"
        assert list(reasons.values()) == ["hangup"]
        assert len(both.anna.of("turn.end")) >= 1 <= len(both.ben.of("turn.end"))


@pytest.mark.parametrize(
    ("target", "code"),
    [("Nobody", "BRIDGE_REFUSED"), ("Anna", "BRIDGE_REFUSED"), ("  anna_", "BRIDGE_REFUSED")],
)
async def test_who_cannot_be_called_is_told_as_a_dial_that_fails(
    tmp_path: Path, target: str, code: str
) -> None:
    async with pair(tmp_path) as both:
        ack = await both.bridge(target)
        assert (ack["status"], ack["code"], ack["extras"]["key"]) == ("error", code, "target")
        error, ended = await both.anna.wait("error"), await both.anna.wait("call.ended")
        assert error["call_id"] == ended["call_id"]
        assert (ended["reason"], ended["direction"], ended["to"]) == ("failed", "outbound", target)
        assert not both.anna.of("call.started")
        assert not both.ben.of("call.started")
        in_order(both.anna.frames)


@pytest.mark.parametrize(
    ("settings", "held"), [({"max_bridges": 1}, True), ({"max_calls": 3}, True), ({"max_bridges": 0}, False)]
)
async def test_no_more_than_there_is_room_for(tmp_path: Path, settings: dict[str, Any], held: bool) -> None:
    async with pair(tmp_path, **settings) as both:
        call_id = (await both.begun())[0]["call_id"] if held else ""
        await both.anna.send("call.bridge", agent_id="Anna", target="Ben", ack="further")
        ack = await both.anna.wait("ack", ack="further")
        assert (ack["status"], ack["code"]) == ("error", "SERVER_AT_CAPACITY")
        assert (await both.anna.wait("call.ended"))["reason"] == "failed"
        if held:
            await both.anna.send("call.hangup", call_id=call_id)
            await both.anna.wait("call.ended", call_id=call_id)
            await both.anna.send("call.bridge", agent_id="Anna", target="Ben", ack="again")
            assert (await both.anna.wait("ack", ack="again"))["status"] == "processing"


@pytest.mark.parametrize(
    "command",
    [
        {"event": "call.dtmf", "digits": "1"},
        *({"event": f"call.{e}", "to": "+15550003333"} for e in ("forward", "transfer")),
    ],
)
async def test_what_needs_a_phone_network_is_refused(tmp_path: Path, command: Frame) -> None:
    async with pair(tmp_path) as both:
        out, _ = await both.begun()
        await both.anna.send(**command, call_id=out["call_id"], ack="asked")
        ack = await both.anna.wait("ack", ack="asked")
        assert (ack["status"], ack["code"]) == ("error", "CARRIER_UNSUPPORTED")
        assert not both.anna.of("call.ended")


async def test_an_agent_that_goes_for_good_ends_both(tmp_path: Path) -> None:
    async with pair(tmp_path, agent_grace_s=0.3) as both:
        await both.begun()
        await both.ben.socket.close()
        assert (await both.anna.wait("call.ended"))["reason"] == "hangup"


async def test_one_that_is_interrupted_was_heard_as_long_as_it_is_told(tmp_path: Path) -> None:
    async with pair(tmp_path, None, {"recording": True}) as both:
        out, in_ = await both.begun(greeting=LONG, detect_turn_end=False)
        # Who does not listen does not wait for the other one to finish.
        await both.ben.send("call.mute", call_id=in_["call_id"])
        await both.anna.wait("bot.word", count=6)
        ids = {"call_id": in_["call_id"], "message_id": "stop"}
        await both.ben.send("bot.reply", text=OTHER, in_reply_to="", interruptible=False, **ids)
        cut = await both.anna.wait("bot.interrupted")
        await both.ben.wait("bot.finished", message_id="stop")
        await both.anna.send("call.hangup", call_id=out["call_id"])
        await both.ben.wait("call.recording")
        (path,) = await asyncio.to_thread(_recordings, tmp_path, in_["call_id"])
        (heard, _), rate_hz = await asyncio.to_thread(wav.read_channels, path)
        loud = np.flatnonzero(np.abs(heard) > 50)
        heard_ms = (loud[-1] - loud[0]) * 1000 / rate_hz
        # It was paused before it was cut, which may lie in the silence around a word.
        assert cut["played_ms"] - 150 <= heard_ms <= cut["played_ms"] + 20


Audio = np.ndarray[Any, np.dtype[np.int16]]
PAUSE, SLACK = 8000, 640
"""Samples: half a second between two messages; 40 ms by which they may be off."""
ASKED = ["Good morning.", "What is the weather like today?", "Thank you very much."]
ANSWERED = ["Hello, how are you?", "It is a beautiful day.", "You are welcome."]


async def test_they_hold_a_conversation_in_which_each_hears_the_other(tmp_path: Path) -> None:
    """The voices and ears are the embedded ones: what one says is really heard by the other."""
    recorded = {"recording": True}

    def answers(lines: list[str]) -> Any:
        waiting = iter(lines)

        def react(turn: Frame) -> Frame | None:
            text = next(waiting, None)
            ids = {"message_id": f"m{turn['seq']}", "in_reply_to": turn["message_id"]}
            reply = {"event": "bot.reply", "call_id": turn["call_id"], "text": text, **ids}
            return reply if text is not None else None

        return react

    patient = {"stt": ("pocketsphinx",), "stt_timeout_s": 60.0, "recording_inline_bytes": 0}
    async with pair(tmp_path, None, recorded, **patient) as both:
        both.anna.on["turn.end"] = answers(ASKED[1:])
        both.ben.on["turn.end"] = answers(ANSWERED)
        out, in_ = await both.begun(greeting=ASKED[0], media={"recording": True}, detect_turn_end=False)
        async with asyncio.timeout(90):
            while len(both.anna.of("turn.end")) < 3:
                await both.anna.news()
        await both.anna.send("call.hangup", call_id=out["call_id"])
        ended, other = await both.over()
        for mine, theirs in ((ended, other), (other, ended)):
            said = [line["content"] for line in mine["transcript"] if line["role"] == "assistant"]
            heard = [line["content"] for line in theirs["transcript"] if line["role"] == "user"]
            assert len(heard) == len(said) == 3
            assert _words(heard) & _words(said)
        files = []
        for agent, started in ((both.anna, out), (both.ben, in_)):
            told = await agent.wait("call.recording")
            assert told["channels"] == "stereo"
            (path,) = await asyncio.to_thread(_recordings, tmp_path, started["call_id"])
            channels, rate_hz = await asyncio.to_thread(wav.read_channels, path)
            assert rate_hz == 16_000
            files.append(channels)
        (ben_heard, anna_said), (anna_heard, ben_said) = files
        _same(ben_heard, ben_said)
        _same(anna_heard, anna_said)


def _words(lines: list[str]) -> set[str]:
    return {word.strip(".,?!").lower() for line in lines for word in line.split()}


def _same(heard: Audio, said: Audio) -> None:
    """What one side heard is what the other's recording has of its bot: each message whole, and in its place."""
    loud = np.flatnonzero(np.abs(said) > 50)
    gaps = np.flatnonzero(np.diff(loud) > PAUSE)
    begins, ends = loud[np.r_[0, gaps + 1]], loud[np.r_[gaps, -1]]
    assert len(begins) == 3
    for begin, end in zip(begins, ends, strict=True):
        spoken = said[begin:end].astype(np.float64)
        around = heard[max(0, begin - SLACK) : end + SLACK].astype(np.float64)
        cross = np.correlate(around, spoken, "valid")
        place = int(np.argmax(cross))
        found = around[place : place + len(spoken)]
        assert abs(place - min(SLACK, begin)) <= SLACK / 2
        assert cross[place] / np.sqrt((found @ found) * (spoken @ spoken)) > 0.99


def _recordings(data_dir: Path, call_id: str) -> list[Path]:
    return list((data_dir / "recordings").glob(f"{call_id}-*.wav"))
