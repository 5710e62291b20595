"""Calls on OpenAI-shaped engines over real HTTP: the agent registers, and the server converses by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from telephony.carriers.twilio.simulator import Clip, SimulatedCall
from tests.e2e.harness import CLIPS, Agent, Frame, in_order, registered, running
from tests.fakes.openai_endpoint import FOREVER, Endpoint, Plan, endpoint

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

SPOKEN = Clip.from_wav(CLIPS / "time.wav")
DELAYS = {"stt_ms": 100.0, "llm_ms": 150.0, "tts_ms": 80.0, "token_ms": 5.0}
ENGINES: dict[str, Any] = {
    "stt": ("openai",),
    "tts": ("openai",),
    "llm": ("openai",),
    "stt_model": "gpt-4o-transcribe",
    "tts_model": "tts-1",
    "llm_model": "gpt-4o",
}
USUAL_S = 3.0
"""What an answer may take on a busy machine: a bound against hanging, no measurement."""


@dataclass
class Talk:
    """One call to an agent that thinks by the server's model."""

    endpoint: Endpoint
    agent: Agent
    call: SimulatedCall

    async def ask(self) -> float:
        """Say something; returns after how many seconds the bot was heard."""
        said = self.call.say(SPOKEN)
        await said.finished()
        heard_s = await self.call.bot_speaking(after_s=said.voice_end_s)
        return heard_s - said.voice_end_s

    @property
    def faults(self) -> list[Frame]:
        return self.agent.of("error")

    def history(self, index: int = -1) -> list[tuple[str, str]]:
        messages = self.endpoint.llm.requests[index].json["messages"]
        return [(message["role"], message["content"]) for message in messages if message["role"] != "system"]


@asynccontextmanager
async def talking(
    data_dir: Path,
    *,
    fixture: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **agent: Any,
) -> AsyncIterator[Talk]:
    config = {"llm": "openai/gpt-4o", "prompt": "Be brief.", **agent}
    async with endpoint(**{**DELAYS, **(fixture or {})}) as server:
        values = {**ENGINES, "openai_base_url": server.base_url, **(settings or {})}
        async with (
            running(data_dir, **values) as talkwire,
            registered(talkwire.ws, **config) as client,
            talkwire.carrier() as carrier,
        ):
            call = await carrier.place_call("+15550001111", "+15550002222")
            await client.wait("call.started")
            yield Talk(server, client, call)
            call.hang_up()
            await client.wait("call.ended")
            in_order([frame for frame in client.frames if "seq" in frame])


async def test_an_agent_with_a_model_holds_a_conversation_with_no_code_of_its_own(tmp_path: Path) -> None:
    async with talking(tmp_path, greeting="Hello there.") as talk:
        await talk.agent.wait("message.confirmed")
        assert await talk.ask() < USUAL_S
        await talk.agent.wait("message.confirmed", count=2)
        assert await talk.ask() < USUAL_S
        await talk.agent.wait("message.confirmed", count=3)
        assert talk.faults == []
        words = [frame["text"] for frame in talk.agent.of("message.confirmed")]
        assert words[0] == "Hello there."
        assert talk.history() == [
            ("assistant", "Hello there."),
            ("user", "this is what was said"),
            ("assistant", words[1]),
            ("user", "this is what was said"),
        ]
        first = talk.endpoint.stt.requests[-1]
        assert first.audio is not None
        assert talk.agent.of("bot.word")
        assert all(frame["turn_id"] in (1, 2) for frame in talk.agent.of("turn.end"))


async def test_what_the_caller_did_not_hear_is_not_in_the_history(tmp_path: Path) -> None:
    reply = "This is a long answer that goes on and on. " * 6
    async with talking(tmp_path, fixture={"reply": reply}) as talk:
        await talk.ask()
        await asyncio.sleep(3.0)
        talk.call.say(SPOKEN)
        cut = await talk.agent.wait("bot.interrupted")
        assert cut["reason"] == "user_spoke"
        await talk.agent.wait("turn.end", count=2)
        await talk.endpoint.llm.request(2)
        roles = [role for role, _ in talk.history()]
        assert roles == ["user", "assistant", "user"]
        heard = talk.history()[1][1].split()
        assert len(heard) == cut["words_spoken"]
        assert heard == reply.split()[: len(heard)]
        # What is no longer wanted is no longer asked for.
        assert await talk.endpoint.llm.requests[0].over() in ("sent", "disconnected")
        assert len(talk.endpoint.tts.requests) < 8


