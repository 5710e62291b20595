"""The demo agent: a process of its own on the agent socket, as yours would be.

It thinks by rules, for no language model can be shipped with the server. It knows the phrases in ``HINTS``,
gives them to the recogniser as hints, and says so when it did not understand. With TALKWIRE_DEMO_LLM=1 (which
``make run`` sets where the server has a language model) it leaves the thinking to the server.

    TALKWIRE_URL (default ws://127.0.0.1:8080) and a key: TALKWIRE_API_KEYS, or the file 'api-key' in
    TALKWIRE_DATA_DIR (default ./data).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websockets

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SPELLABLE = ["banana", "telephone", "hello", "engineer"]
REPEATABLE = ["the weather is nice", "the quick brown fox", "testing testing"]
FAREWELLS = ["goodbye", "bye bye", "good bye", "goodbye then"]
STORY = (
    "Once upon a time there was a small wire that wanted to talk. All day long it listened to other wires, "
    "which carried the voices of people far away. One of them asked for the time, another told a joke, and a "
    "third only wanted to hear somebody breathe. The small wire remembered every word. One night a storm came "
    "down from the hills and silenced all the others. Then a doctor picked up the telephone, and the small "
    "wire spoke for the first time. It said only what it had heard, exactly when it had heard it, and that "
    "was enough. Since then, nobody has ever doubted a word it said."
)
HINTS = [
    "hello", "hi there", "good morning", "how are you", "who are you", "what can you do", "help me please",
    "what time is it", "can you tell me the time", "what is the time please",
    "what day is it", "tell me a story", "hold on a moment", "wait a moment please",
    "please count from one to three", "please count from one to ten", "can you count to five",
    "thank you very much", "no thank you", "yes please",
    *[f"can you spell the word {word}" for word in SPELLABLE],
    *[f"repeat after me {text}" for text in REPEATABLE],
    *FAREWELLS[:2],
]  # fmt: skip
HELP = "Ask for the time, ask me to count from one to ten, or say: tell me a story. Say goodbye to hang up."
GREETING = (
    "Hello, this is the Talkwire demo. Ask me for the time, to count to ten, to spell a word, or to tell you "
    "a story."
)
LLM_GREETING = "Hello, this is the Talkwire demo. What would you like to talk about?"
PROMPT = (
    "You are the demo agent of Talkwire, a voice agent server that people host themselves. Chat with the "
    "caller about whatever they like, briefly and warmly. If asked, say that every word of this call stays on "
    "the machine of whoever runs it, and with the engines that they have chosen."
)
LOST = "I did not understand that. You can ask for the time, or say: tell me a story."


@dataclass(frozen=True)
class Answer:
    text: str
    hang_up: bool = False


def answer(heard: str, now: datetime.datetime) -> Answer:
    """What to say to what was heard. Only a farewell, and nothing but a farewell, ends the call."""
    text = re.sub(r"[^a-z0-9' ]+", " ", heard.lower()).strip()
    text = re.sub(r"\s+", " ", text)
    if text in FAREWELLS:
        return Answer("Goodbye. It was nice to talk to you.", hang_up=True)
    if match := re.search(r"\brepeat after me (.+)", text):
        return Answer(f"You said: {match.group(1)}.")
    if match := re.search(r"\bspell (?:the word )?([a-z]+)$", text):
        word = match.group(1)
        return Answer(f"{word.capitalize()}: {', '.join(word.upper())}.")
    if match := re.search(rf"\bcount (?:from one )?to ({'|'.join(NUMBERS)})\b", text):
        return Answer(f"{', '.join(NUMBERS[: NUMBERS.index(match.group(1)) + 1]).capitalize()}.")
    return Answer(_small_talk(text, now) or LOST)


def _small_talk(text: str, now: datetime.datetime) -> str | None:
    if text in ("what time is it", "can you tell me the time", "what is the time please"):
        return f"It is {now.hour}:{now.minute:02d}."
    if text in ("what day is it", "what's the date"):
        return f"It is {now:%A}, the {_ordinal(now.day)} of {now:%B}."
    if text in ("tell me a story", "tell me your story", "a story"):
        return STORY
    rules = {
        "hello": "Hello again.",
        "hi there": "Hi. What can I do for you?",
        "good morning": "Good morning to you.",
        "how are you": "I am well, thank you. All my wires are connected.",
        "who are you": "I am the demo agent of Talkwire, a voice agent server that runs on your own machine.",
        "what can you do": HELP,
        "help me please": HELP,
        "hold on a moment": "All right, I am waiting.",
        "wait a moment please": "All right, I am waiting.",
        "thank you very much": "You are welcome.",
        "no thank you": "All right.",
        "yes please": "Good. What shall it be?",
    }
    return rules.get(text)


def _ordinal(day: int) -> str:
    suffix = "th" if 10 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


class DemoAgent:
    """Answers on one connection. ``farewells`` are messages after which the call is hung up. ``llm``: the
    server's language model answers instead."""

    def __init__(self, send: Any, *, llm: bool = False) -> None:
        self._send = send
        self._llm = llm
        self._farewells: dict[str, str] = {}
        self._count = 0
        self._again: asyncio.Task[None] | None = None
        self._run = os.urandom(4).hex()  # ids of an earlier connection may still be in a call's queue

    async def handle(self, event: dict[str, Any]) -> None:
        name = event.get("event")
        if name == "connected":
            await self._register()
        elif name == "agent.created":
            await self._send({"event": "channel.add", "agent_id": "demo", "type": "phone", "ref": "*"})
        elif name == "channel.added":
            print("demo agent: answering all numbers", flush=True)
        elif name == "ping":
            await self._send({"event": "pong"})
        elif name == "turn.end" and not self._llm:
            await self._reply(event)
        elif name == "bot.finished" and self._farewells.pop(event["message_id"], None):
            await self._send({"event": "call.hangup", "call_id": event["call_id"]})
        elif name == "bot.interrupted":
            self._farewells.pop(event["message_id"], None)
        elif name == "call.ended":
            self._farewells = {k: v for k, v in self._farewells.items() if v != event["call_id"]}
        elif name in ("error", "server.warning"):
            print(f"demo agent: {event.get('error') or event.get('warning')}", file=sys.stderr, flush=True)
            if (
                event.get("code") == "AGENT_CONFLICT"
            ):  # Most likely this agent's own connection, found dead soon.
                self._again = asyncio.create_task(self._register(event["retry_after_s"]))

    async def _register(self, after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        rules = {"greeting": GREETING, "stt": {"phrases": HINTS}}
        model = {"greeting": LLM_GREETING, "llm": {"enabled": True}, "prompt": PROMPT, "preparing": False}
        with contextlib.suppress(websockets.WebSocketException):  # It is gone; the next one registers.
            await self._send({"event": "agent.create", "agent_id": "demo", **(model if self._llm else rules)})

    async def _reply(self, event: dict[str, Any]) -> None:
        reply = answer(event["text"], datetime.datetime.now().astimezone())
        self._count += 1
        message_id = f"demo_{self._run}_{self._count}"
        if reply.hang_up:
            self._farewells[message_id] = event["call_id"]
        await self._send({
            "event": "bot.reply",
            "call_id": event["call_id"],
            "message_id": message_id,
            "text": reply.text,
            "in_reply_to": event["message_id"],
        })  # fmt: skip


def api_key() -> str:
    keys = os.environ.get("TALKWIRE_API_KEYS", "")
    if keys:
        return keys.split(",")[0].strip()
    return (Path(os.environ.get("TALKWIRE_DATA_DIR", "data")) / "api-key").read_text().strip()


async def run(url: str) -> None:
    """Connect, and connect again when the server went away."""
    wait_s = 0.2
    while True:
        try:
            async with websockets.connect(f"{url}/client", compression=None, max_size=None) as socket:
                await socket.send(json.dumps({
                    "event": "connect", "api_key": api_key(), "protocol": "talkwire/1", "client": "demo",
                }))  # fmt: skip

                async def send(message: dict[str, Any]) -> None:
                    await socket.send(json.dumps(message))

                agent = DemoAgent(send, llm=os.environ.get("TALKWIRE_DEMO_LLM", "") in ("1", "true"))
                async for text in socket:
                    event = json.loads(text)
                    if event.get("event") == "connected":
                        wait_s = 0.2
                    await agent.handle(event)
        except (OSError, websockets.WebSocketException) as error:
            print(
                f"demo agent: no connection ({error}); again in {wait_s:.1f} s", file=sys.stderr, flush=True
            )
        await asyncio.sleep(wait_s)
        wait_s = min(5.0, wait_s * 2)


if __name__ == "__main__":
    default = f"ws://127.0.0.1:{os.environ.get('TALKWIRE_PORT', '8080')}"
    try:
        asyncio.run(run(os.environ.get("TALKWIRE_URL", default).rstrip("/")))
    except KeyboardInterrupt:
        sys.exit(130)
