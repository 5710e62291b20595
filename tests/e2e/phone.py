"""A server, an agent and the fake Twilio that calls come from and go to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.harness import Agent, Frame, Running, connected, running
from tests.fakes.twilio import FakeTwilio

FROM, TO, OTHER = "+15550001111", "+15550002222", "+15550003333"


@dataclass
class Phone:
    server: Running
    agent: Agent
    twilio: FakeTwilio

    async def dial(self, to: str = FROM, **fields: Any) -> Frame:
        """Ask for a call; returns the acknowledgement."""
        ack = f"dial {len(self.agent.frames)} {to}"
        await self.agent.send("call.dial", agent_id="tester", to=to, ack=ack, **fields)
        return await self.agent.wait("ack", ack=ack)

    async def says(self, event: str, call_id: str, **fields: Any) -> Frame:
        """Send a command about a call; returns the acknowledgement."""
        ack = f"{event} {len(self.agent.frames)}"
        await self.agent.send(event, call_id=call_id, ack=ack, **fields)
        return await self.agent.wait("ack", ack=ack)


@asynccontextmanager
async def phone(
    tmp_path: Path,
    *,
    ref: str = TO,
    ringing: bool = False,
    numbers: tuple[str, ...] = (TO,),
    config: dict[str, Any] | None = None,
    channel: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Phone]:
    """An agent that answers ``ref``, in a server of the account that has ``numbers``. ``headers``: of its upgrade."""
    quick = {"dials_per_s": 20.0, **settings}
    async with (
        FakeTwilio(numbers) as twilio,
        running(tmp_path, **{**twilio.settings, **quick}) as server,
        connected(server.ws, headers=headers) as agent,
    ):
        await twilio.serve(server.url)
        await agent.send("agent.create", agent_id="tester", **(config or {}))
        await agent.wait("agent.created")
        more = {"ringing": True} if ringing else {}
        await agent.send("channel.add", agent_id="tester", type="phone", ref=ref, **more, **(channel or {}))
        await agent.wait("channel.added")
        try:
            yield Phone(server, agent, twilio)
        finally:
            for call in twilio.calls.values():
                call.hang_up()
