"""What an agent is told where it does not get what it asks for, and what would make that available. Pure."""

from __future__ import annotations

from server.engines import Pick
from server.protocol import WarningCode
from server.providers import DEFAULT
from server.selection import Asked, Available, Offer, Wish, engine_for, fallbacks, pick, wish

Told = tuple[WarningCode, str, str]
"""A code, the key that it is about, and a sentence."""


def warnings(key: str, value: Asked | None, language: str | None, offer: Offer) -> list[Told]:
    """What of a wish this server replaces or cannot do."""
    asked = wish(offer.stage, value, offer)
    picks = pick(value, language, offer)
    if offer.stage == "llm" and not picks:
        return [(WarningCode.LLM_NOT_CONFIGURED, key, _nobody(key, asked, offer))]
    instead = _shown(picks[0]) if picks else "nothing"
    chosen = engine_for(asked, offer.engines, offer)
    found: list[Told] = []
    if chosen is None and asked.provider is not None:
        found.append(_substituted(key, asked, instead, offer))
    for words in fallbacks(value):
        spare = wish(offer.stage, words, offer)
        behind = engine_for(spare, offer.engines, offer)
        if behind is None:
            found.append(_substituted(f"{key}.fallback", spare, "nothing", offer))
        else:
            found += _problem(f"{key}.fallback", behind, offer)
    engine = offer.find(picks[0].engine) if picks else None
    if engine is None:
        return found
    if chosen is not None and asked.model is not None and not offer.lists(engine.name, asked.model):
        found.append(_unlisted(key, engine, asked.model, offer))
    if chosen is not None and not engine.has_voice(asked.voice):
        found.append(_voiceless(key, engine, str(asked.voice), offer))
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


def _voiceless(key: str, engine: Available, voice: str, offer: Offer) -> Told:
    instead = offer.replaced_by(engine.voice or "its default")
    text = f"{key}: {engine.name} has no voice {voice!r}; {instead}: map it to one with TALKWIRE_ALIASES={voice}=..."
    return WarningCode.PROVIDER_SUBSTITUTED, key, text


def _shown(pick: Pick) -> str:
    return pick.engine if pick.model is None else f"{pick.engine}/{pick.model}"
