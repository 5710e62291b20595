"""Callers in conversation, the agent that answers them, and what both saw, on one clock.

The callers hear through the simulated carrier's play-out buffer; the agent is a process on the real socket.
``loop.time()`` counts from the same zero in all processes of a Linux machine.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import websockets

from benchmarks._delays import LONG, REPLIES
from benchmarks._speech import Verdict
from telephony.carriers.twilio.simulator import (
    CallOptions,
    Clip,
    SimulatedCall,
    SimulatedCarrier,
    SimulatorError,
    Speech,
)

GATES_MS = {"+15550000300": 300, "+15550000200": 200}
"""The numbers that callers dial: each has its own voice duration that interrupts the bot."""
PROMPT = "You answer the telephone of a workshop for bicycles."
LONG_WORDS = 30
"""An answer that is long enough to be interrupted in."""
ANSWER_TIMEOUT_S = 5.0

Frame = dict[str, Any]


@dataclass(slots=True)
class Message:
    """One answer, as the agent's socket told of it."""

    told_s: float
    """When the agent answered with it, or was told that it can be heard."""
    words: list[tuple[int, float]] = field(default_factory=list)
    """Index and arrival of each ``bot.word``."""
    finished_ms: int | None = None
    interrupted_ms: int | None = None


class View:
    """What the agent sees of one call, and what it shall say next. ``watches``: the server's own language model
    answers, and the agent says nothing."""

    def __init__(self, *, watches: bool = False) -> None:
        self._watches = watches
        self.next_words = 6
        self.user_messages: list[tuple[float, str]] = []
        """Arrival and text of each ``user.message``."""
        self.eager: list[float] = []
        """Arrivals of ``eager.turn``."""
        self._user_lines = 0
        self._user_is_last = False
        self.messages: dict[str, Message] = {}
        self.onsets: list[float] = []
        """Arrivals of ``speech.started``."""
        self.turn_ends: list[tuple[float, int]] = []
        """Arrival of each ``turn.end``, and its ``latency_ms``."""
        self.continued: list[float] = []
        """Arrivals of ``turn.continued``: what was begun at the early edge was thrown away."""
        self.errors: list[str] = []

    def take(self, frame: Frame, now: float) -> Frame | None:
        """Note an event; returns the answer to it."""
        event = frame["event"]
        message = self.messages.get(frame.get("message_id", ""))
        if event == "bot.word" and message is not None:
            message.words.append((frame["word_index"], now))
        elif event == "speech.started":
            self.onsets.append(now)
        elif event == "turn.end":
            self.turn_ends.append((now, frame["latency_ms"]))
            return None if self._watches else self._answer(frame, now)
        elif event == "eager.turn":
            self.eager.append(now)
        elif event == "turn.continued":
            self.continued.append(now)
        elif event == "user.message":
            self.user_messages.append((now, frame["text"]))
            self._user_lines += not self._user_is_last
            self._user_is_last = True
        elif event == "message.confirmed":
            self._user_is_last = False
        elif event == "bot.speaking" and self._watches:
            self._hear_of(frame, now)
        elif event == "bot.finished" and message is not None:
            message.finished_ms = frame["duration_ms"]
        elif event == "bot.interrupted" and message is not None:
            message.interrupted_ms = frame["played_ms"]
        elif event in ("error", "server.warning"):
            self.errors.append(str(frame))
        return None

    @property
    def next_reply(self) -> int:
        """The place among the replies of the answer to what the caller says next: as the endpoint counts, to which
        lines of the user that follow one another are one."""
        return (self._user_lines - self._user_is_last) % len(REPLIES)

    def _hear_of(self, frame: Frame, now: float) -> None:
        if frame["text"]:
            # An answer comes in pieces; only what the server says on its own account has its text at once.
            self.errors.append(f"the server said: {frame['text']}")
        else:
            self.messages[frame["message_id"]] = Message(now)

    def _answer(self, turn: Frame, now: float) -> Frame:
        message_id = f"answer_{len(self.messages)}"
        self.messages[message_id] = Message(now)
        return {
            "event": "bot.reply",
            "call_id": turn["call_id"],
            "message_id": message_id,
            "text": "word " * (self.next_words - 1) + "word.",
            "in_reply_to": turn["message_id"],
        }


