"""Calls another agent of the server, and shows the conversation: to hear how an agent does, before anybody calls it.

    .venv/bin/python examples/rehearsal.py demo               # beside `make run`; any agent that is online

The two are joined in memory, without a phone network. Each hears what the other one says: what is shown of the other side
is what the recogniser has understood.
"""

from __future__ import annotations

import asyncio
import sys

from talkwire_agent import Call, Refused, Talkwire
from talkwire_agent.events import MessageConfirmed, TurnEnd, UserMessage

LINES = ["Can you tell me the time?", "Tell me a story.", "Goodbye."]

tw = Talkwire()
agent = tw.agent("rehearsal", session_limits={"max_duration_seconds": 90})


@agent.on("turn.end")
async def go_on(turn: TurnEnd, call: Call) -> None:
    lines = call.data.setdefault("lines", list(LINES))
    if not lines:
        call.hangup("all was said")
        return
    await call.reply(lines.pop(0))
    if not lines:
        call.hangup("all was said")


@agent.on("user.message")
def understood(message: UserMessage) -> None:
    print(f"it: {message.text}")


@agent.on("message.confirmed")
def spoken(message: MessageConfirmed) -> None:
    print(f"me: {message.text}")


async def call_and_show(target: str) -> None:
    try:
        call = await agent.bridge(target)
    except Refused as refused:
        print(f"--- {refused}")
        return
    ended = await call.wait_ended()
    if ended is not None:
        print(f"--- {ended.reason}, {ended.duration_seconds:.0f} s")


async def main(target: str) -> None:
    async with tw:
        await call_and_show(target)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "demo"))
