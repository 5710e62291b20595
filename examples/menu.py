"""A phone menu that code answers: a key, an extension or a word puts the caller through to an agent.

    make run
    .venv/bin/python examples/menu.py
    .venv/bin/talkwire call --to +15550003333 --say "the opening hours please"

``1`` or the extension ``101`` is sales, ``2`` or ``102`` the opening hours; who says one of these words gets there, too.
The call itself goes on: the caller is not dialled anew, and whoever takes him knows what was said.
"""

from __future__ import annotations

import os

from talkwire_agent import Call, RouteFailed, Talkwire
from talkwire_agent.events import CallDtmfReceived, CallStarted, TurnEnd

MENU = "Welcome to the Blue Door. Press one for sales, or two for our opening hours."
AGENTS = {"1": "sales", "101": "sales", "2": "hours", "102": "hours"}
WORDS = {"sales": "sales", "buy": "sales", "hours": "hours", "open": "hours"}

tw = Talkwire()
line = tw.line(
    os.environ.get("MENU_NUMBER", "+15550003333"),
    extension_window_ms=1500,
    stt={"phrases": ["sales", "opening hours", "the opening hours please", "I want to buy something"]},
)
sales = tw.agent("sales", greeting="Sales. What can I do for you?")
hours = tw.agent("hours", greeting="We are open from ten to six, every day but on Sundays. Goodbye.")


async def put_through(call: Call, agent: str) -> None:
    """Hand the call over; where that cannot be, the caller is told and has the menu again."""
    try:
        await call.route(agent, context={"menu": call.data.get("way", "")})
    except RouteFailed as failed:
        print(f"{call.id} stays: {failed}")
        call.say("I am sorry, nobody is there at the moment.")
        call.say(MENU)


@line.on("call.started")
async def answered(event: CallStarted, call: Call) -> None:
    if call.extension in AGENTS:
        call.data["way"] = f"dialled {call.extension}"
        await put_through(call, AGENTS[call.extension])
    else:
        call.say(MENU)


@line.on("call.dtmf_received")
async def pressed(event: CallDtmfReceived, call: Call) -> None:
    call.clear()
    if event.digit in AGENTS:
        call.data["way"] = f"pressed {event.digit}"
        await put_through(call, AGENTS[event.digit])
    else:
        call.say("Please press one or two.")


@line.on("turn.end")
async def spoken(event: TurnEnd, call: Call) -> None:
    wanted = next((WORDS[word] for word in event.text.lower().split() if word in WORDS), None)
    if wanted is not None:
        call.data["way"] = f"said {event.text!r}"
        await put_through(call, wanted)
    else:
        call.reply("Please say sales, or opening hours.")


@hours.on("bot.finished")
async def told(call: Call) -> None:
    await call.hangup("the opening hours were told")


@sales.on("turn.end")
async def asked(event: TurnEnd, call: Call) -> None:
    if "else" in event.text.lower():
        await call.route("hours")  # From one agent to another it is the same.
    else:
        call.reply(f"You said: {event.text}. Anything else?")


if __name__ == "__main__":
    tw.run()
