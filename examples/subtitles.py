"""Live subtitles on the terminal: what the caller says as it is understood, what he hears word by word.

    .venv/bin/python examples/subtitles.py                    # beside `make run`
    .venv/bin/talkwire call examples/clips/hello.wav --barge-in 4 examples/clips/wait.wav

A word is printed when it is heard, not when it was sent. Interrupt the bot, and the line ends where it fell silent.
"""

from __future__ import annotations

import shutil

from talkwire_agent import Call, Talkwire
from talkwire_agent.events import UserMessage, UserSpeaking

STORY = (
    "Once upon a time there was a small wire that wanted to talk. All day long it listened to other wires, which "
    "carried the voices of people far away. The small wire remembered every word."
)

tw = Talkwire()
agent = tw.agent("subtitles", greeting="Hello. I tell you a story whenever you say something.")
agent.phone("+15550002222")


def line(who: str, text: str, *, done: bool) -> None:
    """Write over the line that is there, as much as it holds; ``done``: all of it, and begin the next one."""
    room = shutil.get_terminal_size().columns - 10
    shown = text if done or len(text) <= room else f"...{text[3 - room :]}"
    print(f"\r{who:>6} | {shown}\x1b[K", end="\n" if done else "", flush=True)


@agent.on("user.speaking")
def hearing(event: UserSpeaking) -> None:
    line("caller", event.text, done=False)


@agent.on("user.message")
def understood(event: UserMessage) -> None:
    line("caller", event.text, done=True)


@agent.on("bot.word")
def speaking(call: Call) -> None:
    line("bot", call.current_bot_text, done=False)


@agent.on("bot.finished")
def said(call: Call) -> None:
    line("bot", call.current_bot_text, done=True)


@agent.on("bot.interrupted")
def cut_off(call: Call) -> None:
    line("bot", f"{call.current_bot_text} --", done=True)


@agent.on("turn.end")
def answer(call: Call) -> None:
    call.reply(STORY)


if __name__ == "__main__":
    tw.run()
