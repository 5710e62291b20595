from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from pipeline.absence import Away
from pipeline.endpointing import Endpointing
from pipeline.ports import ToolSpec
from pipeline.preparing import Preparing
from pipeline.skills import Skill
from pipeline.tools import Tool
from pipeline.turnlog import Switches
from pipeline.turns import TurnParams
from server.agents import merged
from server.engines import Pick
from server.protocol import AgentCreate, ChannelAdd, WarningCode, parse_command
from server.resolve import CallConfig, Defaults, resolve, substitutions
from server.resolve_mind import without_page
from server.resolve_recording import RecordingDefaults
from server.selection import Available, Offer

EARS = Offer("stt", (Available("pocketsphinx", ("en",)),))
VOICE = Offer("tts", (Available("espeak"),))
DEFAULTS = Defaults(stt=EARS, tts=VOICE)


def layer(**keys: Any) -> dict[str, Any]:
    import json

    command = parse_command(json.dumps({"event": "agent.create", "agent_id": "a", **keys}))
    assert isinstance(command, AgentCreate)
    return merged({}, command)


def made(*layers: dict[str, Any], defaults: Defaults = DEFAULTS) -> CallConfig:
    return resolve(layers, defaults)


def test_the_channel_comes_before_the_agent_and_the_inner_before_the_outer() -> None:
    agent = layer(language="en", config={"language": "fr"})
    channel = layer(language="es")
    assert made(channel, agent).session.language == "es"
    assert made({}, agent).session.language == "fr"
    assert made().session.language == "en"


def test_parts_are_joined_key_by_key() -> None:
    agent = layer(vad={"threshold": 0.6}, turn_detection={"silence_ms": 700, "max_silence_seconds": 2})
    channel = layer(vad={"speech_end_delay_ms": 200, "resume_min_ms": 150})
    session = made(channel, agent).session
    assert session.vad.threshold == 0.6
    assert session.vad.speech_end_delay_ms == 200
    assert session.turns.resume_ms == 150
    assert session.endpointing == Endpointing(mode="silence", silence_ms=700)
    assert session.turns.max_silence_ms == 2000


def test_what_a_caller_hears_while_the_agent_is_away() -> None:
    assert made().session.away == Away("line", "One moment, please.")
    assert made(defaults=replace(DEFAULTS, away="wait")).session.away.mode == "wait"
    assert made(layer(language="xx")).session.away.text == ""
    assert made(defaults=replace(DEFAULTS, holding_text="")).session.away.text == ""
    said = made(layer(away="message", language="de")).session.away
    assert said.mode == "message"
    assert "technisches Problem" in said.text
    agent = layer(
        language="es", away={"text": {"en": "Wait.", "es": "Espere."}, "grace_s": 4, "mode": "wait"}
    )
    channel = layer(config={"away": {"after_ms": 2500, "mode": "line"}})
    assert made(channel, agent).session.away == Away("line", "Espere.", 2.5, 4.0)
    assert made(layer(away={"mode": "message", "text": ""})).session.away.text == ""


def test_how_a_turn_ends_is_the_agents_to_say() -> None:
    assert made().session.endpointing == Endpointing(mode="auto")
    keys = {"mode": "smart_turn", "smart_turn_threshold": 0.7, "smart_turn_recheck_ms": 300, "patience": 1.5}
    session = made(layer(turn_detection=keys, vad={"min_silence_ms": 400, "min_speech_ms": 250})).session
    assert session.endpointing == Endpointing(
        "local", threshold=0.7, recheck_ms=300, patience=1.5, earliest_ms=400
    )
    assert session.turns.min_speech_ms == 250
    keys = {"mode": "local", "silence_ms": 800}
    assert made(layer(turn_detection=keys)).session.endpointing.mode == "local"


def test_tools_are_the_nearest_levels_all_of_them() -> None:
    def tool(name: str, **more: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, **more}}

    shape = {"type": "object", "properties": {}}
    agent = layer(tools=[tool("a", description="A.", parameters=shape, timeout_ms=1500, filler="Wait.")])
    assert made({}, agent).session.tools == (Tool(ToolSpec("a", "A.", shape), 1.5, "Wait."),)
    assert made(layer(tools=[tool("b")]), agent).session.tools == (Tool(ToolSpec("b")),)
    assert made(layer(tools=[]), agent).session.tools == ()
    assert made().session.tools == ()
    assert made().session.tool_timeout_s == 30.0
    assert made(defaults=replace(DEFAULTS, tool_timeout_s=5.0)).session.tool_timeout_s == 5.0


