"""Greets, and says back what it has understood.

    .venv/bin/python examples/echo.py                         # beside `make run`
    .venv/bin/talkwire call examples/clips/time.wav           # a caller

The embedded recogniser understands what it is told to expect, hence the phrases.
"""

from __future__ import annotations

from talkwire_agent import Call, Talkwire
from talkwire_agent.events import TurnEnd

tw = Talkwire()
agent = tw.agent(
    "echo",
    greeting="Hello. Say something.",
    stt={"phrases": ["hello", "can you tell me the time", "tell me a story", "goodbye"]},
)
agent.phone("+15550002222")


@agent.on("turn.end")
async def answer(turn: TurnEnd, call: Call) -> None:
    heard = await call.reply(f"You said {turn.text}.")
    print(f"{call.from_} heard: {heard.text!r} ({heard.outcome})")
    if heard.complete and "goodbye" in turn.text:
        call.hangup()


if __name__ == "__main__":
    tw.run()
