"""Which engines a call gets: what agent and channel ask for, against what this server has.

One table for all names (``server.providers``, and the operator's aliases). A name of another platform, or of an
engine that is not here, stops nothing: the operator's own engines of the same kind take its place, and the agent
is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from server.engines import Pick, lists
from server.protocol import LlmSettings, SttSettings, VoiceSettings
from server.providers import DEFAULT, NAMES, SHORTCUTS, canonical, remedy

_SEPARATOR = re.compile("[/:]")
"""Between a provider and what is wanted of it; only the first one is."""

Asked = str | SttSettings | VoiceSettings | LlmSettings


@dataclass(frozen=True, slots=True)
class Available:
    """An engine of this server, and what it does where nobody says otherwise."""

    name: str
    languages: tuple[str, ...] = ()
    """Base tags; empty: any."""
    voice: str | None = None
    model: str | None = None
    """The one that the operator's row has it with; None: what it uses where nobody says otherwise."""
    usual: bool = True
    """It has a model where nobody names one."""
    voices: frozenset[str] = frozenset()
    """What it knows, in lower case, also joined by a plus; empty: that is not known."""

    def speaks(self, language: str | None) -> bool:
        return not self.languages or language is None or language.split("-")[0].lower() in self.languages

    def has_voice(self, voice: str | None) -> bool:
        """False only where it is known not to have it."""
        return voice is None or not self.voices or self.voices.issuperset(voice.lower().split("+"))


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is of one kind."""

    stage: str
    engines: tuple[Available, ...] = ()
    """The operator's row."""
    further: tuple[Available, ...] = ()
    """Those that are used only where they are asked for by name."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """What stands for a name, by that name in lower case."""
    off: bool = False
    """The operator wants none of this kind."""
    strict: bool = False
    """What is not to be had is refused, instead of replaced."""
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
        return next((engine for engine in (*self.engines, *self.further) if engine.name == name), None)

    def lists(self, name: str, model: str) -> bool:
        """False only where the endpoint is known not to have the model."""
        models = self.models(self.stage, name)
        return not models or lists(models, model)

    def replaces(self, engine: Available, asked: str | None) -> bool:
        """Whether the engine does not have the model that is asked for, and has a usual one for it."""
        if asked is None or self.lists(engine.name, asked):
            return False
        return self._usual(engine) is not None or engine.usual

    def model_of(self, engine: Available, asked: str | None) -> str | None:
        """The asked one where it is to be had, else the usual one."""
        if asked is not None and not self.replaces(engine, asked):
            return asked
        return self._usual(engine)

    def _usual(self, engine: Available) -> str | None:
        return engine.model or self.model(self.stage, engine.name)

    def replaced_by(self, instead: str) -> str:
        """What becomes of a wish that is not granted, as the agent is told."""
        if self.strict:
            return "TALKWIRE_STRICT_PROVIDERS lets nothing take its place"
        return f"{instead} takes its place"

    def remedy(self, provider: str) -> str:
        """What the operator does to make a provider available; empty: nothing that he could set."""
        if self.stage == "llm" and not self.engines and not self.further and self.off:
            return "set TALKWIRE_LLM, which is none"
        return remedy(self.stage, provider)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a configuration asks for, taken apart."""

    provider: str | None = None
    model: str | None = None
    voice: str | None = None


def wish(stage: str, value: Asked | None, offer: Offer) -> Wish:
    """Understand a string or an object of the protocol, and what the operator has for it."""
    asked = _understood(stage, value, offer)
    for name in _names(value, asked):
        instead = offer.aliases.get(name)
        if instead is not None:
            return _in_words(stage, instead, offer)
    return asked


def _understood(stage: str, value: Asked | None, offer: Offer) -> Wish:
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


