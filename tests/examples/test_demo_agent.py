"""How the demo agent thinks: by rules, and honestly where none fits."""

from __future__ import annotations

import asyncio
import datetime
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.datetime(2026, 11, 20, 18, 5, tzinfo=datetime.UTC)


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_agent", ROOT / "examples" / "demo_agent.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


demo = _load()


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("what time is it", "It is 18:05."),
        ("What time is it?", "It is 18:05."),
        ("what day is it", "It is Friday, the 20th of November."),
        ("please count from one to three", "One, two, three."),
        ("can you count to five", "One, two, three, four, five."),
        ("can you spell the word banana", "Banana: B, A, N, A, N, A."),
        ("repeat after me the weather is nice", "You said: the weather is nice."),
        ("hello", "Hello again."),
    ],
)
def test_what_it_answers(heard: str, said: str) -> None:
    answer = demo.answer(heard, NOW)
    assert answer.text == said
    assert not answer.hang_up


@pytest.mark.parametrize(
    "heard",
    ["", "oh please", "tell me", "ten of clubs", "count", "count to a hundred", "spell", "the goodbye girl",
     "goodbye to all that", "he said goodbye", "we must find a new home in the stars"],
)  # fmt: skip
def test_what_it_does_not_understand_it_says_and_never_hangs_up(heard: str) -> None:
    answer = demo.answer(heard, NOW)
    assert answer.text == demo.LOST
    assert not answer.hang_up


@pytest.mark.parametrize("heard", ["goodbye", "Goodbye.", "bye bye", "good bye"])
def test_a_farewell_hangs_up(heard: str) -> None:
    assert demo.answer(heard, NOW).hang_up


def test_each_hint_is_understood() -> None:
    for hint in demo.HINTS:
        assert demo.answer(hint, NOW).text != demo.LOST, hint


def test_the_story_is_long_enough_to_interrupt() -> None:
    assert len(demo.STORY.split()) > 80


async def _farewell(*then: str) -> list[str]:
    """What the agent sends when it hears a goodbye and these events of its answer follow."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    agent = demo.DemoAgent(send)
    await agent.handle({"event": "turn.end", "call_id": "CA1", "message_id": "m1", "text": "goodbye"})
    assert sent[0]["in_reply_to"] == "m1"
    for event in then:
        await agent.handle({"event": event, "call_id": "CA1", "message_id": sent[0]["message_id"]})
    return [message["event"] for message in sent]


async def test_it_hangs_up_only_when_its_last_word_was_heard() -> None:
    assert await _farewell() == ["bot.reply"]
    assert await _farewell("bot.finished") == ["bot.reply", "call.hangup"]
    assert await _farewell("bot.interrupted", "bot.finished") == ["bot.reply"]


async def test_it_answers_when_it_is_asked_whether_it_lives() -> None:
    assert await _farewell("ping") == ["bot.reply", "pong"]


async def test_with_a_model_it_leaves_the_thinking_to_the_server() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    agent = demo.DemoAgent(send, llm=True)
    await agent.handle({"event": "connected"})
    await agent.handle({"event": "turn.end", "text": "what time is it", "call_id": "c", "message_id": "m"})
    (create,) = sent
    assert create["llm"] == {"enabled": True}
    assert create["prompt"] == demo.PROMPT


async def test_an_id_that_is_still_taken_is_asked_for_again() -> None:
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent = demo.DemoAgent(sent.put)
    await agent.handle({"event": "connected"})
    assert (await sent.get())["event"] == "agent.create"
    await agent.handle({"event": "error", "error": "taken", "code": "AGENT_CONFLICT", "retry_after_s": 0.001})
    async with asyncio.timeout(5):
        assert (await sent.get())["event"] == "agent.create"
