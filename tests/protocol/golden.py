"""The golden log: all that is told of one conversation, as it goes over the wire, for every client to read.

``python -m tests.protocol.golden`` writes it anew; a test says when that was forgotten. The conversation is held by the
real session on virtual time, so that two runs are the same to the byte: times count from ``EPOCH``, and ids are
numbered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from pipeline.config import SessionConfig
from pipeline.errors import ProviderError
from pipeline.events import Event, Recorded, ToolCallsRequested
from pipeline.ports import SttEvent, SttOptions, SttPartial, SttStream, ToolSpec
from pipeline.tools import Tool, ToolResult
from server.clock import Clock
from server.journal import Journal
from server.page_events import for_page
from server.protocol import PROTOCOL
from server.protocol.page import PageConnected, PageTimeout
from server.ring import Entry
from server.wire import CallFacts
from tests.fakes.llm import FakeLlm, Says, asks
from tests.pipeline.test_session import Scene, ScriptedEar, call
from tests.pipeline.test_session_thinking import chain

FILE = Path(__file__).parent / "golden" / "conversation.json"
PAGE_FILE = FILE.with_name("page.json")
EPOCH = 1_700_000_000.0
FACTS = CallFacts("CA00000000000000000000000000000001", "front-desk", "+15550001111", "+15550002222")
DIGITS = 4
"""Of fractions: the last ones may differ from one machine to another."""

ABOUT = (
    "All events of one call, in order, as the agent socket sends them. The caller is greeted, asks for the weather "
    "(a tool), coughs over the answer, interrupts the next one, goes on after a pause, is held and muted, and hangs "
    "up. Written by python -m tests.protocol.golden."
)


class ToldClock(Clock):
    """Counts from ``EPOCH``, at the instant that it is set to: seconds since the call began."""

    def __init__(self) -> None:
        self.now = 0.0

    def epoch(self, at: float | None = None) -> float:
        return round(EPOCH + (self.now if at is None else at - 1000.0), 3)


class Ear(ScriptedEar):
    """Tells each partial text once."""

    def open(self, options: SttOptions, on_event: Callable[[SttEvent], None]) -> SttStream:
        told: set[int] = set()

        def tell(event: SttEvent) -> None:
            if not isinstance(event, SttPartial) or event.segment_id not in told:
                told.add(event.segment_id)
                on_event(event)

        return super().open(options, tell)


async def _script(scene: Scene) -> None:
    session, leg = scene.session, scene.leg
    emit, loop = session._telling._emit, asyncio.get_running_loop()

    def tell(event: Event) -> None:
        emit(event)
        if isinstance(event, ToolCallsRequested):
            results = [ToolResult(asked.id, {"sky": "clear", "celsius": 21}) for asked in event.calls]
            loop.call_later(0.2, lambda: session.answering.tool_result(event.msg_id, results))

    session._telling._emit = tell
    await leg.silence(2.5)
    await leg.speak(1.2)  # "how is it in Rome", and a tool is asked.
    await leg.silence(3.5)
    await leg.speak(0.45)  # A cough over the answer: paused, and it goes on.
    await leg.silence(9.0)
    await leg.speak(1.0)  # "and tomorrow"; the answer is long.
    await leg.silence(5.0)
    await leg.speak(1.6)  # "thank you that is all", over it.
    await leg.silence(0.45)
    await leg.speak(0.8)  # "for now", after the early edge.
    await leg.silence(4.0)
    session.saying.reply("msg_stale", "Nobody hears this.", "of another turn")
    session.saying.reply("msg_own", "One more thing from your agent.", "")
    await leg.silence(0.6)
    session.hold()
    await leg.silence(1.0)
    session.unhold()
    await leg.silence(3.0)
    session.mute()
    await leg.speak(0.8)  # "are you there", which nobody answers.
    await leg.silence(1.0)
    session.unmute()
    await leg.speak(1.0)  # A recogniser that fails.
    await leg.silence(1.0)
    await leg.speak(1.2)  # "wait I said yes", before much of the apology was heard.
    await leg.silence(3.0)


def _scene() -> Scene:
    busy = ProviderError("pocketsphinx", "stt", "all recognisers are taken", retryable=True)
    mind = FakeLlm(
        asks(("weather", '{"city": "Rome"}'), ("clock", "{}")),
        Says(
            "It is clear in Rome, and twenty-one degrees, which is warm for this time of the year.",
            thoughts=("Warm.",),
        ),
        "Tomorrow it will rain " + "in the morning and in the evening " * 6 + "and all night.",
        "Goodbye.",
        "You are welcome, goodbye.",
    )
    config = SessionConfig(
        greeting="Hello, this is the front desk.",
        prompt="Be kind.",
        trouble_text="Please say that again.",
        tools=(Tool(ToolSpec("weather", "Tells the weather.")),),
    )
    texts = (
        "how is it in Rome",
        "",
        "and tomorrow",
        "thank you that is all",
        "for now",
        "are you there",
        busy,
    )
    return call(_script, *texts, "wait I said yes", config=config, ear=Ear, mind=chain(mind))


def events() -> list[dict[str, Any]]:
    """What is told of the conversation, as it would be told now."""
    clock = ToldClock()
    told: list[Entry] = []
    journal = Journal(FACTS, clock, told.append)
    scene = _scene()
    for at, event in scene.log:
        clock.now = at
        journal.append(event)
    url = f"https://voice.example.org/v1/calls/{FACTS.call_id}/recording?token=t"
    journal.append(Recorded(1000, 8000, "wav", "stereo", scene.log[0][0], url))
    frames: list[dict[str, Any]] = [_rounded(orjson.loads(entry.data)) for entry in told]
    return frames


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def text() -> str:
    """The file: one event a line, so that a change can be read."""
    return _file(ABOUT, events())


def page() -> list[dict[str, Any]]:
    """The same conversation as the page of a browser call would be told it; its agent shows what the model thinks."""
    connected = PageConnected(
        call_id=FACTS.call_id,
        agent_id=FACTS.agent_id,
        resume_token="resume-1",
        resume_seconds=15.0,
        lead_ms=160,
    )
    told = [frame for event in events() for frame in for_page(orjson.dumps(event), reasoning=True)]
    ended = PageTimeout(call_id=FACTS.call_id, reason=told[-1]["reason"])
    return [connected.model_dump(), *told, ended.model_dump()]


def page_text() -> str:
    return _file(f"The same as its page is told it. {ABOUT}", page())


def _file(about: str, frames: list[dict[str, Any]]) -> str:
    lines = ",\n".join(json.dumps(frame, ensure_ascii=False) for frame in frames)
    head = f'"about": {json.dumps(about)},\n"protocol": {json.dumps(PROTOCOL)}'
    return f'{{\n{head},\n"events": [\n{lines}\n]\n}}\n'


def load() -> list[dict[str, Any]]:
    """The events of the file."""
    frames: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["events"]
    return frames


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    PAGE_FILE.write_text(page_text(), encoding="utf-8")
    print(f"wrote {FILE} and {PAGE_FILE}")
