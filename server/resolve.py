"""From what agent, channel and operator configured to how one call behaves.

Precedence: channel, agent, server settings; within a level the keys inside ``config`` win over those beside
it (``server.layers``). Engines are loaded once for the process; which of them a call uses is
``server.selection``'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline import lines
from pipeline.absence import Away, AwayMode
from pipeline.config import SessionConfig
from pipeline.limits import SessionLimits
from pipeline.tools import TIMEOUT_S
from pipeline.turnlog import Switches
from server.engines import Picks
from server.layers import Layers, changed, first, of, part, values
from server.protocol import (
    AwaySettings,
    LlmSettings,
    SttSettings,
    VoiceSettings,
    WarningCode,
)
from server.resolve_mind import (
    llm_of,
    preparing_of,
    prompt_of,
    skills_of,
    thinks,
    tool_of,
    variables_of,
    zone_of,
)
from server.resolve_recording import RecordingConfig, RecordingDefaults, consent_of, recording_of
from server.resolve_turns import endpointing_of, interruption, turns_of, vad_of
from server.selection import Offer, language_in, pick
from server.substitutes import Told, warnings


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the operator configured."""

    stt: Offer = field(default_factory=lambda: Offer("stt"))
    tts: Offer = field(default_factory=lambda: Offer("tts"))
    llm: Offer = field(default_factory=lambda: Offer("llm"))
    language: str = "en"
    recording: RecordingDefaults = field(default_factory=RecordingDefaults)
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
    recording: RecordingConfig
    picks: Picks
    layers: tuple[dict[str, Any], ...] = ()
    """What it was made from, the nearest first."""
    page_reasoning: bool = False
    """The page of a browser call is told what the model thinks."""
    live: bool = True
    """It may be listened to while it goes on."""


def resolve(layers: Layers, defaults: Defaults, *, mind: bool = True) -> CallConfig:
    """``layers`` are the configurations of channel and agent, the nearer one first. ``mind``: a language model may
    answer, where they say so."""
    language = first(layers, "language") or defaults.language
    languages = (language, first(layers[-1:], "language") or defaults.language)
    llm = llm_of(layers)
    session = SessionConfig(
        language=language,
        greeting=lines.in_language(first(layers, "greeting") or "", languages),
        consent=consent_of(layers, languages, defaults.recording),
        stt_language=_stt_language(first(layers, "stt")),
        voice_language=of(first(layers, "voice"), VoiceSettings, "language"),
        speed=of(first(layers, "voice"), VoiceSettings, "speed") or 1.0,
        phrases=_phrases(first(layers, "stt")),
        turns=turns_of(layers, _stt_language(first(layers, "stt")) or language),
        endpointing=endpointing_of(layers),
        greet_after_turn=any(layer.get("greet_after_turn") for layer in layers),
        greeting_interruptible=interruption(layers, "greeting") is not False,
        vad=vad_of(layers),
        metrics_interval_ms=_metrics_interval_ms(layers),
        media_timeout_s=defaults.media_timeout_s,
        limits=_limits(layers, defaults),
        mute_while_speaking=bool(first(layers, "mute_while_speaking")),
        prompt=prompt_of(layers),
        raw_prompt=bool(first(layers, "raw_prompt")),
        variables=variables_of(layers),
        timezone=zone_of(next((name for layer in layers if (name := layer.get("timezone"))), None)),
        preparing=preparing_of(
            next((value for layer in layers if (value := layer.get("preparing")) is not None), None)
        ),
        temperature=of(llm, LlmSettings, "temperature"),
        max_tokens=of(llm, LlmSettings, "max_tokens"),
        tools=tuple(tool_of(tool) for tool in first(layers, "tools") or ()),
        skills=skills_of(layers),
        tool_timeout_s=defaults.tool_timeout_s,
        holding_text=_line(defaults.holding_text, lines.HOLDING, language),
        holding_after_s=defaults.holding_after_s,
        trouble_text=_line(defaults.trouble_text, lines.TROUBLE, language),
        away=_away(layers, languages, defaults),
        events=_events(layers),
    )
    picks = Picks(
        stt=pick(first(layers, "stt"), session.stt_language or language, defaults.stt),
        tts=pick(first(layers, "voice"), session.voice_language or language, defaults.tts),
        llm=pick(llm, language, defaults.llm) if mind and thinks(llm) else (),
    )
    shown = bool(part(layers, "events", "page_reasoning"))
    recording = recording_of(layers, defaults.recording)
    live = part(layers, "media", "live") is not False
    return CallConfig(session, recording, picks, tuple(layers), shown, live)


