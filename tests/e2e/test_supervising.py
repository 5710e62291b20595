"""A person in a live call, over a real server: every verb, and what its agent is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from server.protocol import EVENTS
from tests.e2e.harness import KEY, in_order, registered, running
from tests.protocol.schema import DEFINITIONS, faults

pytestmark = pytest.mark.e2e

KIND_OF = {str(event.model_fields["event"].default): event.__name__ for event in EVENTS}


async def test_a_person_takes_a_call_over_gives_it_back_and_ends_it(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello there.") as agent,
        server.carrier() as carrier,
        httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        call = await carrier.place_call("+15550001111", "+15550002222")
        call_id = (await agent.wait("call.started"))["call_id"]

        async def ask(verb: str, **fields: Any) -> dict[str, Any]:
            reply = await http.post(f"/v1/calls/{call_id}/supervise", json={"verb": verb, **fields})
            assert reply.is_success, reply.text
            return dict(reply.json())

        await agent.wait("bot.finished")
        await ask("whisper", text="He is an old friend.", by="Ann")
        await ask("takeover", by="Ann")
        await agent.wait("handoff.active")
        await agent.send("bot.reply", call_id=call_id, message_id="m1", text="Not heard.", in_reply_to="")
        assert (await agent.wait("bot.interrupted", message_id="m1"))["reason"] == "cancelled"
        said = await ask("say", text="This is Ann, hello.", by="Ann")
        assert (await agent.wait("bot.finished", message_id=said["message_id"]))["duration_ms"] > 500
        await ask("release", by="Ann")
        await agent.wait("handoff.released")
        await ask("say", text="Good bye.")
        await ask("end", by="Ann")
        ended = await agent.wait("call.ended")
        assert (ended["reason"], ended["detail"]) == ("client_hangup", "ended by Ann")
        assert [line["content"] for line in ended["transcript"]] == [
            "Hello there.",
            "This is Ann, hello.",
            "Good bye.",
        ]
        (whispered,) = agent.of("supervisor.whispered")
        assert (whispered["text"], whispered["by"]) == ("He is an old friend.", "Ann")
        assert [event["by"] for event in agent.of("supervisor.said")] == ["Ann", "supervisor"]
        assert len(agent.of("handoff.requested")) == len(agent.of("handoff.active")) == 1
        for frame in agent.frames:
            assert list(faults(frame, DEFINITIONS[KIND_OF[frame["event"]]])) == [], frame
        in_order(agent.frames)
        call.hang_up()