def test_what_interrupts_is_the_agents_to_say() -> None:
    keys = {
        "min_duration_ms": 400, "confidence": 0.8, "min_volume": 0.0, "energy_threshold_db": -30, "min_words": 3,
        "backchannel_filter": False, "pause_first": False, "sure_ms": 900, "greeting": False,
    }  # fmt: skip
    session = made(layer(interruption=keys, language="de")).session
    assert session.turns == TurnParams(
        language="de",
        interrupt_ms=400,
        interrupt_confidence=0.8,
        interrupt_volume=0.0,
        interrupt_words=3,
        backchannel_filter=False,
        pause_first=False,
        sure_ms=900,
    )
    assert not session.greeting_interruptible
    assert made().session.greeting_interruptible
    assert not made(layer(interruption=False)).session.turns.interruption
    assert not made(layer(interruption={"enabled": False})).session.turns.interruption
    assert made(layer(interruption=True)).session.turns.interruption
    assert made(layer(interruption={"min_words": 0})).session.turns.interrupt_words == 1
    older = made(layer(interruption={"energy_threshold_db": -36.0})).session.turns
    assert older.interrupt_volume == pytest.approx(0.4)


def test_a_low_threshold_takes_the_release_with_it() -> None:
    session = made(layer(vad={"threshold": 0.2})).session
    assert session.vad.release_threshold <= session.vad.threshold == 0.2


@pytest.mark.parametrize(
    ("greeting", "language", "text"),
    [
        ("Hello", "es", "Hello"),
        ({"en": "Hello", "es": "Hola"}, "es", "Hola"),
        ({"en": "Hello", "es": "Hola"}, "es-PE", "Hola"),
        ({"es-PE": "Habla", "es": "Hola"}, "es-PE", "Habla"),
        ({"en": "Hello", "es": "Hola"}, "de", "Hello"),
        (None, "en", ""),
        ({}, "en", ""),
    ],
)
def test_the_greeting_fits_the_language(greeting: Any, language: str, text: str) -> None:
    keys = {"language": language, **({} if greeting is None else {"greeting": greeting})}
    assert made(layer(**keys)).session.greeting == text


@pytest.mark.parametrize(
    ("voice", "name"),
    [
        (None, None),
        ("en-us+f3", "en-us+f3"),
        ("espeak/f3", "f3"),
        ("elevenlabs/sarah", None),
        ({"provider": "espeak", "voice_id": "f3"}, "f3"),
        ({"voice_id": "f3"}, "f3"),
        ({"provider": "cartesia", "voice_id": "x"}, None),
    ],
)
def test_a_voice_of_another_engine_is_not_asked_for(voice: Any, name: str | None) -> None:
    keys = {} if voice is None else {"voice": voice}
    assert made(layer(**keys)).picks.tts == (Pick("espeak", voice=name),)


def test_voice_and_recogniser_may_have_languages_and_a_pace_of_their_own() -> None:
    session = made(
        layer(
            language="en", voice={"language": "es", "speed": 1.2}, stt={"language": "fr", "keyterms": ["a"]}
        )
    ).session
    assert (session.voice_language, session.speed, session.stt_language) == ("es", 1.2, "fr")
    assert session.phrases == ("a",)


@pytest.mark.parametrize(
    ("keys", "on"),
    [
        ({}, False),
        ({"media": {"recording": True}}, True),
        ({"analysis": {"recording": True}}, True),
        ({"config": {"analysis": {"recording": True}}}, True),
        ({"analysis": {"recording": False}, "media": {"recording": True}}, False),
    ],
)
def test_recording_may_be_asked_for_in_three_places(keys: dict[str, Any], on: bool) -> None:
    assert made(layer(**keys)).recording.enabled is on


def test_the_operator_may_record_unless_the_agent_says_no() -> None:
    operator = Defaults(tts=VOICE, recording=RecordingDefaults(enabled=True))
    assert made({}, defaults=operator).recording.enabled
    assert not made(layer(media={"recording": False}), defaults=operator).recording.enabled


