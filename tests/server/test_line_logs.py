"""The logs of lines: whoever names one is understood, however its number is written."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.events import CallStarted
from server.agents import key_asked, key_for
from server.call import Call
from server.resolve import resolve
from server.wire import CallFacts
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, KEY, PUBLIC, Site, site
from tests.server.test_call_log import kinds, spoken
from tests.server.test_calls import DEFAULTS, Owner
from tests.server.test_v1_calls import seen

NUMBER = "+1 (555) 000-2222"
LINE = "line:+15550002222"
NAMED = (LINE, f"line:{NUMBER}", "line:+1 555 000 2222")
"""How a client may write it."""


def called(made: Site, call_id: str = "CA1") -> Call:
    """Somebody calls the line."""
    agents, calls = made.services.agents, made.services.calls
    line = agents.get(LINE) or agents.create_line(NUMBER, Owner(), None, 0, 0.0)
    config = resolve([line.configuration], DEFAULTS)
    call = calls.ring(CallFacts(call_id, line.agent_id, "+1", NUMBER), line, config)
    calls.connecting(call)
    call.journal.append(CallStarted("en"))
    return call


@pytest.mark.parametrize("name", [*NAMED, "line: 15550002222"])
def test_a_line_is_known_by_its_number_and_an_agent_by_its_slug(name: str) -> None:
    assert key_asked(name) == LINE
    assert key_for("Front Desk") == key_asked("front_desk") == "front-desk"


@pytest.mark.parametrize("name", [*map(quote, NAMED), LINE])
def test_the_log_of_a_line_is_attached_to(tmp_path: Path, name: str) -> None:
    """The last is not escaped: its plus comes as a space."""

    async def main() -> None:
        async with site(tmp_path) as made:
            made.end(called(made, "CA1"))
            made.end(made.begin("CA2"))
            async with made.web.socket(f"/v1/attach?agent={name}") as socket:
                await socket.wait("log.caught_up")
                made.end(called(made, "CA3"))
                await socket.until(lambda: len(socket.frames) == 5)
            frames = [frame for frame in socket.frames if not frame["type"].startswith("log.")]
            assert [(f["type"], f["data"]["call"], f["agent"]) for f in frames] == [
                ("call.started", "CA1", LINE),
                ("call.ended", "CA1", LINE),
                ("call.started", "CA3", LINE),
                ("call.ended", "CA3", LINE),
            ]

    run_virtual(main())


def test_streams_and_lists_of_a_line_are_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            called(made)
            made.begin("CA2")
            name = quote(NAMED[1], safe="")
            async with made.web.socket(f"/ws/stream?agent={name}&after=1") as socket:
                await socket.wait("log.caught_up")
            async with made.web.stream(f"/v1/agents/{LINE}/stream", last_event_id="1") as stream:
                events = await seen(stream, 2)
            assert kinds(socket.frames) == ["call.started"]
            assert [data["callId"] for _, data, _ in events[1:]] == ["CA1"]
            for path in (f"/v1/agents/{LINE}/calls", f"/v1/calls?agent_id={name}"):
                listed = await made.web.get(path)
                assert [call["call_id"] for call in listed.json()["calls"]] == ["CA1"]

    run_virtual(main())


def test_a_stream_token_may_be_for_a_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            spoken(called(made))
            made.begin("CA2")
            asked = await made.web.get(f"/stream/token?agent_id={quote(NAMED[0])}", **BEARER)
            assert asked.status == 200, asked.body
            token = asked.json()["token"]
            for query in ("call=CA1", f"agent={quote(LINE)}"):
                async with made.web.socket(f"/v1/attach?{query}&token={token}") as socket:
                    await socket.wait("log.caught_up")
                assert kinds(socket.frames)[0] == "call.started"
            for query in ("call=CA2", "agent=tester"):
                async with made.web.socket(f"/v1/attach?{query}&token={token}") as socket:
                    assert (await socket.end())[0] == 4003
            async with made.web.socket(f"/v1/attach?agent=line:&token={KEY}") as socket:
                assert (await socket.end())[0] == 4000

    run_virtual(main())
