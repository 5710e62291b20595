"""From what agent, channel and operator configured to how one call behaves.

Precedence: channel, agent, server settings; within a level the keys inside ``config`` win over those beside
it. Engines are loaded once for the process; which of them a call uses is ``server.selection``'s to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from media.noise import QUIETEST_DB
from media.segmenter import VadParams
from pipeline import lines
from pipeline.absence import Away, AwayMode
from pipeline.config import SessionConfig
from pipeline.endpointing import Endpointing, Mode
from pipeline.limits import SessionLimits
from pipeline.ports import ToolSpec
from pipeline.preparing import MAX_MS, OPTED_IN_MS, Preparing
from pipeline.skills import Skill
from pipeline.tools import TIMEOUT_S, Tool
from pipeline.turnlog import Switches
from pipeline.turns import TurnParams
from server.engines import Picks
from server.protocol import (
    AwaySettings,
    InterruptionSettings,
    LlmSettings,
    PreparingSettings,
    SkillDefinition,
    SttSettings,
    ToolDefinition,
    VoiceSettings,
    WarningCode,
)
from server.selection import Offer, language_in, pick
from server.substitutes import Told, warnings


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the operator configured."""

    stt: Offer = field(default_factory=lambda: Offer("stt"))
    tts: Offer = field(default_factory=lambda: Offer("tts"))
    llm: Offer = field(default_factory=lambda: Offer("llm"))
    language: str = "en"
    recording: bool = False
    media_timeout_s: float = 10.0
    max_duration_s: float = 3600.0
    """No call lasts longer, whatever its agent says."""
    idle_timeout_s: float = 60.0
    farewell_s: float = 8.0
    holding_text: str | None = None
    """None: the usual words in the language of the call; empty: nothing."""
    holding_after_s: float = 2.0
    trouble_text: str | None = None
    tool_timeout_s: float = TIMEOUT_S
    away: AwayMode = "line"


@dataclass(frozen=True, slots=True)
class CallConfig:
    session: SessionConfig
    recording: bool
    picks: Picks
    layers: tuple[dict[str, Any], ...] = ()
    """What it was made from, the nearest first."""


def resolve(layers: Sequence[dict[str, Any]], defaults: Defaults) -> CallConfig:
    """``layers`` are the configurations of channel and agent, the nearer one first."""
    language = _first(layers, "language") or defaults.language
    languages = (language, _first(layers[-1:], "language") or defaults.language)
    llm = _llm(layers)
    interval_ms = None
    if _part(layers, "analysis", "send_audio_metrics"):
        interval_ms = _part(layers, "analysis", "audio_metrics_interval_ms") or 100
    recording = next(
        (
            value
            for value in (_part(layers, "analysis", "recording"), _part(layers, "media", "recording"))
            if value is not None
        ),
        defaults.recording,
    )
    session = SessionConfig(
        language=language,
        greeting=_greeting(_first(layers, "greeting"), languages),
        stt_language=_stt_language(_first(layers, "stt")),
        voice_language=_of(_first(layers, "voice"), VoiceSettings, "language"),
        speed=_of(_first(layers, "voice"), VoiceSettings, "speed") or 1.0,
        phrases=_phrases(_first(layers, "stt")),
        turns=_turns(layers, _stt_language(_first(layers, "stt")) or language),
        endpointing=_endpointing(layers),
        greeting_interruptible=_interruption(layers, "greeting") is not False,
        vad=_vad(layers),
        metrics_interval_ms=interval_ms,
        media_timeout_s=defaults.media_timeout_s,
        limits=_limits(layers, defaults),
        mute_while_speaking=bool(_first(layers, "mute_while_speaking")),
        prompt=_prompt(layers),
        raw_prompt=bool(_first(layers, "raw_prompt")),
        variables=_variables(layers),
        timezone=_zone(next((name for layer in layers if (name := layer.get("timezone"))), None)),
        preparing=_preparing(
            next((value for layer in layers if (value := layer.get("preparing")) is not None), None)
        ),
        temperature=_of(llm, LlmSettings, "temperature"),
        max_tokens=_of(llm, LlmSettings, "max_tokens"),
        tools=tuple(_tool(tool) for tool in _first(layers, "tools") or ()),
        skills=_skills(layers),
        tool_timeout_s=defaults.tool_timeout_s,
        holding_text=_line(defaults.holding_text, lines.HOLDING, language),
        holding_after_s=defaults.holding_after_s,
        trouble_text=_line(defaults.trouble_text, lines.TROUBLE, language),
        away=_away(layers, languages, defaults),
        events=_events(layers),
    )
    picks = Picks(
        stt=pick(_first(layers, "stt"), session.stt_language or language, defaults.stt),
        tts=pick(_first(layers, "voice"), session.voice_language or language, defaults.tts),
        llm=pick(llm, language, defaults.llm) if thinks(llm) else (),
    )
    return CallConfig(session, bool(recording), picks, tuple(layers))