def test_what_is_told_beside_the_events_is_the_agents_to_say() -> None:
    assert made().session.events == Switches()
    agent = layer(events={"bot_output": "word", "history_snapshot": True, "state": False})
    channel = layer(config={"events": {"bot_output": "off", "reasoning": False, "metrics": False}})
    assert made(channel, agent).session.events == Switches(
        bot_output="off", history_snapshot=True, reasoning=False, metrics=False, state=False
    )


def test_metrics_have_an_interval_only_where_they_are_sent() -> None:
    assert made(layer(analysis={"audio_metrics_interval_ms": 50})).session.metrics_interval_ms is None
    assert made(layer(analysis={"send_audio_metrics": True})).session.metrics_interval_ms == 100
    keys = {"send_audio_metrics": True, "audio_metrics_interval_ms": 50}
    assert made(layer(config={"analysis": keys})).session.metrics_interval_ms == 50


@pytest.mark.parametrize(
    ("value", "on", "ms"),
    [
        (False, False, 300),
        (True, True, 300),
        ({"enabled": False}, False, 300),
        ({"min_duration_ms": 200}, True, 200),
        ({"min_duration_ms": 0}, True, 0),
    ],
)
def test_interruption_is_a_flag_or_an_object(value: Any, on: bool, ms: int) -> None:
    turns = made(layer(interruption=value)).session.turns
    assert (turns.interruption, turns.interrupt_ms) == (on, ms)


def test_a_greeting_that_lacks_the_calls_language_is_in_the_agents() -> None:
    greeting = {"fr": "Bonjour", "en": "Hello", "es": "Hola"}
    agent = layer(greeting=greeting, language="es-PE")
    assert made(layer(language="de"), agent).session.greeting == "Hola"
    assert made(layer(language="de"), layer(language="it"), agent).session.greeting == "Hola"
    assert made(layer(language="en-GB"), agent).session.greeting == "Hello"
    exact = layer(greeting={**greeting, "es-PE": "Habla"}, language="es-PE")
    assert made(layer(language="de"), exact).session.greeting == "Habla"
    assert made(layer(language="de"), layer(greeting=greeting)).session.greeting == "Hello"
    neither = {"fr": "Bonjour", "it": "Ciao"}
    assert made(layer(language="de"), layer(greeting=neither)).session.greeting == "Bonjour"


def test_a_language_model_that_the_server_has_not_is_told_as_that() -> None:
    for llm in ("gpt-4o", {"provider": "openai"}):
        ((code, key, text),) = substitutions(layer(llm=llm), DEFAULTS)
        assert (code, key) == (WarningCode.LLM_NOT_CONFIGURED, "llm")
        assert "OPENAI_API_KEY" in text
    assert substitutions(layer(llm={"enabled": False}), DEFAULTS) == []


def test_what_is_replaced_is_told() -> None:
    found = substitutions(layer(voice="elevenlabs/sarah", stt="deepgram"), DEFAULTS)
    assert [(code, key) for code, key, _ in found] == [
        (WarningCode.PROVIDER_SUBSTITUTED, "stt"),
        (WarningCode.PROVIDER_SUBSTITUTED, "voice"),
    ]
    assert substitutions(layer(voice="espeak/f3", stt={"provider": "pocketsphinx"}), DEFAULTS) == []
    assert "nothing takes its place" in substitutions(layer(stt="deepgram"), Defaults(tts=VOICE))[0][2]


def test_a_channel_command_is_a_layer_too() -> None:
    command = ChannelAdd(agent_id="a", type="phone", ref="*", language="es")
    assert made(merged({}, command)).session.language == "es"


def test_a_recogniser_in_three_words_brings_its_language() -> None:
    session = made(layer(stt="deepgram:nova-3:fr", language="en")).session
    assert (session.stt_language, session.turns.language, session.language) == ("fr", "fr", "en")


def test_what_interrupts_is_joined_key_by_key() -> None:
    agent, channel = (
        layer(interruption={"enabled": False, "sure_ms": 900}),
        layer(interruption={"min_words": 3}),
    )
    turns = made(channel, agent).session.turns
    assert (turns.interruption, turns.interrupt_words, turns.sure_ms) == (False, 3, 900)
    assert not made(channel, layer(interruption=False)).session.turns.interruption
    assert made(layer(interruption=True), agent).session.turns.interruption


