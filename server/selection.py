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
from server.protocol import LlmSettings, SttSettings, VoiceSettings, WarningCode
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

    def speaks(self, language: str | None) -> bool:
        return not self.languages or language is None or language.split("-")[0].lower() in self.languages


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
    chosen = _chosen(asked, able, offer)
    first = [] if chosen is None else [_picked(chosen, asked, offer)]
    named = [wish(offer.stage, words, offer) for words in fallbacks(value)]
    behind = [_picked(engine, w, offer) for w in named if (engine := _chosen(w, able, offer)) is not None]
    if not behind:
        # The first one again, where the row has it with a model of its own.
        row = [engine for engine in able if engine is not chosen or engine.model is not None]
        behind = [_default(engine, offer) for engine in row if chosen is None or engine.speaks(language)]
    return tuple(dict.fromkeys((*first, *behind)))


def fallbacks(value: Asked | None) -> tuple[str, ...]:
    """What an agent names for when its language model fails."""
    return value.fallbacks if isinstance(value, LlmSettings) else ()


def _chosen(asked: Wish, able: Sequence[Available], offer: Offer) -> Available | None:
    """The engine of a wish; None: it is not to be had."""
    if asked.provider is None:
        # A bare voice or model is one of the operator's first engine.
        row = offer.engines if asked.voice or asked.model else able
        return row[0] if row else None
    found = offer.find(asked.provider)
    if found is None or (offer.model_of(found, asked.model) is None and not found.usual):
        return None
    return found


def _picked(engine: Available, asked: Wish, offer: Offer) -> Pick:
    return Pick(engine.name, offer.model_of(engine, asked.model), asked.voice or engine.voice)


def _default(engine: Available, offer: Offer) -> Pick:
    return _picked(engine, Wish(), offer)


Told = tuple[WarningCode, str, str]
"""A code, the key that it is about, and a sentence."""


def warnings(key: str, value: Asked | None, language: str | None, offer: Offer) -> list[Told]:
    """What of a wish this server replaces or cannot do."""
    asked = wish(offer.stage, value, offer)
    picks = pick(value, language, offer)
    if offer.stage == "llm" and not picks:
        return [(WarningCode.PROVIDER_SUBSTITUTED, key, _nobody(key, asked, offer))]
    instead = _shown(picks[0]) if picks else "nothing"
    chosen = _chosen(asked, offer.engines, offer)
    found: list[Told] = []
    if chosen is None and asked.provider is not None:
        found.append(_substituted(key, asked, instead, offer))
    for words in fallbacks(value):
        spare = wish(offer.stage, words, offer)
        behind = _chosen(spare, offer.engines, offer)
        if behind is None:
            found.append(_substituted(f"{key}.fallback", spare, "nothing", offer))
        else:
            found += _problem(f"{key}.fallback", behind, offer)
    engine = offer.find(picks[0].engine) if picks else None
    if engine is None:
        return found
    if chosen is not None and asked.model is not None and not offer.lists(engine.name, asked.model):
        found.append(_unlisted(key, engine, asked.model, offer))
    if language is not None and not engine.speaks(language):
        known = ", ".join(engine.languages[:20])
        text = f"{engine.name} does not know the language {language!r}; it knows {known}"
        found.append((WarningCode.LANGUAGE_UNSUPPORTED, key, text))
    return found + _problem(key, engine, offer)


def _problem(key: str, engine: Available, offer: Offer) -> list[Told]:
    problem = offer.problem(offer.stage, engine.name)
    text = f"{key}: {engine.name} would not work now: {problem}"
    return [(WarningCode.PROVIDER_PROBLEM, key, text)] if problem else []


def _substituted(key: str, asked: Wish, instead: str, offer: Offer) -> Told:
    """A provider that is not to be had."""
    name = asked.provider or DEFAULT
    if offer.find(name) is not None:
        text = f"{key}: {name} is asked for without a model; {offer.replaced_by(instead)}: name one, as in {name}/MODEL"
        return WarningCode.PROVIDER_SUBSTITUTED, key, text
    advice = offer.remedy(name)
    alias = f"map it to an engine with TALKWIRE_ALIASES={name}=..."
    advice = f"{advice}, or {alias}" if advice else alias
    text = f"{key}: {name} is not available on this server; {offer.replaced_by(instead)}: {advice}"
    return WarningCode.PROVIDER_SUBSTITUTED, key, text


def _nobody(key: str, asked: Wish, offer: Offer) -> str:
    """There is no language model at all to take its place."""
    name = asked.provider or DEFAULT
    advice = offer.remedy(name)
    if offer.further:
        has = ", ".join(engine.name for engine in offer.further)
        advice = f"ask for a model of what it has ({has}), as in {offer.further[0].name}/MODEL; or {advice}"
    if name != DEFAULT and not offer.off:
        advice += f"; for another one {offer.remedy(DEFAULT)}"
    return (
        f"{key}: this server has no language model for it, so nobody answers but the agent process: {advice}"
    )


def _unlisted(key: str, engine: Available, model: str, offer: Offer) -> Told:
    text = f"{key}: {engine.name} has no model {model!r}"
    if not offer.replaces(engine, model):
        return WarningCode.PROVIDER_PROBLEM, key, f"{text}, as far as it tells"
    instead = offer.model_of(engine, None) or "its default"
    return WarningCode.PROVIDER_SUBSTITUTED, key, f"{text}; {offer.replaced_by(instead)}"


def _shown(pick: Pick) -> str:
    return pick.engine if pick.model is None else f"{pick.engine}/{pick.model}"