def _names(value: Asked | None, asked: Wish) -> Iterator[str]:
    """Under what names an alias of it may be known, the most exact first."""
    words = value.model or value.llm or "" if isinstance(value, LlmSettings) else value
    words = "/".join(_SEPARATOR.split(words, 1)).lower() if isinstance(words, str) else ""
    head = getattr(value, "provider", None) or words.partition("/")[0]
    providers = [name for name in dict.fromkeys((head.lower(), canonical(head))) if name]
    if words:
        yield words
    if words in SHORTCUTS:
        yield SHORTCUTS[words]
    for what in (asked.voice, asked.model):
        if what is not None:
            yield from (f"{provider}/{what}".lower() for provider in providers)
            yield what.lower()
    yield from providers


def language_in(value: object) -> str | None:
    """The language in a recogniser's ``provider:model:language``."""
    return value.rpartition(":")[2] or None if isinstance(value, str) and value.count(":") == 2 else None


def _name(provider: str | None) -> str | None:
    return None if provider is None else canonical(provider)


def _in_words(stage: str, value: str, offer: Offer) -> Wish:
    """``provider/model``, ``provider:model``, ``provider/voice``, or one of the two alone; of a recogniser also
    ``provider:model:language``."""
    if stage == "stt" and language_in(value):
        value = value.rpartition(":")[0]
    head, separator, rest = "/".join(_SEPARATOR.split(value, 1)).partition("/")
    name = canonical(head)
    known = name in NAMES or offer.find(name) is not None
    if stage == "tts":
        if separator or known:
            return Wish(name, voice=rest or None)
        return Wish(voice=value)
    if stage == "llm" and offer.first and value in (offer.models(stage, offer.first) or ()):
        return Wish(offer.first, value)  # A server of one's own has "google/gemma-3", say.
    if known:
        return Wish(name, rest or None)
    if stage == "llm":
        return Wish(offer.first or DEFAULT, value)
    if separator and offer.find(DEFAULT) is not None:
        return Wish(DEFAULT, value)
    return Wish(name, rest or None)


def pick(value: Asked | None, language: str | None, offer: Offer) -> tuple[Pick, ...]:
    """The engines of a call in the order in which they are asked: the one that is wished for, then those that
    the agent names for when it fails, else the operator's; those that do not know the language only where no
    other does."""
    able = [engine for engine in offer.engines if engine.speaks(language)] or list(offer.engines)
    asked = wish(offer.stage, value, offer)
    chosen = engine_for(asked, able, offer)
    first = [] if chosen is None else [_picked(chosen, asked, offer)]
    named = [wish(offer.stage, words, offer) for words in fallbacks(value)]
    behind = [_picked(engine, w, offer) for w in named if (engine := engine_for(w, able, offer)) is not None]
    if not behind:
        # The first one again, where the row has it with a model of its own.
        row = [engine for engine in able if engine is not chosen or engine.model is not None]
        behind = [_default(engine, offer) for engine in row if chosen is None or engine.speaks(language)]
    return tuple(dict.fromkeys((*first, *behind)))


def fallbacks(value: Asked | None) -> tuple[str, ...]:
    """What an agent names for when its language model fails."""
    return value.fallbacks if isinstance(value, LlmSettings) else ()


def engine_for(asked: Wish, able: Sequence[Available], offer: Offer) -> Available | None:
    """The engine of a wish; None: it is not to be had."""
    if asked.provider is None:
        # A bare voice or model is one of the operator's first engine, unless another one is known to have it.
        row = offer.engines if asked.voice or asked.model else able
        first = row[0] if row else None
        if first is not None and not first.has_voice(asked.voice):
            return next((e for e in row if e.voices and e.has_voice(asked.voice)), first)
        return first
    found = offer.find(asked.provider)
    if found is None or (offer.model_of(found, asked.model) is None and not found.usual):
        return None
    return found


def _picked(engine: Available, asked: Wish, offer: Offer) -> Pick:
    voice = asked.voice if engine.has_voice(asked.voice) else None
    return Pick(engine.name, offer.model_of(engine, asked.model), voice or engine.voice)


def _default(engine: Available, offer: Offer) -> Pick:
    return _picked(engine, Wish(), offer)
