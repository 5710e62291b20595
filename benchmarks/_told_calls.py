"""Random calls on virtual time between the real session and a far end that knows what it played."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from benchmarks._far_end import FarEnd, Network
from benchmarks._known_voice import KnownVoice, Studio
from benchmarks._pbx_end import pbx_leg
from pipeline.config import Engines, SessionConfig
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    EndReason,
    Event,
    TurnEnd,
)
from pipeline.session import Session
from tests.fakes.llm import FakeLlm, Says
from tests.fakes.loop import run_virtual
from tests.fakes.stt import FakeStt, Hears
from tests.fakes.vad import FakeVad

E = TypeVar("E")
HOLDING = "One moment, please."
STEP_S = 0.06
PATIENCE_S = 40.0
PBX_LEAD_MS = 60
"""As ``TALKWIRE_AUDIOSOCKET_LEAD_MS`` has it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One call. ``sentences`` are said once each."""

    seed: int
    voice: tuple[str, str]
    word_times: bool
    own_mind: bool
    """The call answers by itself; else an agent does."""
    speed: float
    """Seconds of audio that the voice gives in a second."""
    messages: int
    sentences: tuple[str, ...]
    network: Network
    pbx: bool = False
    """It comes from a PBX, by AudioSocket; else its carrier confirms what was played."""
    way_ms: int = 0
    """What the operator says of the way from the PBX to the ear."""


def plans(
    calls: int,
    seed: int,
    studio: Studio,
    sentences: list[str],
    network: Network,
    *,
    slow: float = 0.0,
    pbx: bool = False,
    way_ms: int = 0,
) -> Iterator[Plan]:
    """``slow``: share of calls whose voice is slower than speech."""
    rng = random.Random(seed)
    for number in range(calls):
        speed = rng.choice((5.0, 2.0, 1.2)) if rng.random() >= slow else 0.85
        yield Plan(
            seed=rng.randrange(2**31),
            voice=studio.voices[number // 2 % len(studio.voices)],
            word_times=number % 2 == 0,
            own_mind=rng.random() < 0.3,
            speed=speed,
            messages=10,
            sentences=tuple(rng.sample(sentences, 36)),
            network=network,
            pbx=pbx,
            way_ms=way_ms,
        )


@dataclass
class Call:
    """A call that is over: what was told, and what was so."""

    plan: Plan
    far: FarEnd
    voice: KnownVoice
    log: list[tuple[float, Event]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """All that the bot was given to say, each once."""

    def of(self, kind: type[E]) -> list[tuple[float, E]]:
        return [(at, event) for at, event in self.log if isinstance(event, kind)]


def hold(plan: Plan, studio: Studio) -> Call:
    """Play one call to its end."""
    return run_virtual(_hold(plan, studio))


async def _hold(plan: Plan, studio: Studio) -> Call:
    loop = asyncio.get_running_loop()
    rng = random.Random(plan.seed)
    far = FarEnd(plan.network, rng.randrange(2**31))
    voice = KnownVoice(
        studio,
        plan.voice,
        np.random.default_rng(plan.seed),
        word_times=plan.word_times,
        first_audio_s=rng.uniform(0.1, 0.4),
        speed=plan.speed,
    )
    call = Call(plan, far, voice)
    ear = FakeStt(
        otherwise=Hears("I would like something else", ("I",), final_delay_s=rng.uniform(0.05, 0.4))
    )
    await ear.start()
    driver = _Driver(plan, rng, call, ear)
    numbers = itertools.count(1)
    config = SessionConfig(
        greeting=driver.text(), holding_text=HOLDING if plan.own_mind else "", prompt="Be brief."
    )
    pbx = pbx_leg(far, PBX_LEAD_MS, plan.way_ms) if plan.pbx else None
    session = Session(
        pbx or far,
        Engines(FakeVad(), ear, voice, driver.mind),
        config,
        lambda event: call.log.append((loop.time(), event)),
        lambda: f"{next(numbers):012d}{0:020d}",
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run())
        if pbx is not None:
            tasks.create_task(pbx.run(session))
        else:
            far.listener = session
        await driver.talk(session)
        session.end(EndReason.HANGUP, "the caller hung up")
        call.log.append((loop.time(), await running))
    return call


class _Driver:
    """The caller's will, and the agent's."""

    def __init__(self, plan: Plan, rng: random.Random, call: Call, ear: FakeStt) -> None:
        self._plan = plan
        self._ear = ear
        self._rng = rng
        self._call = call
        self._far = call.far
        self._sentences = list(plan.sentences)
        self.mind: FakeLlm | None = None
        if plan.own_mind:
            script = [
                Says(self.text(), first_s=rng.choice((0.3, 0.6, 2.8)), word_s=rng.choice((0.02, 0.06)))
                for _ in range(plan.messages)
            ]
            self.mind = FakeLlm(*script, otherwise=Says("", first_s=0.1))

    def text(self) -> str:
        """Something new to say."""
        count = self._rng.choice((1, 1, 2, 3))
        said, self._sentences = self._sentences[:count], self._sentences[count:]
        text = " ".join(said)
        if text:
            self._call.texts.append(text)
        return text

    async def talk(self, session: Session) -> None:
        await self._live_through(session, self._spoken_to())
        for number in range(self._plan.messages):
            if self.mind is not None:
                if not self.mind.script:
                    break
                await self._ask()
                await self._live_through(session, self._spoken_to())
            else:
                text = self.text()
                if not text:
                    break
                if self._rng.random() < 0.5 or self._call.of(BotInterrupted):
                    await self._ask()
                await self._answer(session, f"m{number}", text)
                await self._live_through(session, self._spoken_to(f"m{number}"))
        await self._far.silence(self._rng.choice((0.2, 1.5)))

    async def _ask(self) -> None:
        """The caller says something, and waits until that is understood."""
        ends = len(self._call.of(TurnEnd))
        await self._far.speak(self._rng.uniform(0.8, 1.6))
        await self._until(lambda: len(self._call.of(TurnEnd)) > ends, 4.0)

    async def _answer(self, session: Session, message_id: str, text: str) -> None:
        if self._rng.random() < 0.6:
            session.saying.reply(message_id, text, session.saying.reply_to)
            return
        session.saying.stream_start(message_id, session.saying.reply_to)
        for word in text.split(" "):
            session.saying.stream_chunk(message_id, f"{word} ")
            if self._rng.random() < 0.5:
                await self._far.silence(0.04)
        session.saying.stream_end(message_id)

    def _spoken_to(self, message_id: str | None = None) -> Callable[[], str | None]:
        """What is being said that was not when this was called."""
        before = {event.message_id for _, event in self._call.of(BotSpeaking)}

        def begun() -> str | None:
            new = [
                event.message_id for _, event in self._call.of(BotSpeaking) if event.message_id not in before
            ]
            return (new[-1] if new else None) if message_id is None or message_id in new else None

        return begun

    async def _live_through(self, session: Session, begun: Callable[[], str | None]) -> None:
        """Wait for what is to be said, and hear it out, or not."""
        await self._until(lambda: begun() is not None, 8.0)
        rng = self._rng
        if begun() is None:
            return
        for _ in range(rng.choice((0, 0, 1, 2))):
            # Something that the bot pauses for, and then goes on.
            await self._until(lambda: self._silent(begun()), rng.uniform(0.3, 4.0))
            if not self._silent(begun()):
                await self._disturb(session)
        if rng.random() < 0.6:
            early = rng.random() < 0.25
            delay_s = rng.uniform(0.2, 2.2) if early else rng.uniform(1.8, 9.0)
            await self._until(lambda: self._silent(begun()), delay_s)
            if not self._silent(begun()):
                await self._cut(session, begun())
        await self._until(lambda: self._silent(begun()), PATIENCE_S)
        await self._far.silence(rng.uniform(0.1, 1.0))

    async def _disturb(self, session: Session) -> None:
        rng = self._rng
        if rng.random() < 0.3:
            session.hold()
            await self._far.silence(rng.uniform(0.1, 2.0))
            session.unhold()
        else:
            self._ear.script.append(Hears("mhm", final_delay_s=rng.uniform(0.05, 0.4)))
            await self._far.speak(rng.uniform(0.15, 0.6))
        await self._far.silence(0.4)

    async def _cut(self, session: Session, message_id: str | None) -> None:
        if self.mind is None and self._rng.random() < 0.25:
            session.saying.cancel(self._rng.choice((None, message_id)))
        else:
            await self._far.speak(self._rng.uniform(0.9, 1.8))

    def _silent(self, message_id: str | None) -> bool:
        """It is over, and so is what was begun before it."""
        over = {e.message_id for _, e in self._call.of(BotFinished)}
        over |= {e.message_id for _, e in self._call.of(BotInterrupted)}
        begun = {e.message_id for _, e in self._call.of(BotSpeaking)}
        return begun <= over and message_id in over

    async def _until(self, holds: Callable[[], bool], patience_s: float) -> None:
        for _ in range(round(patience_s / STEP_S)):
            if holds():
                return
            # Not a multiple of any other period in the call.
            await self._far.silence(STEP_S)
