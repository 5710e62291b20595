"""From layers of configuration to how a call tells voice, turns and interruptions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from media.noise import QUIETEST_DB
from media.segmenter import VadParams
from pipeline.endpointing import Endpointing, Mode
from pipeline.turns import TurnParams
from server.layers import Layers, changed, part, values
from server.protocol import InterruptionSettings


def turns_of(layers: Layers, language: str) -> TurnParams:
    max_silence_s = part(layers, "turn_detection", "max_silence_seconds")
    if max_silence_s is None:
        # The usual bound must not end a turn before the silence that was asked for.
        asked = (part(layers, "turn_detection", "silence_ms"), part(layers, "vad", "min_silence_ms"))
        wanted_ms = max((ms for ms in asked if ms is not None), default=0)
        max_silence_s = max(TurnParams().max_silence_ms, wanted_ms) / 1000
    volume, energy_db = (interruption(layers, name) for name in ("min_volume", "energy_threshold_db"))
    if volume is None and energy_db is not None:
        volume = 1.0 - energy_db / QUIETEST_DB
    words = interruption(layers, "min_words")
    on = next(
        (said for value in values(layers, "interruption") if (said := _wanted(value)) is not None), None
    )
    return changed(
        TurnParams(language=language),
        max_silence_ms=None if max_silence_s is None else round(max_silence_s * 1000),
        min_speech_ms=part(layers, "vad", "min_speech_ms"),
        resume_ms=part(layers, "vad", "resume_min_ms"),
        resume_volume=part(layers, "vad", "resume_min_volume"),
        interruption=on,
        interrupt_ms=interruption(layers, "min_duration_ms"),
        interrupt_confidence=interruption(layers, "confidence"),
        interrupt_volume=volume,
        interrupt_words=None if words is None else max(1, words),
        backchannel_filter=interruption(layers, "backchannel_filter"),
        pause_first=interruption(layers, "pause_first"),
        sure_ms=interruption(layers, "sure_ms"),
    )


def _wanted(interruption: bool | InterruptionSettings) -> bool | None:
    return interruption if isinstance(interruption, bool) else interruption.enabled


def interruption(layers: Layers, name: str) -> Any:
    return part(layers, "interruption", name)


def endpointing_of(layers: Layers) -> Endpointing:
    mode, silence_ms = (part(layers, "turn_detection", name) for name in ("mode", "silence_ms"))
    if mode is None and silence_ms is not None:
        mode = "silence"
    return changed(
        Endpointing(),
        mode=_MODES.get(mode) if mode else None,
        silence_ms=silence_ms,
        patience=part(layers, "turn_detection", "patience"),
        threshold=part(layers, "turn_detection", "smart_turn_threshold"),
        earliest_ms=part(layers, "vad", "min_silence_ms"),
        recheck_ms=part(layers, "turn_detection", "smart_turn_recheck_ms"),
    )


_MODES: dict[str, Mode] = {
    "local": "local", "smart_turn": "local", "auto": "auto", "silence": "silence", "native": "native"
}  # fmt: skip
"""Also the names that other servers have for them."""


def vad_of(layers: Layers) -> VadParams:
    params = VadParams()
    threshold = part(layers, "vad", "threshold")
    delay_ms = part(layers, "vad", "speech_end_delay_ms")
    if threshold is not None:
        release = min(params.release_threshold, threshold)
        params = replace(params, threshold=threshold, release_threshold=release)
    if delay_ms is not None:
        params = replace(params, speech_end_delay_ms=delay_ms)
    return params
