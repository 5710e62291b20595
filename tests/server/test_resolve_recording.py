"""Whether a call is recorded, how, and what its caller is told, by who says what where."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.taping import TONE
from server.resolve_recording import RecordingConfig, RecordingDefaults, consent_of, recording_of
from tests.server.test_resolve import layer


def made(*layers: dict[str, Any], **operator: Any) -> RecordingConfig:
    return recording_of([layer(**keys) for keys in layers], RecordingDefaults(**operator))


def told(*consents: Any, languages: tuple[str, ...] = ("en", "en"), operator: str = "off") -> str:
    layers = [layer(recording={"consent": consent}) for consent in consents]
    return consent_of(layers, languages, RecordingDefaults(consent=operator))


@pytest.mark.parametrize(
    ("layers", "on"),
    [
        ([{}], False),
        ([{"recording": True}], True),
        ([{"recording": {}}], True),
        ([{"recording": {"format": "opus"}}], True),
        ([{"recording": {"enabled": False}}], False),
        ([{"recording": {"format": "opus"}, "analysis": {"recording": False}}], False),
        ([{"config": {"recording": True}, "recording": False}], True),
        ([{"recording": False, "analysis": {"recording": True}}], False),
        ([{"recording": False}, {"recording": True}], False),
        ([{"analysis": {"recording": False}}, {"recording": True}], False),
        ([{"recording": {"channels": "mono"}}, {"recording": False}], True),
        ([{"analysis": {"send_audio_metrics": True}}, {"recording": True}], True),
    ],
)
def test_the_nearest_who_says_anything_decides(layers: list[dict[str, Any]], on: bool) -> None:
    assert made(*layers).enabled is on
    if any("recording" in str(one) for one in layers):
        assert made(*layers, enabled=True).enabled is on


def test_the_operator_decides_where_nobody_else_does() -> None:
    operator: dict[str, Any] = {"enabled": True, "format": "opus", "channels": "mono"}
    assert made({}, **operator) == RecordingConfig(True, "opus", "mono")
    assert made({"recording": {"format": "wav"}}, **operator) == RecordingConfig(True, "wav", "mono")


def test_format_and_channels_come_from_wherever_they_stand() -> None:
    channel, agent = {"recording": {"format": "opus"}}, {"recording": {"format": "wav", "channels": "user"}}
    assert made(channel, agent) == RecordingConfig(True, "opus", "user")


def test_what_the_caller_is_told() -> None:
    assert told() == ""
    assert told("on") == "This call is recorded."
    assert told("On ", languages=("de-AT", "en")) == "Dieses Gespräch wird aufgezeichnet."
    assert told("tone") == TONE
    assert told("off", operator="on") == ""
    assert told("", operator="on") == ""
    assert told(operator="We record.") == "We record."
    assert told("Mine.", "Theirs.") == "Mine."
    assert told({"en": "Hear.", "es": "Oiga."}, languages=("es-PE", "en")) == "Oiga."
    assert told({"en": "on", "es": "tone"}, languages=("es", "en")) == TONE


def test_in_a_language_that_is_not_known_a_tone_says_it() -> None:
    assert told("on", languages=("fi", "en")) == TONE