def _llm(layers: Sequence[dict[str, Any]]) -> LlmSettings | None:
    """The language model, its parts joined key by key: a nearer level may change the temperature alone."""
    values: list[str | LlmSettings] = list(_values(layers, "llm"))
    if not values:
        return None
    parts = [LlmSettings(enabled=True, model=value) if isinstance(value, str) else value for value in values]
    named = next((part for part in parts if part.provider or part.model or part.llm), LlmSettings())

    def first(name: str) -> Any:
        return next((value for part in parts if (value := getattr(part, name)) is not None), None)

    return LlmSettings(
        enabled=first("enabled"),
        provider=named.provider,
        model=named.model or named.llm,
        temperature=first("temperature"),
        max_tokens=first("max_tokens"),
        fallback=first("fallback"),
    )


def _limits(layers: Sequence[dict[str, Any]], defaults: Defaults) -> SessionLimits:
    def first(name: str, default: float) -> float:
        value = _part(layers, "session_limits", name)
        return default if value is None else float(value)

    usual = SessionLimits()
    longest_s = first("max_duration_seconds", usual.max_duration_s)
    return SessionLimits(
        max_duration_s=min(longest_s or defaults.max_duration_s, defaults.max_duration_s),
        idle_timeout_s=first("idle_timeout_seconds", defaults.idle_timeout_s),
        idle_warning_s=first("idle_warning_seconds", usual.idle_warning_s),
        idle_grace_s=first("idle_grace_seconds", usual.idle_grace_s),
        farewell_s=defaults.farewell_s,
    )


def _prompt(layers: Sequence[dict[str, Any]]) -> str:
    """The nearest level that has one decides, wherever in it that stands."""
    for layer in layers:
        inner = (getattr(part, "prompt", None) for part in _values([layer], "llm"))
        for prompt in (layer.get("prompt"), *inner):
            if prompt is not None:
                return str(prompt)
    return ""


