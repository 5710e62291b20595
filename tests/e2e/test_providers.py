"""Several language model providers at once: each is asked at its own address, with its own key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from telephony.carriers.twilio.simulator import Clip
from tests.e2e.harness import CLIPS, Agent, Running, connected, in_order, registered, running
from tests.fakes.openai_endpoint import Endpoint, Plan, endpoint

pytestmark = pytest.mark.e2e

SPOKEN = Clip.from_wav(CLIPS / "time.wav")
DEFAULT_KEY, GROQ_KEY, MINE_KEY = "sk-default", "gsk-groq", "sk-mine"
DELAYS: dict[str, Any] = {"stt_ms": 50.0, "llm_ms": 50.0, "tts_ms": 50.0, "token_ms": 2.0, "tts_speed": 20.0}


@dataclass
class Providers:
    """A server that has three endpoints, and each of them."""

    server: Running
    default: Endpoint
    groq: Endpoint
    mine: Endpoint

    @property
    def asked(self) -> dict[str, list[str]]:
        """The models of the requests that each one got."""
        each = {"default": self.default, "groq": self.groq, "mine": self.mine}
        return {
            name: [record.json["model"] for record in one.llm.requests if record.json]
            for name, one in each.items()
        }

    def keys(self) -> dict[str, set[str | None]]:
        each = {"default": self.default, "groq": self.groq, "mine": self.mine}
        return {name: {record.authorization for record in one.requests} for name, one in each.items()}


@asynccontextmanager
async def providers(data_dir: Path, **settings: Any) -> AsyncIterator[Providers]:
    async with (
        endpoint(key=DEFAULT_KEY, **DELAYS) as default,
        endpoint(
            key=GROQ_KEY, llm_models=("llama-3.3-70b",), stt_models=("whisper-large-v3",), **DELAYS
        ) as groq,
        endpoint(key=MINE_KEY, llm_models=("Org/Model",), **DELAYS) as mine,
    ):
        values: dict[str, Any] = {
            "stt": ("openai",),
            "tts": ("openai",),
            "stt_model": "gpt-4o-transcribe",
            "tts_model": "tts-1",
            "llm_model": "gpt-4o",
            "openai_api_key": SecretStr(DEFAULT_KEY),
            "openai_base_url": default.base_url,
            "groq_api_key": SecretStr(GROQ_KEY),
            "llm_providers": (("groq", groq.base_url), ("mine", mine.base_url)),
            "llm_keys": (("mine", SecretStr(MINE_KEY)),),
            **settings,
        }
        async with running(data_dir, **values) as server:
            yield Providers(server, default, groq, mine)


async def one_turn(server: Running, **config: Any) -> Agent:
    """What an agent was told of a call of one turn."""
    async with registered(server.ws, prompt="Be brief.", **config) as agent, server.carrier() as carrier:
        call = await carrier.place_call("+15550001111", "+15550002222")
        await agent.wait("call.started")
        call.say(SPOKEN)
        await agent.wait("message.confirmed")
        call.hang_up()
        await agent.wait("call.ended")
    in_order([frame for frame in agent.frames if "seq" in frame])
    return agent


async def test_each_provider_is_asked_by_its_name_with_its_own_key(tmp_path: Path) -> None:
    async with providers(tmp_path) as has:
        agent = await one_turn(has.server, llm="groq/llama-3.3-70b", stt="groq/whisper-large-v3")
        assert {record.form["model"][0] for record in has.groq.stt.requests if record.form} == {
            "whisper-large-v3"
        }
        assert not any(record.form for record in has.default.stt.requests)
        assert agent.of("error") == agent.of("server.warning") == []
        response = agent.of("llm.response")[-1]
        assert (response["provider"], response["model"]) == ("groq", "llama-3.3-70b")
        assert response["usage"]["input_tokens"] > 0
        assert response["usage"]["output_tokens"] > 0
        await one_turn(has.server, llm={"provider": "mine", "model": "Org/Model"})
        await one_turn(has.server, llm="gpt-4o-mini")
        assert {name: set(models) for name, models in has.asked.items()} == {
            "default": {"gpt-4o-mini"},
            "groq": {"llama-3.3-70b"},
            "mine": {"Org/Model"},
        }
        assert has.keys() == {
            "default": {f"Bearer {DEFAULT_KEY}"},
            "groq": {f"Bearer {GROQ_KEY}"},
            "mine": {f"Bearer {MINE_KEY}"},
        }


async def test_the_fallback_that_the_agent_names_answers(tmp_path: Path) -> None:
    async with providers(tmp_path) as has:
        await has.groq.llm.request()  # the probe
        has.groq.llm.plan = Plan(status=429, retry_after_s=30)
        llm = {"model": "groq/llama-3.3-70b", "fallback": ["mine/Org/Model"]}
        agent = await one_turn(has.server, llm=llm)
        (fault,) = agent.of("error")
        assert (fault["provider"], fault["fallback"], fault["code"]) == ("groq", "mine", "LLM_BUSY")
        assert agent.of("llm.response")[-1]["provider"] == "mine"
        assert has.asked["default"] == []
        # What it asked for is heeded in the next call: it is left alone, and the other one answers at once.
        again = await one_turn(has.server, llm=llm)
        assert again.of("error") == []
        assert again.of("llm.response")[-1]["provider"] == "mine"
        assert [record.status for record in has.groq.llm.requests] == [400, 429]  # the first is the probe


async def test_a_wrong_key_of_one_provider_is_told_to_those_who_ask_for_it(tmp_path: Path) -> None:
    async with providers(tmp_path, groq_api_key=SecretStr("gsk-wrong")) as has:
        offer = has.server.services.defaults.llm
        async with asyncio.timeout(5.0):
            while not offer.problem("llm", "groq"):
                await asyncio.sleep(0.02)
        async with registered(has.server.ws, llm="groq/llama-3.3-70b") as agent:
            (warning,) = agent.of("server.warning")
            assert warning["code"] == "PROVIDER_PROBLEM"
            assert "its API key was refused" in warning["warning"]
            assert "gsk-wrong" not in warning["warning"]
        async with registered(has.server.ws, llm="gpt-4o") as agent:
            assert agent.of("server.warning") == []


async def test_a_voice_id_of_another_platform_is_heard_in_a_voice_of_ours(tmp_path: Path) -> None:
    names: dict[str, Any] = {"voice": {"voice_id": "21m00Tcm4TlvDq8ikWAM"}, "stt": "deepgram/flux"}
    async with (
        running(tmp_path, aliases=(("tts.elevenlabs", "espeak/f3"),)) as server,
        registered(server.ws, greeting="Hello.", **names) as agent,
        server.carrier() as carrier,
    ):
        found = {warning["keys"][0]: warning["warning"] for warning in agent.of("server.warning")}
        assert list(found) == ["stt", "voice"]
        assert "espeak has no voice '21m00Tcm4TlvDq8ikWAM'; its default takes its place" in found["voice"]
        call = await carrier.place_call("+15550001111", "+15550002222")
        assert (await agent.wait("message.confirmed"))["text"] == "Hello."
        await agent.send("agent.configure", agent_id="tester", voice="elevenlabs/sarah")
        await agent.wait("agent.configured")
        assert len(agent.of("server.warning")) == 2
        call.hang_up()
        await agent.wait("call.ended")
        assert agent.of("error") == []


async def test_a_strict_server_refuses_what_it_does_not_have_and_applies_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, strict_providers=True) as server, connected(server.ws) as agent:
        await agent.send("agent.create", agent_id="My Agent", llm="anthropic/opus", greeting="Hello.")
        refused = await agent.wait("error")
        assert (refused["code"], refused["agent_id"], refused["key"]) == (
            "PROVIDER_KEY_REQUIRED",
            "My Agent",
            "llm",
        )
        assert "ANTHROPIC_API_KEY" in refused["error"]
        await agent.send("agent.create", agent_id="My Agent", greeting="Hello.")
        await agent.wait("agent.created")
        (registered_agent,) = server.services.agents.online()
        await agent.send(
            "agent.configure", agent_id="My Agent", voice="elevenlabs/sarah", greeting="Changed."
        )
        await agent.send("channel.add", agent_id="My Agent", type="phone", ref="*", stt="deepgram/flux")
        await agent.wait("error", count=3)
        assert [error["key"] for error in agent.of("error")] == ["llm", "voice", "stt"]
        assert registered_agent.configuration["greeting"] == "Hello."
        assert registered_agent.channels == {}
        assert agent.of("server.warning") == agent.of("channel.added") == []
        await agent.send("agent.configure", agent_id="My Agent", ack="7", llm="grok/grok-4")
        answered = await agent.wait("ack", ack="7")
        assert (answered["status"], answered["code"]) == ("error", "PROVIDER_KEY_REQUIRED")


async def test_a_strict_server_refuses_the_same_of_a_live_call(tmp_path: Path) -> None:
    async with (
        running(tmp_path, strict_providers=True) as server,
        registered(server.ws, "My Agent") as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call("+15550001111", "+15550002222")
        await agent.wait("call.started")
        await agent.send(
            "session.configure", session_id=call.call_sid, voice="elevenlabs/sarah", language="es"
        )
        refused = await agent.wait("error")
        assert (refused["code"], refused["agent_id"], refused["key"]) == (
            "PROVIDER_KEY_REQUIRED",
            "My Agent",
            "voice",
        )
        live = server.services.calls.get(call.call_sid)
        assert live is not None
        assert live.config.session.language == "en"
        await agent.send("session.configure", session_id=call.call_sid, language="es")
        await agent.wait("session.configured")
        assert live.config.session.language == "es"
        call.hang_up()
        await agent.wait("call.ended")
