"""One table for all names: what agents ask for against what this server has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import ProviderUnavailable
from pipeline.ports import Probe
from server.agents import merged
from server.engines import EnginePool, Pick
from server.protocol import AgentCreate, WarningCode, parse_command
from server.resolve import Defaults, resolve, substitutions
from server.selection import Available, Offer
from tests.fakes.llm import FakeLlm
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad

MODELS = frozenset({"gpt-4o", "gpt-4o-mini", "llama3.2:latest", "meta-llama/Llama-3.1-8B"})


def models(stage: str, name: str) -> frozenset[str] | None:
    return MODELS if stage == "llm" else None


HAS = Defaults(
    stt=Offer("stt", (Available("openai"), Available("pocketsphinx", ("en",)))),
    tts=Offer("tts", (Available("openai", voice="nova"), Available("espeak", ("en", "es")))),
    llm=Offer("llm", (Available("openai"),), models=models, model=lambda stage, name: "gpt-4o"),
)
HAS_NOTHING = Defaults(tts=Offer("tts", (Available("espeak"),)))


def layer(**keys: Any) -> dict[str, Any]:
    command = parse_command(json.dumps({"event": "agent.create", "agent_id": "a", **keys}))
    assert isinstance(command, AgentCreate)
    return merged({}, command)


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("openai:gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("openai", "gpt-4o"),
        ("llama3.2", "llama3.2"),
        ("llama3.2:latest", "llama3.2:latest"),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ({"model": "meta-llama/Llama-3.1-8B"}, "meta-llama/Llama-3.1-8B"),
        ({"provider": "openai", "model": "gpt-4o-mini"}, "gpt-4o-mini"),
        ({"llm": "openai/gpt-4o-mini"}, "gpt-4o-mini"),
        ({"provider": "openai"}, "gpt-4o"),
        ({"provider": "openai", "model": "openai/gpt-4o-mini"}, "gpt-4o-mini"),
        ({}, "gpt-4o"),
        # What is not here is replaced.
        ("anthropic/claude-sonnet-4", "gpt-4o"),
        ("claude/opus", "gpt-4o"),
        ("openrouter/qwen/qwen3-8b", "gpt-4o"),
        ("openai/gpt-9", "gpt-4o"),
        ({"provider": "google", "model": "gemini-2"}, "gpt-4o"),
    ],
)
def test_a_language_model(asked: Any, model: str) -> None:
    config = resolve([layer(llm=asked)], HAS)
    assert config.picks.llm == (Pick("openai", model),)


@pytest.mark.parametrize("asked", [None, {"enabled": False, "model": "gpt-4o"}])
def test_an_agent_that_thinks_by_itself(asked: Any) -> None:
    keys = {} if asked is None else {"llm": asked}
    assert resolve([layer(**keys)], HAS).picks.llm == ()


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        (None, (Pick("openai"), Pick("pocketsphinx"))),
        ("openai/whisper-1", (Pick("openai", "whisper-1"), Pick("pocketsphinx"))),
        ("pocketsphinx", (Pick("pocketsphinx"), Pick("openai"))),
        ("deepgram/flux", (Pick("openai"), Pick("pocketsphinx"))),
        ("flux", (Pick("openai"), Pick("pocketsphinx"))),
        (
            "Systran/faster-whisper-small",
            (Pick("openai", "Systran/faster-whisper-small"), Pick("pocketsphinx")),
        ),
        ({"model": "whisper-1"}, (Pick("openai", "whisper-1"), Pick("pocketsphinx"))),
        ({"language": "fr"}, (Pick("openai"),)),
    ],
)
def test_a_recogniser(asked: Any, row: tuple[Pick, ...]) -> None:
    keys = {} if asked is None else {"stt": asked}
    assert resolve([layer(**keys)], HAS).picks.stt == row


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        (None, (Pick("openai", voice="nova"), Pick("espeak"))),
        ("shimmer", (Pick("openai", voice="shimmer"), Pick("espeak"))),
        ("openai/shimmer", (Pick("openai", voice="shimmer"), Pick("espeak"))),
        ("espeak/f3", (Pick("espeak", voice="f3"), Pick("openai", voice="nova"))),
        ("espeak", (Pick("espeak"), Pick("openai", voice="nova"))),
        ("elevenlabs/sarah", (Pick("openai", voice="nova"), Pick("espeak"))),
        (
            {"provider": "openai", "model": "tts-1", "voice_id": "echo"},
            (Pick("openai", "tts-1", "echo"), Pick("espeak")),
        ),
        ({"language": "fr"}, (Pick("openai", voice="nova"),)),
    ],
)
def test_a_voice(asked: Any, row: tuple[Pick, ...]) -> None:
    keys = {} if asked is None else {"voice": asked}
    assert resolve([layer(**keys)], HAS).picks.tts == row


def test_the_channel_has_the_word_over_the_agent() -> None:
    config = resolve([layer(llm="gpt-4o-mini", prompt="Inner."), layer(llm="gpt-4o", prompt="Outer.")], HAS)
    assert config.picks.llm == (Pick("openai", "gpt-4o-mini"),)
    assert config.session.prompt == "Inner."


def test_a_nearer_level_may_change_one_part_of_the_model() -> None:
    agent = layer(llm={"model": "gpt-4o-mini", "prompt": "Agent.", "temperature": 0.9}, prompt="Agent, too.")
    cooler = resolve([layer(llm={"temperature": 0.1}), agent], HAS)
    assert cooler.picks.llm == (Pick("openai", "gpt-4o-mini"),)
    assert (cooler.session.temperature, cooler.session.prompt) == (0.1, "Agent, too.")
    other = resolve([layer(llm={"prompt": "Nearer."}), agent], HAS)
    assert other.session.prompt == "Nearer."
    off = resolve([layer(llm={"enabled": False}), agent], HAS)
    assert off.picks.llm == ()
    on = resolve([layer(llm="gpt-4o"), layer(llm={"enabled": False}), agent], HAS)
    assert on.picks.llm == (Pick("openai", "gpt-4o"),)


def test_what_a_model_is_told_of_its_task() -> None:
    asked = {"model": "gpt-4o", "prompt": "Be kind.", "temperature": 0.2, "max_tokens": 100}
    session = resolve([layer(llm=asked, raw_prompt=True, language="de-AT")], HAS).session
    assert (session.prompt, session.raw_prompt) == ("Be kind.", True)
    assert (session.temperature, session.max_tokens) == (0.2, 100)
    assert session.holding_text == "Einen Moment, bitte."
    assert resolve([layer(language="xx")], HAS).session.holding_text == ""


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"llm": "openai/gpt-4o", "voice": "openai/echo", "stt": "openai/whisper-1"}, []),
        (
            {"llm": "anthropic/x"},
            [("llm", "anthropic is not available on this server; openai/gpt-4o takes its place")],
        ),
        ({"llm": "gpt-9"}, [("llm", "no model 'gpt-9'; gpt-4o takes its place")]),
        ({"llm": {"enabled": False, "model": "anthropic/x"}}, []),
        ({"voice": "elevenlabs/x", "stt": "flux"}, [("stt", "deepgram is"), ("voice", "elevenlabs is")]),
        ({"voice": "espeak/f3", "language": "fr"}, [("voice", "does not know the language 'fr'")]),
    ],
)
def test_an_agent_is_told_what_it_does_not_get(keys: dict[str, Any], told: list[tuple[str, str]]) -> None:
    found = substitutions(layer(**keys), HAS)
    assert [key for _, key, _ in found] == [key for key, _ in told]
    for (_, _, text), (_, part) in zip(found, told, strict=True):
        assert part in text


def test_without_a_language_model_an_agent_that_wants_one_is_told_what_to_do() -> None:
    config = resolve([layer(llm="gpt-4o")], HAS_NOTHING)
    assert config.picks.llm == ()
    ((code, key, text),) = substitutions(layer(llm="anthropic/x"), HAS_NOTHING)
    assert (code, key) == (WarningCode.LLM_NOT_CONFIGURED, "llm")
    assert "OPENAI_API_KEY" in text


def test_a_problem_of_the_engine_is_told_at_registration() -> None:
    offer = Offer("llm", (Available("openai"),), problem=lambda stage, name: "its API key was refused")
    ((code, key, text),) = substitutions(layer(llm="gpt-4o"), Defaults(llm=offer))
    assert (code, key) == (WarningCode.PROVIDER_PROBLEM, "llm")
    assert "its API key was refused" in text


# --- what is known of an endpoint -------------------------------------------------------------------------


class RemoteLlm(FakeLlm):
    """A model behind a network."""

    model: str | None = "gpt-usual"
    found = Probe(None, None)

    async def probe(self) -> Probe:
        return self.found


def pool(listed: set[str] | None, wanted: str | None = None) -> EnginePool:
    llm = RemoteLlm(name="openai")
    made = EnginePool(FakeVad(), (), (FakeTts(),), (llm,), wanted={("llm", "openai"): wanted})
    made.note("llm", "openai", Probe(None, frozenset(listed) if listed is not None else None))
    return made


@pytest.mark.parametrize(
    ("listed", "wanted", "model", "problem"),
    [
        (None, None, None, ""),
        (None, "mine", "mine", ""),
        ({"gpt-usual", "x"}, None, None, ""),
        ({"gpt-usual", "x"}, "x", "x", ""),
        ({"only"}, None, "only", ""),
        ({"llama", "whisper-large", "kokoro", "nomic-embed-text"}, None, "llama", ""),
        ({"llama", "qwen"}, None, None, "set TALKWIRE_LLM_MODEL to one of llama, qwen"),
        ({"llama", "qwen"}, "mistral", "mistral", "there is no model 'mistral'"),
        ({"llama3.2:latest"}, "llama3.2", "llama3.2", ""),
    ],
)
def test_the_model_of_an_endpoint(
    listed: set[str] | None, wanted: str | None, model: str | None, problem: str
) -> None:
    made = pool(listed, wanted)
    assert made.model("llm", "openai") == model
    found = made.problem("llm", "openai")
    assert problem in found
    assert bool(problem) == bool(found)


async def test_a_problem_and_its_end_are_noticed() -> None:
    llm = RemoteLlm(name="openai")
    made = EnginePool(FakeVad(), (), (FakeTts(),), (llm,))
    llm.found = Probe(ProviderUnavailable("openai", "llm", "its API key was refused"), None)
    await made.probe()
    assert made.problem("llm", "openai") == "its API key was refused"
    llm.found = Probe(None, frozenset({"gpt-usual"}))
    await made.probe()
    assert made.problem("llm", "openai") == ""
    assert made.models("llm", "openai") == frozenset({"gpt-usual"})
