"""What is made from the server's schema is what would be made from it now."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from talkwire_agent.base import UnknownEvent
from talkwire_agent.events import EVENTS, CallStarted, TurnEnd
from talkwire_agent.wire import decoded, parsed

HERE = Path(__file__).resolve().parents[1]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("talkwire_generate", HERE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["events", "config"])
def test_the_generated_modules_are_those_of_the_schema(name: str) -> None:
    module = generator()
    if not module.SCHEMA.is_file():
        pytest.skip("the server's schema.json is not beside this package")
    made = getattr(module, name)(json.loads(module.SCHEMA.read_text()))
    text = (HERE / "talkwire_agent" / f"{name}.py").read_text()
    assert text == made, "python clients/python/generate.py was forgotten"


def test_the_readme_names_the_events_of_the_schema() -> None:
    module = generator()
    if not module.SCHEMA.is_file():
        pytest.skip("the server's schema.json is not beside this package")
    text = (HERE / "README.md").read_text()
    assert text == module.readme(json.loads(module.SCHEMA.read_text()), text)


def test_every_event_knows_its_name() -> None:
    for name, event in EVENTS.items():
        assert event.model_fields["event"].default == name


STARTED = {
    "event": "call.started", "agent_id": "a", "call_id": "c", "session_id": "c", "seq": 1, "ts": 1.5,
    "from": "+1", "to": "+2", "direction": "inbound", "transport": "phone",
}  # fmt: skip


def test_an_event_is_typed_and_goes_back_as_it_came() -> None:
    event = parsed(STARTED)
    assert isinstance(event, CallStarted)
    assert (event.from_, event.to, event.language) == ("+1", "+2", None)
    assert event.frame() == STARTED


def test_what_a_newer_server_says_is_kept() -> None:
    event = parsed({**STARTED, "transport": "carrier-pigeon", "shoe_size": 43})
    assert isinstance(event, CallStarted)
    assert event.transport == "carrier-pigeon"
    assert event.frame()["shoe_size"] == 43
    unknown = parsed({"event": "bot.danced", "style": "tango"})
    assert isinstance(unknown, UnknownEvent)
    assert unknown.frame() == {"event": "bot.danced", "style": "tango"}


def test_an_event_with_other_fields_is_given_as_it_came() -> None:
    event = parsed({"event": "turn.end", "text": 7, "message_id": "m"})
    assert isinstance(event, TurnEnd)
    assert event.frame() == {"event": "turn.end", "text": 7, "message_id": "m"}


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"event":7}', '{"name":"x"}', b"\xff"])
def test_what_is_no_message_is_none(text: str | bytes) -> None:
    assert decoded(text) is None
