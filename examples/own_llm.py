"""Thinks in this process: each answer is spoken while the model is still making it.

    .venv/bin/pip install openai                              # and OPENAI_API_KEY, or OPENAI_BASE_URL
    .venv/bin/python examples/own_llm.py                      # beside `make run`
    .venv/bin/talkwire call examples/clips/hello.wav

``OPENAI_MODEL`` names the model. Without key and address it has a parrot in the model's place, that runs anywhere. Any
async iterator of texts will do for ``stream.write``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from talkwire_agent import Call, Talkwire
from talkwire_agent.events import TurnEnd

PROMPT = "You are on the phone. Answer in one or two short sentences, without lists and markdown."
MODEL = "gpt-4o-mini"
GREETING = "Hello. What would you like to talk about?"

tw = Talkwire()
agent = tw.agent("thinker", greeting=GREETING)
agent.phone("+15550002222")


def conversation(call: Call) -> list[dict[str, str]]:
    """What a model is to know: of its own answers what the caller has heard."""
    said = [{"role": message.role, "content": message.content} for message in call.transcript]
    return [{"role": "system", "content": PROMPT}, *said]


async def tokens(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    """The answer, piece by piece."""
    if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        for word in f"I have no model, but I heard you say: {messages[-1]['content']}.".split():
            yield f"{word} "
        return
    import openai

    asked: Any = messages
    async with openai.AsyncOpenAI(api_key=os.environ.get("OPENAI_API_KEY") or "none") as client:
        model = os.environ.get("OPENAI_MODEL", MODEL)
        async with await client.chat.completions.create(model=model, messages=asked, stream=True) as answer:
            async for chunk in answer:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    yield text


@agent.on("turn.end")
async def answer(turn: TurnEnd, call: Call) -> None:
    # Where the user goes on or interrupts, the block is left at once, and the model is asked no further.
    async with call.reply_stream() as stream:
        async for token in tokens(conversation(call)):
            await stream.write(token)


if __name__ == "__main__":
    tw.run()
