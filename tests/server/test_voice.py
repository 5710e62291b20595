"""The operator's engines, which must be there, and his voice, which the first of them must have."""

from __future__ import annotations

import pytest

from server.compose import rows, voiced
from server.selection import Available
from server.settings import Settings, SettingsError

ESPEAK = Available("espeak", voices=frozenset({"en-us", "f3"}))


@pytest.mark.parametrize("voice", [None, "en-us", "en-us+F3"])
def test_a_voice_that_the_engine_has(voice: str | None) -> None:
    engine = Available("espeak", voice=voice, voices=ESPEAK.voices)
    assert voiced([engine], Settings(voice=voice)) == [engine]


def test_one_that_it_does_not_have_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="TALKWIRE_VOICE: espeak has no voice 'nova'"):
        voiced([ESPEAK], Settings(voice="nova"))


def test_one_that_was_meant_for_the_engine_that_is_missing_is_left_out() -> None:
    settings = Settings(voice="nova", openai_base_url="http://127.0.0.1:1/v1")
    assert voiced([Available("espeak", voice="nova", voices=ESPEAK.voices)], settings) == [ESPEAK]


def test_an_engine_that_does_not_tell_its_voices_is_believed() -> None:
    remote = Available("openai", voice="nova")
    assert voiced([remote, ESPEAK], Settings(voice="nova")) == [remote, ESPEAK]


@pytest.mark.parametrize("stage", ["stt", "tts", "llm"])
def test_an_engine_without_its_endpoint_names_the_settings(stage: str) -> None:
    with pytest.raises(SettingsError, match=rf"TALKWIRE_{stage.upper()}: openai needs OPENAI_API_KEY"):
        rows(Settings.model_validate({stage: ("openai",)}))