def test_limits_are_the_agents_within_the_operators_bound() -> None:
    usual = made().session.limits
    assert (usual.max_duration_s, usual.idle_timeout_s, usual.idle_warning_s, usual.idle_grace_s) == (
        600.0, 60.0, 15.0, 10.0
    )  # fmt: skip
    agent = layer(session_limits={"max_duration_seconds": 900, "idle_timeout_seconds": 30})
    channel = layer(config={"session_limits": {"idle_timeout_seconds": 0}})
    limits = made(channel, agent).session.limits
    assert (limits.max_duration_s, limits.idle_timeout_s) == (900.0, 0.0)
    operator = replace(DEFAULTS, max_duration_s=120.0, idle_timeout_s=20.0, farewell_s=3.0)
    for asked, bound in ((None, 120.0), (0, 120.0), (60, 60.0), (7200, 120.0)):
        limits = made(layer(session_limits={"max_duration_seconds": asked}), defaults=operator).session.limits
        assert limits.max_duration_s == bound
    assert (limits.idle_timeout_s, limits.farewell_s) == (20.0, 3.0)


def test_a_bot_listens_while_it_speaks_unless_told_otherwise() -> None:
    assert not made().session.mute_while_speaking
    assert made(layer(mute_while_speaking=True)).session.mute_while_speaking
    assert not made(
        layer(config={"mute_while_speaking": False}), layer(mute_while_speaking=True)
    ).session.mute_while_speaking


def test_variables_are_joined_name_by_name_and_the_channels_win() -> None:
    assert made().session.variables == {}
    agent = layer(vars={"name": "Ada", "city": "Lima"}, timezone="America/Lima")
    channel = layer(vars={"city": "Rome", "age": 7})
    session = made(channel, agent).session
    assert session.variables == {"name": "Ada", "city": "Rome", "age": "7"}
    assert str(session.timezone) == "America/Lima"
    assert made().session.timezone is UTC


@pytest.mark.parametrize(
    ("keys", "preparing"),
    [
        ({}, Preparing(150)),
        ({"preparing": None}, Preparing(150)),
        ({"preparing": True}, Preparing(1500, opted_in=True)),
        ({"preparing": False}, None),
        ({"preparing": {}}, Preparing(1500, opted_in=True)),
        ({"preparing": {"enabled": True, "timeout_ms": 800}}, Preparing(800, opted_in=True)),
        ({"preparing": {"timeout_ms": 60_000}}, Preparing(5000, opted_in=True)),
        ({"preparing": {"enabled": False, "timeout_ms": 800}}, None),
    ],
)
def test_how_long_an_agent_is_waited_for(keys: dict[str, Any], preparing: Preparing | None) -> None:
    assert made(layer(**keys)).session.preparing == preparing
    assert made(layer(preparing=False), layer(**keys)).session.preparing is None


def test_a_caller_without_a_page_does_without_its_tools() -> None:
    def tool(name: str, **more: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, **more}}

    skill = {"name": "shop", "tools": [tool("open_cart", page=True), tool("price")]}
    session = made(layer(tools=[tool("a"), tool("open_page", page=True)], skills=[skill])).session
    assert [one.kind for one in session.tools] == ["client", "page"]
    without = without_page(session)
    assert [one.name for one in without.tools] == ["a"]
    assert [one.name for one in without.skills[0].tools] == ["price"]


def test_what_the_model_thinks_is_shown_to_a_page_only_where_that_is_wanted() -> None:
    assert not made().page_reasoning
    assert not made(layer(events={"reasoning": True})).page_reasoning
    assert made(layer(events={"page_reasoning": True})).page_reasoning


def test_skills_are_those_of_the_narrowest_place() -> None:
    tool = {"type": "function", "function": {"name": "invoice", "timeout_ms": 5000}}
    skill = {"name": "billing", "description": "Invoices.", "instructions": "Be exact.", "tools": [tool]}
    agent = layer(skills=[skill, {"name": "staff", "activation": "always"}])
    assert made({}, agent).session.skills == (
        Skill("billing", "Invoices.", "Be exact.", (Tool(ToolSpec("invoice"), 5.0),)),
        Skill("staff", activation="always"),
    )
    assert made(layer(skills=[]), agent).session.skills == ()
    assert made().session.skills == ()