class Agent:
    """One connection that answers all numbers. ``llm``: it has the server answer, and watches."""

    def __init__(self, url: str, key: str, greeting: str = "", llm: str | None = None) -> None:
        self._url = url
        self._key = key
        self._agent = {"greeting": greeting} | (
            {"llm": llm, "prompt": PROMPT, "preparing": False} if llm else {}
        )
        self.watches = llm is not None
        self.views: dict[str, View] = defaultdict(lambda: View(watches=self.watches))
        self.errors: list[str] = []

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._stack = AsyncExitStack()
        self._socket = await self._stack.enter_async_context(
            websockets.connect(f"{self._url}/client", compression=None, max_size=None)
        )
        await self._send({"event": "connect", "api_key": self._key, "protocol": "talkwire/1"})
        await self._until("connected")
        for number, gate_ms in GATES_MS.items():
            interruption = {"enabled": True, "min_duration_ms": gate_ms}
            create = {"event": "agent.create", "agent_id": f"gate-{gate_ms}", **self._agent}
            await self._send({**create, "interruption": interruption, "turn_detection": {"silence_ms": 500}})
            await self._until("agent.created")
            await self._send(
                {"event": "channel.add", "agent_id": f"gate-{gate_ms}", "type": "phone", "ref": number}
            )
            await self._until("channel.added")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Answer until cancelled."""
        async for text in self._socket:
            frame = json.loads(text)
            now = self._loop.time()
            call_id = frame.get("call_id")
            if call_id is None:
                if frame["event"] in ("error", "server.warning"):
                    self.errors.append(str(frame))
                continue
            answer = self.views[call_id].take(frame, now)
            if answer is not None:
                await self._send(answer)

    async def _send(self, frame: Frame) -> None:
        await self._socket.send(json.dumps(frame))

    async def _until(self, event: str) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while (frame := json.loads(await self._socket.recv()))["event"] != event:
                if frame["event"] == "error":
                    raise RuntimeError(f"the server refused the agent: {frame}")


@dataclass(slots=True)
class Said:
    """Something that a caller said."""

    speech: Speech
    barge_in: bool
    verdict: Verdict | None = None
    """What the detector alone makes of it, once ``judged``."""


class Caller:
    """One caller: speaks, waits for the answer, hears it out; interrupts each third one, which is long."""

    def __init__(self, index: int, agent: Agent, voices: Sequence[Clip], seed: int) -> None:
        self._random = random.Random(seed * 1000 + index)
        self._number = list(GATES_MS)[index % len(GATES_MS)]
        self._agent = agent
        self._voices = voices
        self._from = f"+1666{index:07d}"
        self._turn = index  # Not all interrupt at the same time.
        self.gate_ms = GATES_MS[self._number]
        self.said: list[Said] = []
        self.missed = 0
        self.failure = ""
        self.call: SimulatedCall | None = None

    @property
    def view(self) -> View:
        return self._agent.views[self.call.call_sid] if self.call is not None else View()

    async def run(self, carrier: SimulatedCarrier, start_s: float, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, start_s - loop.time()))
        try:
            options = CallOptions(keep_audio=False)
            self.call = await carrier.place_call(self._from, self._number, options=options)
            await asyncio.sleep(self._random.uniform(0.3, 1.5))
            while not stop.is_set():
                await self._exchange(self.call, stop)
        except SimulatorError as error:
            self.failure = str(error)

    async def _exchange(self, call: SimulatedCall, stop: asyncio.Event) -> None:
        self._turn += 1
        interrupt = self.view.next_reply == LONG if self._agent.watches else self._turn % 3 == 0
        self.view.next_words = LONG_WORDS if interrupt else self._random.randint(4, 12)
        answer_s = await self._say(call, barge_in=False)
        if interrupt and answer_s is not None:
            at_s = answer_s + self._random.uniform(2.5, 3.5)
            await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
            if stop.is_set():
                return
            self.view.next_words = self._random.randint(4, 8)
            await self._say(call, barge_in=True)
        await call.bot_quiet(self._random.uniform(700, 1000))

    async def _say(self, call: SimulatedCall, *, barge_in: bool) -> float | None:
        """Say something; returns when the answer begins."""
        speech = call.say(self._random.choice(self._voices))
        self.said.append(Said(speech, barge_in))
        await speech.finished()
        try:
            return await call.bot_speaking(after_s=speech.voice_end_s, timeout_s=ANSWER_TIMEOUT_S)
        except TimeoutError:
            self.missed += 1
            return None