STALLS = Plan(before_head_ms=FOREVER)
FAULTS: dict[str, tuple[str, Plan]] = {
    "stt stalls": ("stt", STALLS),
    "stt errs": ("stt", Plan(status=500)),
    "stt is cut off": ("stt", Plan(cut_after=1)),
    "llm stalls": ("llm", STALLS),
    "llm errs": ("llm", Plan(status=503)),
    "llm is busy": ("llm", Plan(status=429, retry_after_s=1)),
    "llm is cut off": ("llm", Plan(cut_after=2)),
    "llm talks nonsense": ("llm", Plan(garbage_after=1)),
    "tts stalls": ("tts", STALLS),
    "tts errs": ("tts", Plan(status=500)),
    "tts stalls before its first sample": ("tts", Plan(stall_after=0)),
}


async def test_an_engine_that_fails_in_the_middle_of_a_turn_costs_no_turn(tmp_path: Path) -> None:
    """Bar R3: speech or a fallback within 2.5 s, an event that says what happened, the same turn answered."""

    async def one(name: str) -> None:
        stage, plan = FAULTS[name]
        async with talking(tmp_path / name.replace(" ", "-")) as talk:
            getattr(talk.endpoint, stage).next(plan)
            taken_s = await talk.ask()
            confirmed = await talk.agent.wait("message.confirmed")
            if confirmed["text"] == "One moment, please.":
                # After 2 s without a text the caller is told so, which a busy machine may need; the answer still comes.
                confirmed = await talk.agent.wait("message.confirmed", count=2)
            assert taken_s < USUAL_S + 2.0, name
            assert len(talk.faults) == 1, (name, talk.faults)
            fault = talk.faults[0]
            assert (fault["provider"], fault["stage"], fault["fallback"]) == ("openai", stage, "openai"), name
            assert fault["retryable"] is True
            assert "this is what was said" in confirmed["text"], name
            assert [f["text"] for f in talk.agent.of("turn.end")] == ["this is what was said"], name

    async with asyncio.TaskGroup() as tasks:
        for name in FAULTS:
            tasks.create_task(one(name))


async def test_what_stops_in_the_middle_is_not_waited_for(tmp_path: Path) -> None:
    first = "This is the first sentence of a long answer, and it goes on for a while."
    fixture = {"reply": f"{first} And here is the second one.", "tts_speed": 2.0}

    async def one(stage: str, plan: Plan) -> list[str]:
        async with talking(tmp_path / stage, fixture=fixture) as talk:
            getattr(talk.endpoint, stage).next(plan)
            await talk.ask()
            confirmed = await talk.agent.wait("message.confirmed")
            (fault,) = talk.faults
            assert fault["code"] == "PROVIDER_TIMEOUT"
            # The message ends soon after its last sound, and not when the stage would have failed.
            assert confirmed["ts"] - fault["ts"] < 10.0
            assert fault["ts"] - talk.agent.of("bot.speaking")[0]["ts"] < 4.5
            text: str = confirmed["text"]
            return [stage, text]

    async with asyncio.TaskGroup() as tasks:
        voice = tasks.create_task(one("tts", Plan(stall_after=8)))
        mind = tasks.create_task(one("llm", Plan(stall_after=22)))
    assert voice.result() == ["tts", f"{first} And here is the second one."]
    assert mind.result() == ["llm", first]


async def test_the_next_voice_takes_over_and_the_caller_hears_it(tmp_path: Path) -> None:
    async with talking(tmp_path, settings={"tts": ("openai", "espeak")}) as talk:
        talk.endpoint.tts.plan = Plan(status=500)
        before = len(talk.endpoint.tts.requests)
        assert await talk.ask() < USUAL_S + 1.0
        await talk.agent.wait("message.confirmed")
        fault = talk.faults[0]
        assert (fault["stage"], fault["fallback"]) == ("tts", "espeak")
        # An outage is met once, and not with each sentence.
        assert len(talk.endpoint.tts.requests) == before + 1


