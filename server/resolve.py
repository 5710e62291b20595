"""From what agent, channel and operator configured to how one call behaves.

Precedence: channel, agent, server settings; within a level the keys inside ``config`` win over those beside
it. Engines are chosen once for the process; what names another one is replaced and told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from media.segmenter import VadParams
from pipeline.session import SessionConfig
from pipeline.turns import TurnParams
from server.protocol import InterruptionSettings, SttSettings, VoiceSettings, WarningCode


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the operator configured."""

    stt: str
    """Name of the recogniser of this process; empty: none."""
    tts: str
    stt_languages: tuple[str, ...] = ()
    """What the recogniser understands, base tags; empty: anything."""
    tts_languages: tuple[str, ...] = ()
    language: str = "en"
    voice: str | None = None
    recording: bool = False
    media_timeout_s: float = 10.0
    max_duration_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class CallConfig:
    session: SessionConfig
    recording: bool


def resolve(layers: Sequence[dict[str, Any]], defaults: Defaults) -> CallConfig:
    """``layers`` are the configurations of channel and agent, the nearer one first."""
    language = _first(layers, "language") or defaults.language
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
        greeting=_greeting(_first(layers, "greeting"), language),
        stt_language=_of(_first(layers, "stt"), SttSettings, "language"),
        voice=_voice(_first(layers, "voice"), defaults),
        voice_language=_of(_first(layers, "voice"), VoiceSettings, "language"),
        speed=_of(_first(layers, "voice"), VoiceSettings, "speed") or 1.0,
        phrases=_phrases(_first(layers, "stt")),
        turns=_turns(layers),
        vad=_vad(layers),
        metrics_interval_ms=interval_ms,
        media_timeout_s=defaults.media_timeout_s,
        max_duration_s=defaults.max_duration_s,
    )
    return CallConfig(session, bool(recording))


def substitutions(layer: dict[str, Any], defaults: Defaults) -> list[tuple[WarningCode, str, str]]:
    """What a configuration asks for that this server replaces: code, key and sentence."""
    found: list[tuple[WarningCode, str, str]] = []
    for key, have in (("stt", defaults.stt), ("voice", defaults.tts)):
        asked = _provider(key, _first([layer], key))
        if asked is not None and asked != have:
            sentence = f"{key}: this server has no {asked!r}; {have or 'none'} takes its place"
            found.append((WarningCode.PROVIDER_SUBSTITUTED, key, sentence))
    language = _first([layer], "language")
    for key, kind, known, engine in (
        ("stt", SttSettings, defaults.stt_languages, defaults.stt),
        ("voice", VoiceSettings, defaults.tts_languages, defaults.tts),
    ):
        wanted = _of(_first([layer], key), kind, "language") or language
        if engine and known and wanted is not None and wanted.split("-")[0].lower() not in known:
            sentence = f"{engine} does not know the language {wanted!r}; it knows {', '.join(known[:20])}"
            found.append((WarningCode.LANGUAGE_UNSUPPORTED, key, sentence))
    return found


def _provider(key: str, value: str | SttSettings | VoiceSettings | None) -> str | None:
    """The engine that a value names: ``provider/model``, a bare recogniser, or the key of an object."""
    if isinstance(value, SttSettings | VoiceSettings):
        return value.provider
    if value is None:
        return None
    head, separator, _ = value.replace(":", "/", 1).partition("/")
    return head if separator or key == "stt" else None


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


def _greeting(value: str | dict[str, str] | None, language: str) -> str:
    """A greeting in several languages: that of the call, its base tag, else the first."""
    if value is None or isinstance(value, str):
        return value or ""
    return value.get(language) or value.get(language.split("-")[0]) or next(iter(value.values()), "")


def _voice(value: str | VoiceSettings | None, defaults: Defaults) -> str | None:
    if _provider("voice", value) not in (None, defaults.tts):
        return defaults.voice  # It is another engine's voice.
    if isinstance(value, VoiceSettings):
        return value.voice_id or defaults.voice
    return value.replace(":", "/", 1).rpartition("/")[2] if value else defaults.voice


def _phrases(value: str | SttSettings | None) -> tuple[str, ...]:
    return value.hints if isinstance(value, SttSettings) else ()


def _turns(layers: Sequence[dict[str, Any]]) -> TurnParams:
    params = TurnParams()
    silence_ms = _part(layers, "turn_detection", "silence_ms")
    max_silence_s = _part(layers, "turn_detection", "max_silence_seconds")
    resume_ms = _part(layers, "vad", "resume_min_ms")
    interruption = _first(layers, "interruption")
    if silence_ms is not None:
        params = replace(params, turn_silence_ms=silence_ms)
    if max_silence_s is not None:
        params = replace(params, max_silence_ms=round(max_silence_s * 1000))
    if resume_ms is not None:
        params = replace(params, resume_ms=resume_ms)
    if isinstance(interruption, InterruptionSettings):
        return replace(
            params,
            interruption=interruption.enabled is not False,
            interrupt_ms=_or(interruption.min_duration_ms, params.interrupt_ms),
            interrupt_words=_or(interruption.min_words, params.interrupt_words),
        )
    return params if interruption is None else replace(params, interruption=bool(interruption))


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


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
