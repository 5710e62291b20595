"""Callers in conversation, the agent that answers them, and what both saw, on one clock.

The callers hear through the simulated carrier's play-out buffer; the agent is a process on the real socket.
``loop.time()`` counts from the same zero in all processes of a Linux machine.
"""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import websockets

from benchmarks._engines import QUIET_MS, WORD_MS
from benchmarks._speech import RATE_HZ, Detector, Verdict, verdict
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
LONG_WORDS = 30
"""An answer that is long enough to be interrupted in."""
ANSWER_TIMEOUT_S = 5.0
AUDIBLE_GAP_MS = 60

Frame = dict[str, Any]


@dataclass(slots=True)
class Message:
    """One answer, as the agent's socket told of it."""

    replied_s: float
    words: list[tuple[int, float]] = field(default_factory=list)
    """Index and arrival of each ``bot.word``."""
    finished_ms: int | None = None
    interrupted_ms: int | None = None


class View:
    """What the agent sees of one call, and what it shall say next."""

    def __init__(self) -> None:
        self.next_words = 6
        self.messages: dict[str, Message] = {}
        self.onsets: list[float] = []
        """Arrivals of ``speech.started``."""
        self.turn_ends: list[tuple[float, int]] = []
        """Arrival of each ``turn.end``, and its ``latency_ms``."""
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
            return self._answer(frame, now)
        elif event == "bot.finished" and message is not None:
            message.finished_ms = frame["duration_ms"]
        elif event == "bot.interrupted" and message is not None:
            message.interrupted_ms = frame["played_ms"]
        elif event in ("error", "server.warning"):
            self.errors.append(str(frame))
        return None

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
    """One connection that answers all numbers."""

    def __init__(self, url: str, key: str, greeting: str = "") -> None:
        self._url = url
        self._key = key
        self._greeting = greeting
        self.views: dict[str, View] = defaultdict(View)
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
            create = {"event": "agent.create", "agent_id": f"gate-{gate_ms}", "greeting": self._greeting}
            await self._send({**create, "interruption": interruption})
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
        interrupt = self._turn % 3 == 0
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


def judge(callers: Sequence[Caller], detector: Detector) -> None:
    """Have the detector hear once more all that was said, without a server around it."""
    for caller in callers:
        begun = [(start, said) for said in caller.said if (start := said.speech.start_sample) is not None]
        edges = detector([(start, said.speech.clip) for start, said in begun]) if begun else []
        for start, said in begun:
            said.verdict = verdict(edges, start, said.speech.clip)


# --- what was seen ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Figures:
    """Samples of one run, all in ms."""

    response: list[float] = field(default_factory=list)
    response_own: list[float] = field(default_factory=list)
    """Less the endpointing wait and the providers' delays."""
    response_detector: list[float] = field(default_factory=list)
    response_rest: list[float] = field(default_factory=list)
    """Less the detector's own error about the end, too."""
    turn_end: list[float] = field(default_factory=list)
    """``turn.end`` at the agent against its due time by what the detector said."""
    reply: list[float] = field(default_factory=list)
    """From the agent's answer to its first audible sample, less the voice's delay."""
    onset: list[float] = field(default_factory=list)
    onset_detector: list[float] = field(default_factory=list)
    onset_rest: list[float] = field(default_factory=list)
    barge: dict[int, list[float]] = field(default_factory=lambda: {gate: [] for gate in GATES_MS.values()})
    barge_detector: list[float] = field(default_factory=list)
    barge_rest: list[float] = field(default_factory=list)
    word: list[float] = field(default_factory=list)
    played: list[float] = field(default_factory=list)
    duration: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    """Audible holes in the bot's speech longer than the limit."""
    holes: int = 0
    """All holes, also those too short or too quiet to be heard."""
    missed: int = 0
    """Utterances without an answer."""
    not_interrupted: int = 0
    no_onset: int = 0
    unheard_words: int = 0
    """Words that were told although none of their samples was played."""
    faults: list[str] = field(default_factory=list)


def figures(
    callers: Sequence[Caller], window: tuple[float, float], silence_ms: float, tts_ms: float
) -> Figures:
    out = Figures()
    for caller in callers:
        call = caller.call
        if caller.failure or call is None:
            out.faults.append(caller.failure or "the call was never placed")
            continue
        out.missed += caller.missed
        out.faults += [*call.faults, *caller.view.errors]
        reader = _Reader(call, caller, window, out)
        reader.responses(silence_ms, tts_ms)
        reader.onsets()
        reader.interruptions()
        reader.messages()
        reader.holes()
    return out


