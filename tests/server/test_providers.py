"""Many providers at once: who is asked for by which name, what stands for what, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.errors import ProviderUnavailable
from pipeline.ports import Probe
from server import compose
from server.engines import EnginePool, Pick
from server.protocol import LlmSettings, ProtocolError, WarningCode
from server.providers import HOSTED, LOCAL
from server.resolve import Defaults, missing, resolve, substitutions
from server.selection import Available, Offer
from server.settings import Settings, SettingsError
from tests.fakes.stt import FakeStt
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad
from tests.server.test_selection import layer

LISTED = {
    "openai": frozenset({"gpt-4o", "google/gemma-3-4b"}),
    "ollama": frozenset({"llama3.2:latest"}),
    "openrouter": frozenset({"qwen/qwen3-8b", "openrouter/auto"}),
}
LLM = Offer(
    "llm",
    (Available("openai"),),
    tuple(Available(name, usual=False) for name in ("groq", "openrouter", "ollama", "mine")),
    models=lambda stage, name: LISTED.get(name),
    model=lambda stage, name: {"openai": "gpt-4o", "ollama": "llama3.2"}.get(name),
)
HAS = Defaults(
    stt=Offer("stt", (Available("pocketsphinx", ("en",)), Available("openai"))),
    tts=Offer("tts", (Available("espeak", ("en", "es")), Available("openai", voice="nova"))),
    llm=LLM,
)
USUAL = Pick("openai", "gpt-4o")


def llm_row(asked: Any, offer: Offer = LLM) -> tuple[Pick, ...]:
    return resolve([layer(llm=asked)], Defaults(llm=offer)).picks.llm


def told(offer: Offer = LLM, **keys: Any) -> list[tuple[str, str]]:
    found = substitutions(layer(**keys), replace(HAS, llm=offer))
    codes = (WarningCode.PROVIDER_SUBSTITUTED, WarningCode.LLM_NOT_CONFIGURED)
    return [(key, text) for code, key, text in found if code in codes]


# --- who is asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("groq/llama-3.3-70b", Pick("groq", "llama-3.3-70b")),
        ("Groq:llama-3.3-70b", Pick("groq", "llama-3.3-70b")),
        ("groq/openai/gpt-oss-120b", Pick("groq", "openai/gpt-oss-120b")),
        ("openrouter/qwen/qwen3-8b", Pick("openrouter", "qwen/qwen3-8b")),
        ("openrouter/qwen/qwen3-8b:nitro", Pick("openrouter", "qwen/qwen3-8b:nitro")),
        ("openrouter/a/model-of-tomorrow", Pick("openrouter", "a/model-of-tomorrow")),
        ({"provider": "openrouter", "model": "openai/gpt-4o"}, Pick("openrouter", "openai/gpt-4o")),
        ({"provider": "groq", "model": "llama"}, Pick("groq", "llama")),
        ({"llm": "groq/llama"}, Pick("groq", "llama")),
        ("mine/Some-Model", Pick("mine", "Some-Model")),
        ("ollama", Pick("ollama", "llama3.2")),
        ("ollama/llama3.2", Pick("ollama", "llama3.2")),
        # A server of one's own has models with the names of other providers.
        ("google/gemma-3-4b", Pick("openai", "google/gemma-3-4b")),
        ("gpt-4o", Pick("openai", "gpt-4o")),
        ("openai/gpt-4o", Pick("openai", "gpt-4o")),
    ],
)
def test_a_provider_that_is_here_is_asked_and_the_configured_one_behind_it(asked: Any, first: Pick) -> None:
    behind = () if first.engine == "openai" else (USUAL,)
    assert llm_row(asked) == (first, *behind)
    assert told(llm=asked) == []


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        ("gemini/gemini-3-flash", "google is not available on this server; openai/gpt-4o takes its place: set GEMINI"),
        ("claude/opus", "set ANTHROPIC_API_KEY, or map it to an engine with TALKWIRE_ALIASES=anthropic=..."),
        ("grok/grok-4", "set XAI_API_KEY"),
        ("vllm/qwen", "set TALKWIRE_LLM_PROVIDERS=vllm=http://127.0.0.1:8000/v1"),
        ({"provider": "somebody", "model": "x"}, "set TALKWIRE_LLM_PROVIDERS=somebody=<its base URL>"),
        ("groq", "groq is asked for without a model; openai/gpt-4o takes its place: name one, as in groq/MODEL"),
    ],
)  # fmt: skip
def test_one_that_is_not_here_is_replaced_and_the_agent_is_told_what_to_set(asked: Any, advice: str) -> None:
    assert llm_row(asked) == (USUAL,)
    ((key, text),) = told(llm=asked)
    assert key == "llm"
    assert advice in text


def test_a_model_that_is_not_listed_is_asked_for_all_the_same_where_there_is_no_other() -> None:
    found = substitutions(layer(llm="openrouter/a/b"), HAS)
    assert [(code, key) for code, key, _ in found] == [(WarningCode.PROVIDER_PROBLEM, "llm")]
    assert "has no model 'a/b'" in found[0][2]


def test_a_variant_of_a_listed_model_is_taken_for_listed() -> None:
    assert substitutions(layer(llm="openrouter/qwen/qwen3-8b:nitro"), HAS) == []


def test_speech_of_other_platforms_is_replaced_and_told() -> None:
    found = told(stt="deepgram/flux", voice="elevenlabs/sarah")
    assert [key for key, _ in found] == ["stt", "voice"]
    assert "deepgram is not available on this server; pocketsphinx takes its place" in found[0][1]
    assert "elevenlabs is not available on this server; espeak takes its place" in found[1][1]
    assert all("TALKWIRE_ALIASES" in text for _, text in found)
    ((_, text),) = told(voice="flite")
    assert "add flite to TALKWIRE_TTS" in text


@pytest.mark.parametrize(
    ("voice", "first", "lacks"),
    [
        ("21m00Tcm4Tl", Pick("espeak"), True),
        ({"voice_id": "21m00Tcm4Tl"}, Pick("espeak"), True),
        ("espeak/sarah", Pick("espeak"), True),
        ("en-us+f9", Pick("espeak"), True),
        ("en-US+f3", Pick("espeak", voice="en-US+f3"), False),
        ("espeak/F3", Pick("espeak", voice="F3"), False),
        ("slt", Pick("flite", voice="slt"), False),
        ("openai/21m00Tcm4Tl", Pick("openai", voice="21m00Tcm4Tl"), False),
    ],
)
def test_a_voice_that_an_engine_does_not_have_is_not_asked_of_it(
    voice: Any, first: Pick, lacks: bool
) -> None:
    espeak = Available("espeak", voices=frozenset({"en-us", "f3"}))
    row = (espeak, Available("openai"), Available("flite", voices=frozenset({"slt"})))
    has = replace(HAS, tts=Offer("tts", row))
    assert resolve([layer(voice=voice)], has).picks.tts[0] == first
    found = substitutions(layer(voice=voice), has)
    assert [(code, key) for code, key, _ in found] == [(WarningCode.PROVIDER_SUBSTITUTED, "voice")] * lacks
    assert all("TALKWIRE_ALIASES=" in text and "espeak has no voice" in text for _, _, text in found)


def test_the_engine_in_place_of_another_knows_the_language() -> None:
    config = resolve([layer(stt="deepgram/flux", language="es", voice="polly/Lucia")], HAS)
    assert [pick.engine for pick in config.picks.stt] == ["openai"]
    assert [pick.engine for pick in config.picks.tts] == ["espeak", "openai"]
    assert [pick.engine for pick in resolve([layer(language="fr")], HAS).picks.tts] == ["openai"]


def test_without_a_model_of_its_own_the_server_says_what_it_has() -> None:
    offer = replace(LLM, engines=())
    assert llm_row("gpt-4o", offer) == ()
    assert llm_row("groq/llama", offer) == (Pick("groq", "llama"),)
    ((_, text),) = told(offer, llm="gpt-4o")
    assert "(groq, openrouter, ollama, mine), as in groq/MODEL" in text
    ((_, text),) = told(Offer("llm", off=True), llm="groq/llama")
    assert "set TALKWIRE_LLM, which is none" in text


# --- who takes over ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fallback", "behind"),
    [
        ("groq/llama", [Pick("groq", "llama")]),
        (["groq/llama", "mine/x"], [Pick("groq", "llama"), Pick("mine", "x")]),
        (["xai/grok-4", "mine/x"], [Pick("mine", "x")]),
        ("gpt-4o", [USUAL]),
        ("xai/grok-4", [USUAL]),
        ([], [USUAL]),
    ],
)
def test_an_agent_names_who_answers_where_its_model_fails(fallback: Any, behind: list[Pick]) -> None:
    asked = {"model": "openrouter/qwen/qwen3-8b", "fallback": fallback}
    assert llm_row(asked) == (Pick("openrouter", "qwen/qwen3-8b"), *behind)
    found = told(llm=asked)
    assert [key for key, _ in found] == (["llm.fallback"] if "xai" in str(fallback) else [])


def test_a_problem_of_a_fallback_is_told_too() -> None:
    offer = replace(LLM, problem=lambda stage, name: "its API key was refused" if name == "groq" else "")
    asked = {"model": "gpt-4o", "fallback": ["mine/x", "groq/llama"]}
    ((code, key, text),) = substitutions(layer(llm=asked), replace(HAS, llm=offer))
    assert (code, key) == (WarningCode.PROVIDER_PROBLEM, "llm.fallback")
    assert "groq would not work now: its API key was refused" in text


def test_its_fallback_takes_the_place_of_what_is_not_here() -> None:
    asked = {"model": "anthropic/opus", "fallback": "groq/llama"}
    assert llm_row(asked) == (Pick("groq", "llama"),)
    ((_, text),) = told(llm=asked)
    assert "groq/llama takes its place" in text


@pytest.mark.parametrize("fallback", [5, ["a/b", 5], ["a", "b", "c", "d"], ""])
def test_a_fallback_that_is_none_is_refused(fallback: Any) -> None:
    with pytest.raises(ProtocolError) as refused:
        layer(llm={"model": "gpt-4o", "fallback": fallback})
    assert refused.value.key is not None
    assert refused.value.key.startswith("llm.fallback")


def test_a_nearer_level_keeps_the_fallback_of_a_wider_one() -> None:
    agent = layer(llm={"model": "openrouter/qwen/qwen3-8b", "fallback": "groq/llama"})
    config = resolve([layer(llm={"temperature": 0.1}), agent], HAS)
    assert config.picks.llm == (Pick("openrouter", "qwen/qwen3-8b"), Pick("groq", "llama"))


def test_the_operators_row_may_have_one_provider_with_several_models() -> None:
    row = (
        Available("openai", model="gpt-4o"),
        Available("openai", model="mini"),
        Available("groq", model="l"),
    )
    offer = replace(LLM, engines=row, further=())
    assert llm_row({}, offer) == (USUAL, Pick("openai", "mini"), Pick("groq", "l"))
    asked = llm_row("groq/other", offer)
    assert asked == (Pick("groq", "other"), USUAL, Pick("openai", "mini"), Pick("groq", "l"))


# --- what stands for what ---------------------------------------------------------------------------------

ALIASES = (
    "elevenlabs/sarah=openai/shimmer,21m00Tcm=openai/echo,tts.elevenlabs=openai,deepgram/flux=openai/whisper-1,"
    "claude=groq/llama,anthropic/sonnet=groq/other,gpt-4o=ollama/llama3.2,xai=xai"
)


def aliased() -> Defaults:
    settings = Settings(aliases=ALIASES)  # as the environment has it
    stt = replace(HAS.stt, aliases=compose._aliases(settings, "stt"))
    tts = replace(HAS.tts, aliases=compose._aliases(settings, "tts"))
    llm = replace(LLM, aliases=compose._aliases(settings, "llm"))
    return Defaults(stt=stt, tts=tts, llm=llm)


@pytest.mark.parametrize(
    ("voice", "first"),
    [
        ("elevenlabs/sarah", Pick("openai", voice="shimmer")),
        ("ElevenLabs:Sarah", Pick("openai", voice="shimmer")),
        ({"provider": "elevenlabs", "voice_id": "sarah"}, Pick("openai", voice="shimmer")),
        ({"provider": "elevenlabs", "voice_id": "21m00Tcm"}, Pick("openai", voice="echo")),
        ("21m00Tcm", Pick("openai", voice="echo")),
        ("elevenlabs/adam", Pick("openai", voice="nova")),
        ("espeak/f3", Pick("espeak", voice="f3")),
    ],
)
def test_a_voice_of_another_platform_is_one_of_ours(voice: Any, first: Pick) -> None:
    config = resolve([layer(voice=voice)], aliased())
    assert config.picks.tts[0] == first
    assert substitutions(layer(voice=voice), aliased()) == []


@pytest.mark.parametrize(
    "stt", ["deepgram/flux", "flux", "deepgram-flux", {"provider": "deepgram", "model": "flux"}]
)
def test_a_recogniser_of_another_platform_is_one_of_ours(stt: Any) -> None:
    assert resolve([layer(stt=stt)], aliased()).picks.stt[0] == Pick("openai", "whisper-1")


@pytest.mark.parametrize(
    ("llm", "first"),
    [
        ("claude/opus", Pick("groq", "llama")),
        ({"provider": "claude", "model": "opus"}, Pick("groq", "llama")),
        ("gpt-4o", Pick("ollama", "llama3.2")),
        ({"model": "openai/gpt-4o"}, Pick("ollama", "llama3.2")),
        ({"provider": "anthropic", "model": "anthropic/sonnet"}, Pick("groq", "other")),
        ("anthropic/opus", USUAL),
        ("xai/grok", USUAL),
    ],
)
def test_a_model_by_another_name(llm: Any, first: Pick) -> None:
    assert resolve([layer(llm=llm)], aliased()).picks.llm[0] == first


def test_an_alias_for_one_stage_means_nothing_to_another() -> None:
    found = substitutions(layer(stt="elevenlabs/scribe", voice="elevenlabs/adam"), aliased())
    assert [key for _, key, _ in found] == ["stt"]


# --- a strict operator ------------------------------------------------------------------------------------


def strict() -> Defaults:
    return Defaults(
        stt=replace(HAS.stt, strict=True), tts=replace(HAS.tts, strict=True), llm=replace(LLM, strict=True)
    )


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ({"llm": "anthropic/x"}, "llm", "set ANTHROPIC_API_KEY"),
        ({"llm": {"model": "gpt-4o", "fallback": "xai/x"}}, "llm.fallback", "set XAI_API_KEY"),
        ({"voice": "elevenlabs/x"}, "voice", "TALKWIRE_ALIASES=elevenlabs=..."),
        ({"stt": "flux"}, "stt", "TALKWIRE_ALIASES=deepgram=..."),
        ({"llm": "gpt-9"}, "llm", "no model 'gpt-9'"),
    ],
)
def test_a_strict_operator_wants_nothing_replaced(keys: dict[str, Any], key: str, says: str) -> None:
    found = missing(layer(**keys), strict())
    assert found is not None
    assert found[1] == key
    assert says in found[2]
    assert "TALKWIRE_STRICT_PROVIDERS lets nothing take its place" in found[2]
    assert missing(layer(**keys), HAS) is None


def test_a_strict_operator_without_any_model_refuses_who_wants_one() -> None:
    found = missing(layer(llm="gpt-4o"), Defaults(llm=Offer("llm", strict=True)))
    assert found is not None
    assert found[0] is WarningCode.LLM_NOT_CONFIGURED


def test_a_strict_operator_takes_what_is_here() -> None:
    keys = {"llm": {"model": "groq/x", "fallback": "gpt-4o"}, "voice": "espeak/f3", "stt": "openai/whisper-1"}
    assert missing(layer(**keys), strict()) is None
    assert missing(layer(greeting="Hello."), strict()) is None


# --- settings ---------------------------------------------------------------------------------------------


def test_a_provider_is_available_by_its_key_or_its_address() -> None:
    assert Settings().llm_endpoints() == {}
    keys: dict[str, Any] = {f"{name}_api_key": SecretStr(f"key of {name}") for name in HOSTED}
    found = Settings(**keys).llm_endpoints()
    assert found == {name: (hosted.url, f"key of {name}") for name, hosted in HOSTED.items()}
    assert all(hosted.url.startswith("https://") for hosted in HOSTED.values())


def test_endpoints_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "TALKWIRE_LLM_PROVIDERS", "ollama, Mine=https://llm.example.org/v1/,groq=http://proxy:1/v1"
    )
    monkeypatch.setenv("TALKWIRE_LLM_KEYS", "mine=sesame")
    monkeypatch.setenv("GROQ_API_KEY", "gsk")
    monkeypatch.setenv("TALKWIRE_LLM", "Groq/Llama-3,mine")
    settings = Settings.load(None)
    assert {name: settings.llm_endpoints()[name] for name in ("ollama", "mine", "groq")} == {
        "ollama": (LOCAL["ollama"], ""),
        "mine": ("https://llm.example.org/v1", "sesame"),
        "groq": ("http://proxy:1/v1", "gsk"),
    }
    assert settings.llm == ("groq/Llama-3", "mine")
    assert "sesame" not in repr(settings)
    assert "gsk" not in repr(settings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TALKWIRE_LLM_PROVIDERS", "mine"),
        ("TALKWIRE_LLM_PROVIDERS", "mine=llm.example.org"),
        ("TALKWIRE_LLM_PROVIDERS", "openai=http://127.0.0.1/v1"),
        ("TALKWIRE_LLM_PROVIDERS", "a b=http://127.0.0.1/v1"),
        ("TALKWIRE_LLM_PROVIDERS", "ollama,ollama=http://127.0.0.1/v1"),
        ("TALKWIRE_LLM_KEYS", "nobody=sesame"),
        ("TALKWIRE_LLM_KEYS", "sesame"),
        ("TALKWIRE_LLM", "nobody/x"),
        ("TALKWIRE_LLM", "groq/"),
        ("TALKWIRE_LLM", "groq/x,none"),
        ("TALKWIRE_ALIASES", "elevenlabs/sarah"),
        ("TALKWIRE_ALIASES", "a=b,a=c"),
    ],
)
def test_a_wrong_list_stops_the_start(monkeypatch: pytest.MonkeyPatch, key: str, value: str) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(SettingsError) as wrong:
        Settings.load(None)
    assert str(wrong.value).startswith(f"{key} must be ")
    assert "sesame" not in str(wrong.value)


# --- the engines ------------------------------------------------------------------------------------------


def offered(settings: Settings) -> Offer:
    names = (*compose.rows(settings)["llm"], *compose._further(settings, compose.rows(settings)["llm"]))
    llm = tuple(compose.language_model(name, settings) for name in names)
    pool = EnginePool(FakeVad(), (), (FakeTts(),), llm, wanted=compose._wanted(settings))
    return compose._defaults(settings, pool).llm


def test_the_row_and_what_else_can_be_asked_for() -> None:
    groq, own = SecretStr("g"), SecretStr("o")
    auto = offered(Settings(groq_api_key=groq, openai_api_key=own))
    assert [(e.name, e.usual) for e in auto.engines] == [("openai", True)]
    assert [(e.name, e.usual) for e in auto.further] == [("groq", False)]
    row = offered(Settings(groq_api_key=groq, openai_api_key=own, llm=("groq",), llm_model="llama"))
    assert [(e.name, e.model) for e in row.engines] == [("groq", "llama")]
    assert [e.name for e in row.further] == ["openai"]
    assert llm_row("gpt-4o", row) == (Pick("groq", "gpt-4o"), Pick("groq", "llama"))
    assert llm_row("openai/gpt-4o", row) == (Pick("openai", "gpt-4o"), Pick("groq", "llama"))
    none = offered(Settings(groq_api_key=groq, llm=("none",)))
    assert (none.engines, none.further, none.off) == ((), (), True)
    with pytest.raises(ProviderUnavailable, match="set XAI_API_KEY"):
        compose.language_model("xai", Settings(llm=("xai",)))


def test_a_row_without_a_model_is_told_once_the_models_are_known() -> None:
    settings = Settings(llm_providers=(("ollama", "http://127.0.0.1:9/v1"),), llm=("ollama",))
    pool = EnginePool(
        FakeVad(),
        (),
        (FakeTts(),),
        (compose.language_model("ollama", settings),),
        wanted=compose._wanted(settings),
    )
    pool.note("llm", "ollama", Probe(None, frozenset({"a", "b"})))
    assert "set TALKWIRE_LLM=ollama/MODEL with one of a, b" in pool.problem("llm", "ollama")
    pool.note("llm", "ollama", Probe(None, frozenset({"only"})))
    assert (pool.problem("llm", "ollama"), pool.model("llm", "ollama")) == ("", "only")


def test_a_service_that_hears_is_a_recogniser_too() -> None:
    groq = compose.recogniser("groq", Settings(groq_api_key=SecretStr("g")))
    pool = EnginePool(FakeVad(), (FakeStt(), groq), (FakeTts(),))
    offer = compose._defaults(Settings(groq_api_key=SecretStr("g")), pool).stt
    config = resolve([layer(stt="groq/whisper-large-v3")], Defaults(stt=offer))
    assert config.picks.stt == (Pick("groq", "whisper-large-v3"), Pick("fake"))
    assert resolve([layer()], Defaults(stt=offer)).picks.stt == (Pick("fake"),)
    assert compose._further_ears(Settings(groq_api_key=SecretStr("g"), stt=("none",))) == []
    ((_, text),) = told(stt="groq/whisper-large-v3")
    assert "set GROQ_API_KEY" in text


def test_the_table_is_written_down(request: pytest.FixtureRequest) -> None:
    page = (Path(request.config.rootpath) / "docs" / "engines.md").read_text()
    for name, hosted in HOSTED.items():
        assert f"| `{name}`" in page
        assert hosted.key in page
        assert hosted.url in page
    for name, url in LOCAL.items():
        assert f"`{name}`" in page
        assert url in page


def test_the_settings_object_says_what_the_fallbacks_are() -> None:
    assert LlmSettings(fallback="a/b").fallbacks == ("a/b",)
    assert LlmSettings(fallback=("a/b", "c")).fallbacks == ("a/b", "c")
    assert LlmSettings().fallbacks == ()
