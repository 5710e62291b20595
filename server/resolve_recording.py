"""From what agent, channel and operator configured to whether a call is recorded, and how. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import lines
from pipeline.events import RecordingChannels, RecordingFormat
from pipeline.taping import TONE
from server.layers import Layers, part, values
from server.protocol import RecordingSettings

ON, OFF = "on", "off"


@dataclass(frozen=True, slots=True)
class RecordingDefaults:
    """What the operator configured."""

    enabled: bool = False
    format: RecordingFormat = "wav"
    channels: RecordingChannels = "stereo"
    consent: str = OFF
    """What the caller hears: ``on``: the usual words; ``tone``; ``off``; or other words."""


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """How one call is recorded. What its caller hears of that is in its ``SessionConfig``."""

    enabled: bool = False
    """From the beginning on."""
    format: RecordingFormat = "wav"
    channels: RecordingChannels = "stereo"


def recording_of(layers: Layers, defaults: RecordingDefaults) -> RecordingConfig:
    """The nearest layer that says anything of a thing decides it. Within one, ``recording`` goes before
    ``analysis``, and that before ``media``."""
    how = _objects(layers)
    return RecordingConfig(
        _enabled(layers, defaults),
        _nearest(how, "format") or defaults.format,
        _nearest(how, "channels") or defaults.channels,
    )


def _enabled(layers: Layers, defaults: RecordingDefaults) -> bool:
    for layer in layers:
        given = [
            value if isinstance(value, bool) else value.enabled for value in values([layer], "recording")
        ]
        given += [part([layer], key, "recording") for key in ("analysis", "media")]
        said: bool | None = next((value for value in given if value is not None), None)
        if said is None and _objects([layer]):
            return True
        if said is not None:
            return said
    return defaults.enabled


def consent_of(layers: Layers, languages: Sequence[str], defaults: RecordingDefaults) -> str:
    """What the caller is told of being recorded: words, ``tone``, or nothing. ``languages``: that of the call, that of
    its agent."""
    given = _nearest(_objects(layers), "consent")
    text: str = lines.in_language(defaults.consent if given is None else given, languages)
    word = text.strip().lower()
    if word == ON:
        return lines.line(lines.RECORDED, languages[0]) or TONE
    return "" if word == OFF else TONE if word == TONE else text


def _objects(layers: Layers) -> list[RecordingSettings]:
    return [value for value in values(layers, "recording") if isinstance(value, RecordingSettings)]


def _nearest(given: list[RecordingSettings], name: str) -> Any:
    return next((value for one in given if (value := getattr(one, name)) is not None), None)