def _metrics_interval_ms(layers: Layers) -> int | None:
    if not part(layers, "analysis", "send_audio_metrics"):
        return None
    interval_ms: int | None = part(layers, "analysis", "audio_metrics_interval_ms")
    return interval_ms or 100


def _limits(layers: Layers, defaults: Defaults) -> SessionLimits:
    def wanted(name: str, default: float) -> float:
        value = part(layers, "session_limits", name)
        return default if value is None else float(value)

    usual = SessionLimits()
    longest_s = wanted("max_duration_seconds", usual.max_duration_s)
    return SessionLimits(
        max_duration_s=min(longest_s or defaults.max_duration_s, defaults.max_duration_s),
        idle_timeout_s=wanted("idle_timeout_seconds", defaults.idle_timeout_s),
        idle_warning_s=wanted("idle_warning_seconds", usual.idle_warning_s),
        idle_grace_s=wanted("idle_grace_seconds", usual.idle_grace_s),
        farewell_s=defaults.farewell_s,
    )


def substitutions(layer: dict[str, Any], defaults: Defaults) -> list[Told]:
    """What a configuration asks for that this server replaces or cannot do: code, key and sentence."""
    language = first([layer], "language")
    stt, voice, llm = (first([layer], key) for key in ("stt", "voice", "llm"))
    found = [
        *warnings("stt", stt, _stt_language(stt) or language, defaults.stt),
        *warnings("voice", voice, of(voice, VoiceSettings, "language") or language, defaults.tts),
    ]
    if thinks(llm):
        found += warnings("llm", llm, None, defaults.llm)
    return found


def missing(layer: dict[str, Any], defaults: Defaults) -> Told | None:
    """Where the operator is strict: the first thing that a configuration asks for and that is not to be had."""
    told = substitutions(layer, defaults) if defaults.llm.strict else []
    return next((one for one in told if one[0] in _NOT_TO_BE_HAD), None)


_NOT_TO_BE_HAD = (WarningCode.PROVIDER_SUBSTITUTED, WarningCode.LLM_NOT_CONFIGURED)


def _away(layers: Layers, languages: Sequence[str], defaults: Defaults) -> Away:
    """Its parts joined key by key, as those of the language model. Without a text the usual one is said."""
    given: list[AwayMode | AwaySettings] = list(values(layers, "away"))
    parts = [AwaySettings(mode=value) if isinstance(value, str) else value for value in given]

    def nearest(name: str) -> Any:
        return next((value for part in parts if (value := getattr(part, name)) is not None), None)

    mode: AwayMode = nearest("mode") or defaults.away
    text, after_ms = nearest("text"), nearest("after_ms")
    if text is not None:
        text = lines.in_language(text, languages)
    elif mode == "message":
        text = lines.line(lines.FAREWELL, languages[0])
    else:
        text = _line(defaults.holding_text, lines.HOLDING, languages[0])
    return Away(mode, text, None if after_ms is None else after_ms / 1000, nearest("grace_s"))


def _events(layers: Layers) -> Switches:
    names = [field.name for field in fields(Switches)]
    return changed(Switches(), **{name: part(layers, "events", name) for name in names})


def _line(text: str | None, usual: dict[str, str], language: str) -> str:
    return lines.line(usual, language) if text is None else text


def _stt_language(value: str | SttSettings | None) -> str | None:
    language: str | None = of(value, SttSettings, "language") or language_in(value)
    return language


def _phrases(value: str | SttSettings | None) -> tuple[str, ...]:
    return value.hints if isinstance(value, SttSettings) else ()
