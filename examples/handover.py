"""Hands callers to a human, whom it asks first whether he has time.

    .venv/bin/python examples/handover.py                     # beside `make run`
    .venv/bin/talkwire call --say "I want to speak to a human"

``HUMAN`` is the number that is called. A transfer needs a phone network that has conferences (Twilio, with an account):
elsewhere, as beside `make run`, the caller is told that nobody can be reached.
"""

from __future__ import annotations

import os

from talkwire_agent import Call, Refused, Talkwire
from talkwire_agent.events import CallTransferFailed, TurnEnd

HUMAN = os.environ.get("HUMAN", "+15550003333")
YES, NO = {"yes", "sure", "okay", "ok"}, {"no", "not", "later", "busy"}

tw = Talkwire()
agent = tw.agent("handover", greeting="Hello. Say human, and I get you one.")
agent.phone("+15550002222")


@agent.on("turn.end")
async def answer(turn: TurnEnd, call: Call) -> None:
    words = set(turn.text.lower().replace(",", " ").replace(".", " ").split())
    caller = agent.calls.get(call.transfer_of or "")
    if caller is not None:
        await ask(words, call, caller)
    elif "human" in words:
        await hand_over(call)
    else:
        call.reply("I can get you a human. Say human, please.")


async def hand_over(call: Call) -> None:
    """The caller waits with music, while his own agent calls the human."""
    question = f"A caller from {call.from_} would like to speak with you. Shall I put him through?"
    try:
        await call.transfer(HUMAN, message="One moment, I ask.", consult=True, greeting=question)
    except Refused:
        call.reply("I am sorry, nobody can be reached from here.")


async def ask(words: set[str], human: Call, caller: Call) -> None:
    """What the human says to that."""
    if words & NO:
        await human.say("I tell him. Goodbye.")
        caller.cancel_transfer()
    elif words & YES:
        human.say("Here he is.")
        caller.complete_transfer()
    else:
        human.reply("Please say yes or no.")


@agent.on("call.transfer_failed")
def sorry(event: CallTransferFailed, call: Call) -> None:
    why = {"busy": "The line is busy", "no_answer": "Nobody answers"}.get(event.reason, "Nobody has time")
    call.say(f"I am sorry. {why}. Can I help you myself?")


if __name__ == "__main__":
    tw.run()
