"""The server's golden log: one conversation as it goes over the wire, read by this package."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from talkwire_agent import Talkwire
from talkwire_agent.base import Event, UnknownEvent
from talkwire_agent.events import EVENTS, CallEnded, MessageConfirmed
from talkwire_agent.testing import ScriptedServer, virtual_time
from talkwire_agent.wire import parsed

GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "protocol" / "golden" / "conversation.json"


@pytest.fixture(scope="module")
def frames() -> list[dict[str, Any]]:
    if not GOLDEN.is_file():
        pytest.skip("the server's golden log is not beside this package")
    events: list[dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))["events"]
    return events


def test_every_event_of_it_is_typed_and_goes_back_as_it_came(
    frames: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "talkwire_agent"):
        for frame in frames:
            event = parsed(frame)
            assert type(event) is EVENTS[frame["event"]]
            assert json.loads(json.dumps(event.frame())) == frame
    assert caplog.messages == []


@virtual_time
async def test_a_call_that_is_told_it_knows_what_was_said(frames: list[dict[str, Any]]) -> None:
    tw = Talkwire("key")
    agent = tw.agent(frames[0]["agent_id"])
    told: list[Event] = []
    agent.on("*", lambda event, call: told.append(event))
    async with ScriptedServer(tw) as server:
        server.send(**frames[0])
        await server.quiet()
        call = agent.calls[frames[0]["call_id"]]
        assert (call.from_, call.to) == (frames[0]["from"], frames[0]["to"])
        for frame in frames[1:]:
            server.send(**frame)
            await server.quiet()
        spoken = [event.text for event in told if isinstance(event, MessageConfirmed) and event.text]
        assert not any(isinstance(event, UnknownEvent) for event in told)
        assert [event.frame()["seq"] for event in told if "seq" in event.frame()] == list(
            range(1, len(frames) + 1)
        )
    (ended,) = (event for event in told if isinstance(event, CallEnded))
    assert not call.live
    assert [line.content for line in call.transcript if line.role == "assistant"] == spoken
    assert call.transcript == list(ended.transcript)
