"""Who is who among the providers that agents may name, and what makes one of them available here. Pure.

The services of OpenAI's shape are a table of addresses; ``TALKWIRE_LLM_PROVIDERS`` adds to it and changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hosted:
    """A language model service of OpenAI's shape, available where its key is set."""

    url: str
    key: str
    """The setting that holds it."""
    hears: bool = False
    """It transcribes speech, too."""


DEFAULT = "openai"
"""The endpoint of ``OPENAI_*`` and ``TALKWIRE_LLM_*``, whoever's it is."""
HOSTED: Mapping[str, Hosted] = {
    "anthropic": Hosted("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "cerebras": Hosted("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepseek": Hosted("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "google": Hosted("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "groq": Hosted("https://api.groq.com/openai/v1", "GROQ_API_KEY", hears=True),
    "mistral": Hosted("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "openrouter": Hosted("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": Hosted("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "xai": Hosted("https://api.x.ai/v1", "XAI_API_KEY"),
}
LOCAL: Mapping[str, str] = {
    "llamacpp": "http://127.0.0.1:8080/v1",
    "lmstudio": "http://127.0.0.1:1234/v1",
    "ollama": "http://127.0.0.1:11434/v1",
    "vllm": "http://127.0.0.1:8000/v1",
}
"""Servers that one runs oneself, with the address that each has by default. They need no key, and are available
where ``TALKWIRE_LLM_PROVIDERS`` names them."""
BUILT_IN: Mapping[str, frozenset[str]] = {
    "stt": frozenset({"pocketsphinx"}),
    "tts": frozenset({"espeak", "flite"}),
    "llm": frozenset(),
}
SPEECH = frozenset(
    "assemblyai azure cartesia deepgram elevenlabs gladia polly rime soniox transcribe xai".split()
)
"""Speech services that agents of other platforms name. No engine here speaks to them."""
ALIASES = {
    "gpt": "openai",
    "claude": "anthropic",
    "gemini": "google",
    "grok": "xai",
    "llama.cpp": "llamacpp",
    "aws": "polly",
    "deepgram-flux": "deepgram",
    "flux": "deepgram",
}
"""Other words for a provider."""
SHORTCUTS = {"flux": "deepgram/flux", "deepgram-flux": "deepgram/flux"}
"""Recognisers that are named in one word."""
NAMES = frozenset({DEFAULT, *HOSTED, *LOCAL, *SPEECH}).union(*BUILT_IN.values())
"""What stands before the separator in ``provider/model``. Anything else before it belongs to the model's name,
as in ``meta-llama/Llama-3.1-8B-Instruct``."""


def canonical(provider: str) -> str:
    name = provider.strip().lower()
    return ALIASES.get(name, name)


def remedy(stage: str, provider: str) -> str:
    """What the operator does to make it available; empty: there is nothing that he could set."""
    setting = f"TALKWIRE_{stage.upper()}"
    if provider == DEFAULT:
        return f"set OPENAI_API_KEY, OPENAI_BASE_URL or {setting}_BASE_URL"
    if provider in BUILT_IN[stage]:
        return f"add {provider} to {setting}"
    hosted = HOSTED.get(provider)
    if hosted is not None and (stage == "llm" or (stage == "stt" and hosted.hears)):
        return f"set {hosted.key}"
    if stage != "llm":
        return ""
    if provider in LOCAL:
        return f"set TALKWIRE_LLM_PROVIDERS={provider}={LOCAL[provider]}"
    return f"set TALKWIRE_LLM_PROVIDERS={provider}=<its base URL>"