def _variables(layers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Those of the nearer level win."""
    found: dict[str, str] = {}
    for layer in reversed(layers):
        found.update(layer.get("vars") or {})
    return found


def _skills(layers: Sequence[dict[str, Any]]) -> tuple[Skill, ...]:
    declared: Sequence[SkillDefinition] = next(
        (skills for layer in layers if (skills := layer.get("skills")) is not None), ()
    )
    return tuple(
        Skill(
            skill.name,
            skill.description or "",
            skill.instructions or "",
            tuple(_tool(tool) for tool in skill.tools),
            skill.activation,
        )
        for skill in declared
    )


def _zone(name: str | None) -> tzinfo:
    return UTC if name is None else ZoneInfo(name)


def _preparing(value: bool | PreparingSettings | None) -> Preparing | None:
    if value is None:
        return Preparing()
    if isinstance(value, bool):
        return Preparing(OPTED_IN_MS, opted_in=True) if value else None
    if value.enabled is False:
        return None
    return Preparing(min(value.timeout_ms or OPTED_IN_MS, MAX_MS), opted_in=True)


def _tool(tool: ToolDefinition) -> Tool:
    """One that the agent's process runs."""
    function = tool.function
    spec = ToolSpec(function.name, function.description or "", function.parameters or {})
    timeout_s = None if function.timeout_ms is None else function.timeout_ms / 1000
    return Tool(spec, timeout_s, function.filler or "")


def thinks(llm: str | LlmSettings | None) -> bool:
    """The server is to answer by its language model."""
    return llm is not None and not (isinstance(llm, LlmSettings) and llm.enabled is False)


def substitutions(layer: dict[str, Any], defaults: Defaults) -> list[Told]:
    """What a configuration asks for that this server replaces or cannot do: code, key and sentence."""
    language = _first([layer], "language")
    stt, voice, llm = (_first([layer], key) for key in ("stt", "voice", "llm"))
    found = [
        *warnings("stt", stt, _stt_language(stt) or language, defaults.stt),
        *warnings("voice", voice, _of(voice, VoiceSettings, "language") or language, defaults.tts),
    ]
    if thinks(llm):
        found += warnings("llm", llm, None, defaults.llm)
    return found


def missing(layer: dict[str, Any], defaults: Defaults) -> Told | None:
    """Where the operator is strict: the first thing that a configuration asks for and that is not to be had."""
    told = substitutions(layer, defaults) if defaults.llm.strict else []
    return next((one for one in told if one[0] in _NOT_TO_BE_HAD), None)


_NOT_TO_BE_HAD = (WarningCode.PROVIDER_SUBSTITUTED, WarningCode.LLM_NOT_CONFIGURED)


def _values(layers: Sequence[dict[str, Any]], key: str) -> Iterator[Any]:
    for layer in layers:
        inner = layer.get("config")
        for holder in (getattr(inner, key, None), layer.get(key)):
            if holder is not None:
                yield holder


def _first(layers: Sequence[dict[str, Any]], key: str) -> Any:
    return next(_values(layers, key), None)


def _part(layers: Sequence[dict[str, Any]], key: str, name: str) -> Any:
    return next((v for part in _values(layers, key) if (v := getattr(part, name, None)) is not None), None)


def _away(layers: Sequence[dict[str, Any]], languages: Sequence[str], defaults: Defaults) -> Away:
    """Its parts joined key by key, as those of the language model. Without a text the usual one is said."""
    values: list[AwayMode | AwaySettings] = list(_values(layers, "away"))
    parts = [AwaySettings(mode=value) if isinstance(value, str) else value for value in values]

    def first(name: str) -> Any:
        return next((value for part in parts if (value := getattr(part, name)) is not None), None)

    mode: AwayMode = first("mode") or defaults.away
    text, after_ms = first("text"), first("after_ms")
    if text is not None:
        text = _greeting(text, languages)
    elif mode == "message":
        text = lines.line(lines.FAREWELL, languages[0])
    else:
        text = _line(defaults.holding_text, lines.HOLDING, languages[0])
    return Away(mode, text, None if after_ms is None else after_ms / 1000, first("grace_s"))


def _greeting(value: str | dict[str, str] | None, languages: Sequence[str]) -> str:
    """A greeting in several languages: that of the call, that of its agent, each also by its base tag, else
    the first."""
    if value is None or isinstance(value, str):
        return value or ""
    tags = (tag for language in languages for tag in (language, language.split("-")[0]))
    return next((value[tag] for tag in tags if value.get(tag)), "") or next(iter(value.values()), "")


def _events(layers: Sequence[dict[str, Any]]) -> Switches:
    names = [field.name for field in fields(Switches)]
    return _changed(Switches(), **{name: _part(layers, "events", name) for name in names})


def _line(text: str | None, usual: dict[str, str], language: str) -> str:
    return lines.line(usual, language) if text is None else text


def _stt_language(value: str | SttSettings | None) -> str | None:
    language: str | None = _of(value, SttSettings, "language") or language_in(value)
    return language


def _phrases(value: str | SttSettings | None) -> tuple[str, ...]:
    return value.hints if isinstance(value, SttSettings) else ()


def _turns(layers: Sequence[dict[str, Any]], language: str) -> TurnParams:
    max_silence_s = _part(layers, "turn_detection", "max_silence_seconds")
    if max_silence_s is None:
        # The usual bound must not end a turn before the silence that was asked for.
        asked = (_part(layers, "turn_detection", "silence_ms"), _part(layers, "vad", "min_silence_ms"))
        wanted_ms = max((ms for ms in asked if ms is not None), default=0)
        max_silence_s = max(TurnParams().max_silence_ms, wanted_ms) / 1000
    volume, energy_db = (_interruption(layers, name) for name in ("min_volume", "energy_threshold_db"))
    if volume is None and energy_db is not None:
        volume = 1.0 - energy_db / QUIETEST_DB
    words = _interruption(layers, "min_words")
    on = next(
        (said for value in _values(layers, "interruption") if (said := _wanted(value)) is not None), None
    )
    return _changed(
        TurnParams(language=language),
        max_silence_ms=None if max_silence_s is None else round(max_silence_s * 1000),
        min_speech_ms=_part(layers, "vad", "min_speech_ms"),
        resume_ms=_part(layers, "vad", "resume_min_ms"),
        resume_volume=_part(layers, "vad", "resume_min_volume"),
        interruption=on,
        interrupt_ms=_interruption(layers, "min_duration_ms"),
        interrupt_confidence=_interruption(layers, "confidence"),
        interrupt_volume=volume,
        interrupt_words=None if words is None else max(1, words),
        backchannel_filter=_interruption(layers, "backchannel_filter"),
        pause_first=_interruption(layers, "pause_first"),
        sure_ms=_interruption(layers, "sure_ms"),
    )


def _wanted(interruption: bool | InterruptionSettings) -> bool | None:
    return interruption if isinstance(interruption, bool) else interruption.enabled


def _interruption(layers: Sequence[dict[str, Any]], name: str) -> Any:
    return _part(layers, "interruption", name)


def _endpointing(layers: Sequence[dict[str, Any]]) -> Endpointing:
    mode, silence_ms = (_part(layers, "turn_detection", name) for name in ("mode", "silence_ms"))
    if mode is None and silence_ms is not None:
        mode = "silence"
    return _changed(
        Endpointing(),
        mode=_MODES.get(mode) if mode else None,
        silence_ms=silence_ms,
        patience=_part(layers, "turn_detection", "patience"),
        threshold=_part(layers, "turn_detection", "smart_turn_threshold"),
        earliest_ms=_part(layers, "vad", "min_silence_ms"),
        recheck_ms=_part(layers, "turn_detection", "smart_turn_recheck_ms"),
    )


_MODES: dict[str, Mode] = {
    "local": "local", "smart_turn": "local", "auto": "auto", "silence": "silence", "native": "native"
}  # fmt: skip
"""Also the names that other servers have for them."""

P = TypeVar("P", TurnParams, Endpointing, Switches)


def _changed(params: P, **values: Any) -> P:
    """With what is set at all."""
    return replace(params, **{name: value for name, value in values.items() if value is not None})


def _vad(layers: Sequence[dict[str, Any]]) -> VadParams:
    params = VadParams()
    threshold = _part(layers, "vad", "threshold")
    delay_ms = _part(layers, "vad", "speech_end_delay_ms")
    if threshold is not None:
        release = min(params.release_threshold, threshold)
        params = replace(params, threshold=threshold, release_threshold=release)
    if delay_ms is not None:
        params = replace(params, speech_end_delay_ms=delay_ms)
    return params


def _of(value: Any, kind: type, name: str) -> Any:
    """A key of an object, where it is one."""
    return getattr(value, name) if isinstance(value, kind) else None
