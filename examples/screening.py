"""A person at the terminal follows a call and takes it over from the language model.

    OPENAI_API_KEY=sk-... make run                            # or OPENAI_BASE_URL; see docs/engines.md
    .venv/bin/python examples/screening.py
    .venv/bin/talkwire call --say "I want to speak to a human"

What is said appears as it is heard. A line that you type is spoken, and from then on the model is silent: the call is
yours. ``/give`` gives it back to the model, which knows all that was said; ``/hangup`` ends it; ``/call ID`` chooses
another call. The model may ask for you, too, by its tool.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading

from talkwire_agent import Call, Talkwire, TalkwireError
from talkwire_agent.events import CallEnded, MessageConfirmed, UserMessage

tw = Talkwire()
agent = tw.agent(
    "screening",
    llm={"enabled": True},
    prompt="You answer the phone of a small company, and find out who calls and what about. Ask for a person "
    "by your tool where the caller wants one, or is angry.",
    greeting="Hello. Who is calling, please?",
)
agent.phone("+15550002222")


class Desk:
    """What the person at the terminal sees and does."""

    def __init__(self) -> None:
        self.call: Call | None = None

    def show(self, text: str) -> None:
        print(text, flush=True)

    def look_at(self, call: Call) -> None:
        self.call = call
        self.show(f"--- {call.id} from {call.from_}{', yours' if call.data.get('taken') else ''}")

    async def typed(self, line: str) -> None:
        """One line from the keyboard."""
        command, _, rest = line.strip().partition(" ")
        if command == "/call" and (call := agent.calls.get(rest.strip())) is not None:
            self.look_at(call)
        elif self.call is None or not self.call.live:
            self.show("--- no call")
        elif command == "/give":
            await self.give(self.call)
        elif command == "/hangup":
            await self.call.hangup("hung up at the desk")
        elif command.startswith("/"):
            self.show("--- /give, /hangup, /call ID; anything else is spoken")
        elif line.strip():
            await self.take(self.call)
            self.call.say(line.strip(), add_to_history=True)

    async def take(self, call: Call) -> None:
        if not call.data.get("taken"):
            await call.pause()
            call.clear()
            call.data["taken"] = True
            self.show("--- the call is yours; /give gives it back")

    async def give(self, call: Call) -> None:
        await call.resume()
        call.data["taken"] = False
        self.show("--- the model answers")


desk = Desk()


@agent.tool(no_followup=True, filler="One moment please.")
def ask_for_a_person(reason: str, call: Call) -> str:
    """Ask for a person. The caller hears that somebody will come.

    Args:
        reason: Why, in a few words.
    """
    desk.show(f"--- {call.id} wants a person: {reason}")
    call.say("I see whether somebody is there. Please stay on the line.", add_to_history=True)
    return "asked"


@agent.on("call.started")
def rings(call: Call) -> None:
    if desk.call is None or not desk.call.live:
        desk.look_at(call)
    else:
        desk.show(f"--- {call.id} from {call.from_} as well; /call {call.id}")


@agent.on("user.message")
def heard(event: UserMessage, call: Call) -> None:
    if call is desk.call:
        desk.show(f"caller: {event.text}")


@agent.on("message.confirmed")
def said(event: MessageConfirmed, call: Call) -> None:
    if call is desk.call:
        desk.show(f"   bot: {event.text}")


@agent.on("call.ended")
def over(event: CallEnded, call: Call) -> None:
    desk.show(f"--- {call.id} is over: {event.reason}")


async def main() -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=read, daemon=True).start()  # Reading a terminal cannot be cancelled.
    async with tw:
        while True:
            try:
                await desk.typed(await lines.get())
            except TalkwireError as error:
                desk.show(f"--- {error}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
