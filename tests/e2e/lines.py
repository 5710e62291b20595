"""A server with a line and agents, each on a connection of its own, the fake Twilio, and what holds of each of their
logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.harness import Agent, Frame, Running, connected, running
from tests.e2e.phone import FROM, TO
from tests.fakes.parts import well_formed
from tests.fakes.twilio import FakeTwilio
from tests.fakes.twilio.call import FakeCall

LINE = f"line:{TO}"


@dataclass
class Desk:
    server: Running
    twilio: FakeTwilio
    line: Agent
    agents: dict[str, Agent]

    def call(self, to: str = TO) -> FakeCall:
        return self.twilio.call(FROM, to)

    async def route(self, call: FakeCall, agent: str, by: Agent | None = None, **fields: Any) -> Frame:
        """Ask for a hand-over; returns the acknowledgement."""
        return await says(by or self.line, "call.route", call.sid, agent=agent, **fields)

    def well_formed(self) -> None:
        for agent in {id(agent): agent for agent in (self.line, *self.agents.values())}.values():
            well_formed(agent.frames)


async def says(by: Agent, event: str, call_id: str, **fields: Any) -> Frame:
    """Send a command about a call; returns the acknowledgement."""
    ack = f"{event} {len(by.frames)}"
    await by.send(event, call_id=call_id, ack=ack, **fields)
    return await by.wait("ack", ack=ack)


@asynccontextmanager
async def desk(
    tmp_path: Path,
    *,
    number: str = TO,
    config: dict[str, Any] | None = None,
    agents: dict[str, dict[str, Any]] | None = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """A line with no time for an extension unless ``config`` says otherwise, and agents by their ids."""
    async with AsyncExitStack() as stack:
        twilio = await stack.enter_async_context(FakeTwilio((TO,)))
        server = await stack.enter_async_context(running(tmp_path, **{**twilio.settings, **settings}))
        await twilio.serve(server.url)
        line = await stack.enter_async_context(connected(server.ws))
        await line.send("line.create", number=number, config={"extension_window_ms": 0, **(config or {})})
        await line.wait("line.created")
        found: dict[str, Agent] = {}
        for agent_id, wanted in (agents or {}).items():
            agent = found[agent_id] = await stack.enter_async_context(connected(server.ws))
            await agent.send("agent.create", agent_id=agent_id, **wanted)
            await agent.wait("agent.created")
        try:
            yield Desk(server, twilio, line, found)
        finally:
            for call in twilio.calls.values():
                call.hang_up()