async def test_where_no_model_answers_the_caller_is_told(tmp_path: Path) -> None:
    async with talking(tmp_path, settings={"trouble_text": "I am lost."}) as talk:
        talk.endpoint.llm.plan = Plan(status=500)
        assert await talk.ask() < USUAL_S + 2.5
        assert (await talk.agent.wait("message.confirmed"))["text"] == "I am lost."
        assert [fault.get("fallback") for fault in talk.faults] == ["openai", None]


async def test_a_model_that_takes_its_time_is_waited_for_with_a_word(tmp_path: Path) -> None:
    async with talking(tmp_path, fixture={"llm_ms": 4000.0}) as talk:
        assert await talk.ask() < 2.5 + 0.5
        first = await talk.agent.wait("message.confirmed")
        second = await talk.agent.wait("message.confirmed", count=2)
        assert first["text"] == "One moment, please."
        assert "this is what was said" in second["text"]


@pytest.mark.parametrize(
    ("settings", "fixture", "told"),
    [
        ({"openai_api_key": "sk-wrong"}, {"key": "sk-right"}, "API key was refused"),
        ({"openai_base_url": "http://127.0.0.1:9/v1"}, {}, "cannot be reached at http://127.0.0.1:9/v1"),
        ({"llm_model": "gpt-9"}, {}, "there is no model 'gpt-9'"),
    ],
)
async def test_a_wrong_key_or_address_is_told_at_the_start_and_at_registration(
    tmp_path: Path,
    settings: dict[str, Any],
    fixture: dict[str, Any],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with endpoint(**fixture) as server:
        values = {**ENGINES, "openai_base_url": server.base_url, **settings}
        async with running(tmp_path, **values) as talkwire:
            # The probe asked for nothing that costs.
            assert all(not record.form and not record.json for record in server.requests)
            async with registered(talkwire.ws, llm="openai") as agent:
                warnings = [frame for frame in agent.of("server.warning") if frame["keys"] == ["llm"]]
                (warning,) = warnings
                assert warning["code"] == "PROVIDER_PROBLEM"
                assert told in warning["warning"]
                assert "sk-wrong" not in warning["warning"]


async def test_an_endpoint_for_language_alone_leaves_the_embedded_voice(tmp_path: Path) -> None:
    async with endpoint() as server:
        server.tts.plan = server.stt.plan = Plan(status=404)
        settings = {"openai_base_url": server.base_url, "stt": ("none",), "tts": ("auto",), "llm": ("auto",)}
        async with running(tmp_path, **settings) as talkwire:
            assert talkwire.services.defaults.tts.first == "espeak"
            assert talkwire.services.defaults.llm.first == "openai"


async def test_a_call_may_be_given_other_engines_in_the_middle(tmp_path: Path) -> None:
    async with talking(tmp_path, settings={"tts": ("openai", "espeak")}) as talk:
        call_id = talk.call.call_sid
        await talk.agent.send(
            "session.configure", session_id=call_id, voice="espeak", llm="gpt-4o-mini", prompt="Be long."
        )
        assert (await talk.agent.wait("session.configured"))["session_id"] == call_id
        before = len(talk.endpoint.tts.requests)
        assert await talk.ask() < USUAL_S + 0.5
        await talk.agent.wait("message.confirmed")
        assert len(talk.endpoint.tts.requests) == before
        request = talk.endpoint.llm.requests[-1].json
        assert request["model"] == "gpt-4o-mini"
        assert request["messages"][0]["content"].startswith("Be long.")
        await talk.agent.send("session.configure", session_id=call_id, voice=5)
        refused = await talk.agent.wait("error")
        assert refused["key"] == "voice"
        await talk.agent.send("session.configure", session_id="CAgone", voice="espeak")
        await talk.agent.send("session.configure", session_id=call_id, voice="elevenlabs/sarah")
        warning = await talk.agent.wait("server.warning")
        assert warning["call_id"] == warning["session_id"] == call_id
        assert "elevenlabs" in warning["warning"]
