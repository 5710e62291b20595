"""Services behind a network that engines ask, and their keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from server.settings.declaring import Group, Stage, setting
from server.settings.values import LlmKeys, Model, Url

OPENAI, PROVIDERS = "OpenAI-shaped endpoints", "Language model providers"
ENDPOINT = "an http or https URL with its version, for example http://127.0.0.1:8000/v1"


class OpenAiShaped(Group):
    """Endpoints for each stage."""

    openai_api_key: SecretStr | None = setting(
        OPENAI,
        "OPENAI_API_KEY",
        None,
        "Opens the hosted service, or the one behind `OPENAI_BASE_URL`.",
        allowed="a key",
    )
    openai_base_url: Url | None = setting(
        OPENAI,
        "OPENAI_BASE_URL",
        None,
        "A service of the same shape that you run yourself (vLLM, Ollama, llama.cpp, Speaches, Kokoro, "
        "LocalAI); unset, with a key: the hosted one.",
        allowed=ENDPOINT,
    )
    stt_base_url: Url | None = setting(
        OPENAI,
        "TALKWIRE_STT_BASE_URL",
        None,
        "The endpoint for speech to text, where it is another one.",
        allowed=ENDPOINT,
    )
    stt_api_key: SecretStr | None = setting(
        OPENAI, "TALKWIRE_STT_API_KEY", None, "Its key, where it is another one.", allowed="a key"
    )
    stt_model: Model | None = setting(
        OPENAI,
        "TALKWIRE_STT_MODEL",
        None,
        "Model of agents that name none; unset: the engine's default.",
        allowed="the model's name",
    )
    stt_early: bool = setting(
        OPENAI,
        "TALKWIRE_STT_EARLY",
        True,
        "Ask for the text at the first short pause (96 ms), and again where the speech goes on. Answers come "
        "about 200 ms sooner; of requests there are about twice as many.",
    )
    stt_partials_ms: Annotated[int, Field(ge=0, le=10_000)] = setting(
        OPENAI,
        "TALKWIRE_STT_PARTIALS_MS",
        0,
        "Transcribe the growing utterance this often while it is spoken, for interim text (each time costs a "
        "request); 0: never.",
        unit="ms",
    )
    tts_base_url: Url | None = setting(
        OPENAI,
        "TALKWIRE_TTS_BASE_URL",
        None,
        "The endpoint for text to speech, where it is another one.",
        allowed=ENDPOINT,
    )
    tts_api_key: SecretStr | None = setting(
        OPENAI, "TALKWIRE_TTS_API_KEY", None, "Its key, where it is another one.", allowed="a key"
    )
    tts_model: Model | None = setting(
        OPENAI,
        "TALKWIRE_TTS_MODEL",
        None,
        "Model of agents that name none; unset: the engine's default.",
        allowed="the model's name",
    )
    tts_sample_rate_hz: Annotated[int, Field(ge=8000, le=48_000)] = setting(
        OPENAI,
        "TALKWIRE_TTS_SAMPLE_RATE_HZ",
        24_000,
        "Rate of the raw samples that the endpoint gives, where its answer does not say.",
        unit="Hz",
    )
    llm_base_url: Url | None = setting(
        OPENAI,
        "TALKWIRE_LLM_BASE_URL",
        None,
        "The endpoint for the language model, where it is another one.",
        allowed=ENDPOINT,
    )
    llm_api_key: SecretStr | None = setting(
        OPENAI, "TALKWIRE_LLM_API_KEY", None, "Its key, where it is another one.", allowed="a key"
    )
    llm_model: Model | None = setting(
        OPENAI,
        "TALKWIRE_LLM_MODEL",
        None,
        "Model of agents that name none; unset: the engine's default.",
        allowed="the model's name",
    )

    def endpoint(self, stage: Stage) -> tuple[str | None, str] | None:
        """Base URL (None: the hosted service) and key (may be empty) of a stage; None: nothing is set.

        A key given for everything is not shown to an endpoint that was named for one stage alone.
        """
        own_url: str | None = getattr(self, f"{stage}_base_url")
        own_key: SecretStr | None = getattr(self, f"{stage}_api_key")
        url = own_url or self.openai_base_url
        key = own_key or (None if own_url else self.openai_api_key)
        if url is None and key is None:
            return None
        return url, key.get_secret_value() if key else ""


class Providers(Group):
    """Keys of providers of language models."""

    anthropic_api_key: SecretStr | None = setting(
        PROVIDERS,
        "ANTHROPIC_API_KEY",
        None,
        "Opens the models of Anthropic (`anthropic/...`, `claude/...`).",
        allowed="a key",
    )
    cerebras_api_key: SecretStr | None = setting(
        PROVIDERS, "CEREBRAS_API_KEY", None, "Opens the models of Cerebras (`cerebras/...`).", allowed="a key"
    )
    deepseek_api_key: SecretStr | None = setting(
        PROVIDERS, "DEEPSEEK_API_KEY", None, "Opens the models of DeepSeek (`deepseek/...`).", allowed="a key"
    )
    google_api_key: SecretStr | None = setting(
        PROVIDERS,
        "GEMINI_API_KEY",
        None,
        "Opens the models of Google's Gemini (`google/...`, `gemini/...`).",
        allowed="a key",
    )
    groq_api_key: SecretStr | None = setting(
        PROVIDERS,
        "GROQ_API_KEY",
        None,
        "Opens the models of Groq (`groq/...`), for language and speech to text.",
        allowed="a key",
    )
    mistral_api_key: SecretStr | None = setting(
        PROVIDERS, "MISTRAL_API_KEY", None, "Opens the models of Mistral (`mistral/...`).", allowed="a key"
    )
    openrouter_api_key: SecretStr | None = setting(
        PROVIDERS,
        "OPENROUTER_API_KEY",
        None,
        "Opens the models of OpenRouter (`openrouter/...`).",
        allowed="a key",
    )
    together_api_key: SecretStr | None = setting(
        PROVIDERS, "TOGETHER_API_KEY", None, "Opens the models of Together (`together/...`).", allowed="a key"
    )
    xai_api_key: SecretStr | None = setting(
        PROVIDERS, "XAI_API_KEY", None, "Opens the models of xAI (`xai/...`, `grok/...`).", allowed="a key"
    )
    llm_keys: LlmKeys = setting(
        PROVIDERS,
        "TALKWIRE_LLM_KEYS",
        (),
        "Keys of the endpoints in `TALKWIRE_LLM_PROVIDERS` that want one. Each is sent to its own endpoint only.",
        allowed="name=key, separated by commas; the names are those in TALKWIRE_LLM_PROVIDERS",
    )