class _Reader:
    """Adds what one caller saw within the window."""

    def __init__(
        self, call: SimulatedCall, caller: Caller, window: tuple[float, float], out: Figures
    ) -> None:
        self._playback = call.playback
        self._caller = caller
        self._window = window
        self._out = out
        begun = [said for said in caller.said if said.speech.start_sample is not None]
        self._said = [said for said in begun if self._inside(said.speech.onset_s)]

    def _inside(self, at_s: float) -> bool:
        return self._window[0] <= at_s < self._window[1]

    def responses(self, silence_ms: float, tts_ms: float) -> None:
        loud = self._playback.loud
        for said in self._said:
            end_s = said.speech.voice_end_s
            replies = [m.replied_s for m in self._caller.view.messages.values()]
            reply = next((at for at in replies if end_s < at < end_s + ANSWER_TIMEOUT_S), None)
            if reply is None:
                continue
            index = bisect_left(loud, reply, key=lambda span: span[0])
            if index == len(loud) or loud[index][0] > end_s + ANSWER_TIMEOUT_S:
                continue
            response = (loud[index][0] - end_s) * 1000
            own = response - silence_ms - tts_ms
            self._out.response.append(response)
            self._out.response_own.append(own)
            self._out.reply.append((loud[index][0] - reply) * 1000 - tts_ms)
            if said.verdict is not None:
                detector = said.verdict.end_ms
                self._out.response_detector.append(detector)
                self._out.response_rest.append(own - detector)
                self._out.turn_end.append((reply - end_s) * 1000 - silence_ms - detector)

    def onsets(self) -> None:
        for said in self._said:
            onset_s = said.speech.onset_s
            arrival = next((at for at in self._caller.view.onsets if onset_s < at < onset_s + 1.5), None)
            if arrival is None:
                self._out.no_onset += 1
                continue
            delay = (arrival - onset_s) * 1000
            self._out.onset.append(delay)
            if said.verdict is not None:
                self._out.onset_detector.append(said.verdict.certain_ms)
                self._out.onset_rest.append(delay - said.verdict.certain_ms)

    def interruptions(self) -> None:
        cuts = [stretch.end_s for stretch in self._playback.stretches if stretch.cleared_at is not None]
        for said in self._said:
            if not said.barge_in:
                continue
            onset_s = said.speech.onset_s
            cut_s = next((at for at in cuts if onset_s < at < onset_s + 1.5), None)
            if cut_s is None:
                self._out.not_interrupted += 1
                continue
            delay = (cut_s - onset_s) * 1000
            self._out.barge[self._caller.gate_ms].append(delay)
            if said.verdict is not None:
                detector = said.verdict.onset_ms
                self._out.barge_detector.append(detector)
                self._out.barge_rest.append(delay - self._caller.gate_ms - detector)

    def messages(self) -> None:
        stretches = self._playback.stretches
        for message in self._caller.view.messages.values():
            index = bisect_left(stretches, message.replied_s, key=lambda stretch: stretch.start_s)
            if index == len(stretches) or not self._inside(message.replied_s):
                continue
            base = stretches[index].first_sample
            self._words(message, base)
            end = next((s for s in stretches[index:] if s.cleared_at is not None), None)
            if message.interrupted_ms and end is not None:
                heard = end.first_sample + end.heard - base
                self._out.played.append(abs(message.interrupted_ms - heard * 1000 / RATE_HZ))
            elif message.finished_ms is not None and message.words:
                told = (max(i for i, _ in message.words) + 1) * WORD_MS - QUIET_MS
                first_s, last_s = self._instant(base), self._instant(base + told * RATE_HZ // 1000 - 1)
                if first_s is not None and last_s is not None:
                    self._out.duration.append(abs(message.finished_ms - (last_s - first_s) * 1000))

    def _instant(self, sample: int) -> float | None:
        return self._playback.instant_of(sample) if sample < self._playback.received else None

    def _words(self, message: Message, base: int) -> None:
        for index, arrival in message.words:
            audible_s = self._instant(base + index * WORD_MS * RATE_HZ // 1000)
            if audible_s is None:
                self._out.unheard_words += 1
            else:
                self._out.word.append((arrival - audible_s) * 1000)

    def holes(self) -> None:
        for hole in self._playback.underruns(within_ms=1000):
            if self._inside(hole.at_s):
                self._out.holes += 1
                if hole.in_speech and hole.duration_ms > AUDIBLE_GAP_MS:
                    self._out.gaps.append(hole.duration_ms)


def at_share(samples: Sequence[float], share: float) -> float | None:
    """A percentile; None without samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
