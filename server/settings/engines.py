"""Recognisers, voices and language models, and how long they are waited for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from server.settings.declaring import Group, setting
from server.settings.values import Aliases, File, Language, Line, LlmEndpoints, LlmRow, Row, Seconds, Word

ENGINES = "Engines"
ROW = "or engines in the order in which they are asked, separated by commas:"


class Engines(Group):
    """Of all stages."""

    language: Language = setting(
        ENGINES,
        "TALKWIRE_LANGUAGE",
        "en",
        "Language of agents that name none.",
        allowed="a BCP-47 language tag, for example en or es-PE",
    )
    vad: Annotated[Literal["auto", "silero", "webrtc"], Word] = setting(
        ENGINES, "TALKWIRE_VAD", "auto", "Voice detector. `auto`: the best one that is installed."
    )
    turn_model: File | None = setting(
        ENGINES,
        "TALKWIRE_TURN_MODEL",
        None,
        "A model file that hears whether a turn is over: Smart Turn, version 3, as ONNX. Without it that is judged "
        "by silence, words and the caller's pauses.",
        allowed="a path",
    )
    stt: Annotated[tuple[Literal["auto", "openai", "pocketsphinx", "none"], ...], *Row] = setting(
        ENGINES,
        "TALKWIRE_STT",
        ("auto",),
        "Recogniser. `auto`: `openai` where a key or base URL is set, else the embedded one. Of several the "
        "next one hears again what the one before it lost.",
        allowed=f"auto, none, {ROW} openai, pocketsphinx",
    )
    stt_workers: Annotated[int, Field(ge=1, le=32)] = setting(
        ENGINES,
        "TALKWIRE_STT_WORKERS",
        2,
        "Processes that recognise speech; one for each core is enough.",
        unit="processes",
    )
    tts: Annotated[tuple[Literal["auto", "openai", "espeak", "flite"], ...], *Row] = setting(
        ENGINES,
        "TALKWIRE_TTS",
        ("auto",),
        "Speech engine. `auto`: `openai,espeak` where a key or base URL is set, else `espeak`. Of several the "
        "next one says what the one before it could not.",
        allowed=f"auto, {ROW} openai, espeak, flite",
    )
    llm_providers: LlmEndpoints = setting(
        ENGINES,
        "TALKWIRE_LLM_PROVIDERS",
        (),
        "Further endpoints of OpenAI's shape, by the names that agents use for them: "
        "`mine=https://llm.example.org/v1`. `ollama`, `vllm`, `llamacpp` and `lmstudio` may stand without an "
        "address: it is then their usual one on this machine. The name of a hosted service gives it another address.",
        allowed="name=base URL, separated by commas",
    )
    llm: LlmRow = setting(
        ENGINES,
        "TALKWIRE_LLM",
        ("auto",),
        "Language model of agents that have `llm` set and name none that is here. `auto`: `openai` where a key or "
        "base URL is set, else none; an agent process may always do the thinking itself. Of several the next one "
        "answers where the one before it failed. `none`: none at all, whatever agents name.",
        allowed=f"auto, none, {ROW} openai, openai/MODEL, or the same with a provider that has a key or is in "
        "TALKWIRE_LLM_PROVIDERS",
    )
    aliases: Aliases = setting(
        ENGINES,
        "TALKWIRE_ALIASES",
        (),
        "What stands for a provider, model or voice that agents name: `elevenlabs/sarah=openai/nova`, "
        "`deepgram/flux=openai/whisper-1`, `claude=groq/llama-3.3-70b-versatile`. With `stt.`, `tts.` or `llm.` "
        "before it, a name is meant for that stage alone.",
        allowed="name=provider, name=provider/model or name=provider/voice, separated by commas",
    )
    strict_providers: bool = setting(
        ENGINES,
        "TALKWIRE_STRICT_PROVIDERS",
        False,
        "Refuse agents that ask for a provider, model or voice that is not to be had (`PROVIDER_KEY_REQUIRED`), "
        "instead of giving them the configured one.",
    )
    stt_patience_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_STT_PATIENCE_S",
        1.5,
        "Wait for a recogniser's text after the end of speech until the next engine, or the same one once "
        "more, is asked as well.",
        unit="s",
    )
    stt_timeout_s: Seconds = setting(
        ENGINES, "TALKWIRE_STT_TIMEOUT_S", 10.0, "The same where nobody is left to ask.", unit="s"
    )
    llm_patience_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_LLM_PATIENCE_S",
        1.5,
        "Wait for a language model's first word until the next engine, or the same one once more, is asked "
        "as well; between two words until it counts as broken off.",
        unit="s",
    )
    llm_timeout_s: Seconds = setting(
        ENGINES, "TALKWIRE_LLM_TIMEOUT_S", 15.0, "The same where nobody is left to ask.", unit="s"
    )
    tts_patience_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_TTS_PATIENCE_S",
        1.5,
        "Wait for a voice's first audio until the next engine, or the same one once more, is asked as well; "
        "within a sentence until the voice counts as broken off.",
        unit="s",
    )
    tts_timeout_s: Seconds = setting(
        ENGINES, "TALKWIRE_TTS_TIMEOUT_S", 5.0, "The same where nobody is left to ask.", unit="s"
    )
    holding_after_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_HOLDING_AFTER_S",
        2.0,
        "How long after the end of a turn the caller of an agent with `llm` hears nothing before he hears the "
        "holding line.",
        unit="s",
    )
    holding_text: Line | None = setting(
        ENGINES,
        "TALKWIRE_HOLDING_TEXT",
        None,
        'The holding line; unset: "One moment, please." in the language of the call, where the server knows '
        "it; `off`: none.",
        allowed="text of at most 500 characters",
    )
    trouble_text: Line | None = setting(
        ENGINES,
        "TALKWIRE_TROUBLE_TEXT",
        None,
        "What the caller hears where no language model answers; unset: an apology in the language of the "
        "call; `off`: nothing.",
        allowed="text of at most 500 characters",
    )
    tool_timeout_s: Seconds = setting(
        ENGINES,
        "TALKWIRE_TOOL_TIMEOUT_S",
        30.0,
        "How long the result of a tool is waited for that says nothing else (`timeout_ms`); then the language "
        "model goes on without.",
        unit="s",
    )
    voice: Annotated[str, Field(max_length=200)] | None = setting(
        ENGINES,
        "TALKWIRE_VOICE",
        None,
        "Voice of agents that name none, by the engine's own name; unset: the engine's default.",
        allowed="text of at most 200 characters",
    )
