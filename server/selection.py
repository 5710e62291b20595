"""Which engines a call gets: what agent and channel ask for, against what this server has.

One table for all names. A name of another platform, or of an engine that is not here, stops nothing: the
operator's own engines of the same kind take its place, and the agent is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.engines import Pick
from server.protocol import LlmSettings, SttSettings, VoiceSettings, WarningCode

ALIASES = {
    "gpt": "openai",
    "claude": "anthropic",
    "gemini": "google",
    "grok": "xai",
    "flux": "deepgram",
    "deepgram-flux": "deepgram",
}
"""Other words for a provider."""
PROVIDERS = frozenset(
    "anthropic assemblyai azure cartesia cerebras deepgram deepseek elevenlabs espeak flite gladia google groq "
    "mistral openai openrouter pinecall pocketsphinx polly rime soniox transcribe xai".split()
)
"""What stands before the separator in ``provider/model``. Anything else before it belongs to the model's name,
as in ``meta-llama/Llama-3.1-8B-Instruct``."""

Asked = str | SttSettings | VoiceSettings | LlmSettings


@dataclass(frozen=True, slots=True)
class Available:
    """An engine of this server, and what it does where nobody says otherwise."""

    name: str
    languages: tuple[str, ...] = ()
    """Base tags; empty: any."""
    voice: str | None = None

    def speaks(self, language: str) -> bool:
        return not self.languages or language.split("-")[0].lower() in self.languages


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is of one kind, in the operator's order."""

    stage: str
    engines: tuple[Available, ...] = ()
    problem: Callable[[str, str], str] = lambda stage, name: ""
    """What is known to be wrong with an engine, by stage and name; empty: nothing."""
    models: Callable[[str, str], frozenset[str] | None] = lambda stage, name: None
    """What its endpoint lists; None where that is not known."""
    model: Callable[[str, str], str | None] = lambda stage, name: None
    """What it uses where nobody says otherwise; None: its own default."""

    @property
    def first(self) -> str:
        return self.engines[0].name if self.engines else ""

    def find(self, name: str | None) -> Available | None:
        return next((engine for engine in self.engines if engine.name == name), None)

    def lists(self, name: str, model: str) -> bool:
        """False only where the endpoint is known not to have the model."""
        models = self.models(self.stage, name)
        return not models or model in models or f"{model}:latest" in models

    def model_of(self, engine: Available, asked: str | None) -> str | None:
        """The asked one where it is to be had, else the usual one."""
        if asked is not None and self.lists(engine.name, asked):
            return asked
        return self.model(self.stage, engine.name)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a configuration asks for, taken apart."""

    provider: str | None = None
    model: str | None = None
    voice: str | None = None


def wish(stage: str, value: Asked | None, offer: Offer) -> Wish:
    """Understand a string or an object of the protocol."""
    match value:
        case None:
            return Wish()
        case str():
            return _in_words(stage, value, offer)
        case VoiceSettings():
            return Wish(_name(value.provider), value.model, value.voice_id)
        case SttSettings():
            return Wish(_name(value.provider), value.model)
        case LlmSettings():
            words = value.model or value.llm
            inner = _in_words(stage, words, offer) if words else Wish()
            if value.provider is None or _name(value.provider) == inner.provider:
                return inner
            return Wish(_name(value.provider), words)


def language_in(value: object) -> str | None:
    """The language in a recogniser's ``provider:model:language``."""
    return value.rpartition(":")[2] or None if isinstance(value, str) and value.count(":") == 2 else None


def _name(provider: str | None) -> str | None:
    if provider is None:
        return None
    return ALIASES.get(provider.lower(), provider.lower())


def _in_words(stage: str, value: str, offer: Offer) -> Wish:
    """``provider/model``, ``provider:model``, ``provider/voice``, or one of the two alone; of a recogniser also
    ``provider:model:language``."""
    if stage == "stt" and language_in(value):
        value = value.rpartition(":")[0]
    head, separator, rest = value.replace(":", "/", 1).partition("/")
    name = _name(head)
    known = name in PROVIDERS or offer.find(name) is not None
    if stage == "tts":
        if separator or offer.find(name) is not None:
            return Wish(name, voice=rest or None)
        return Wish(voice=value)
    if known:
        return Wish(name, rest or None)
    if stage == "llm" or (separator and offer.find("openai") is not None):
        return Wish("openai", value)
    return Wish(name, rest or None)


def pick(value: Asked | None, language: str, offer: Offer) -> tuple[Pick, ...]:
    """The engines of a call in the order in which they are asked: the one that is wished for, then the
    operator's; those that do not know the language only where no other does."""
    asked = wish(offer.stage, value, offer)
    chosen = offer.find(asked.provider) if asked.provider else None
    if asked.provider is None and offer.engines:
        chosen = offer.engines[0]
    row = [engine for engine in offer.engines if engine is not chosen]
    able = [engine for engine in row if engine.speaks(language)]
    if chosen is None:
        return tuple(_default(engine, offer) for engine in able or row)
    first = Pick(chosen.name, offer.model_of(chosen, asked.model), asked.voice or chosen.voice)
    return (first, *(_default(engine, offer) for engine in able))


def _default(engine: Available, offer: Offer) -> Pick:
    return Pick(engine.name, offer.model_of(engine, None), engine.voice)


Told = tuple[WarningCode, str, str]
"""A code, the key that it is about, and a sentence."""


def warnings(key: str, value: Asked | None, language: str | None, offer: Offer) -> list[Told]:
    """What of a wish this server replaces or cannot do."""
    asked = wish(offer.stage, value, offer)
    found: list[Told] = []
    chosen = offer.find(asked.provider) if asked.provider else None
    if asked.provider is not None and chosen is None:
        found.append((WarningCode.PROVIDER_SUBSTITUTED, key, _replaced(key, asked.provider, offer)))
    engine = chosen or (offer.engines[0] if offer.engines else None)
    if engine is None:
        return found
    if asked.model is not None and chosen is not None and not offer.lists(engine.name, asked.model):
        instead = offer.model_of(engine, None)
        text = (
            f"{key}: {engine.name} has no model {asked.model!r}; {instead or 'its default'} takes its place"
        )
        found.append((WarningCode.PROVIDER_SUBSTITUTED, key, text))
    if language is not None and not engine.speaks(language):
        known = ", ".join(engine.languages[:20])
        text = f"{engine.name} does not know the language {language!r}; it knows {known}"
        found.append((WarningCode.LANGUAGE_UNSUPPORTED, key, text))
    problem = offer.problem(offer.stage, engine.name)
    if problem:
        text = f"{key}: {engine.name} would not work now: {problem}"
        found.append((WarningCode.PROVIDER_PROBLEM, key, text))
    return found


def _replaced(key: str, provider: str, offer: Offer) -> str:
    return f"{key}: this server has no {provider!r}; {offer.first or 'none'} takes its place"
