"""Conversations that nobody would script: whatever happens in them, what is told stays true and in order.

Each seed is one call on virtual time, with an ear that mishears, fails and is silent, a voice that is slow and
breaks, a line that loses marks, and an agent that answers late, twice and to the wrong words. ``check`` of
``test_session`` looks at every one of them.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from pipeline.errors import ProviderError
from pipeline.events import BotFinished, BotInterrupted, BotWord, EagerTurn, MessageConfirmed, TurnEnd
from tests.fakes.leg import FakeLeg
from tests.fakes.tts import FakeTts, Plan
from tests.pipeline.test_session import Scene, call

SEEDS = range(150)
TEXTS = ["", "", "yes", "hold on", "what time is it", "I would like a room for two"]


class WeakLeg(FakeLeg):
    """Loses every fifth mark or so."""

    rng = random.Random(0)

    def mark(self, name: str) -> None:
        if self.rng.random() > 0.2:
            super().mark(name)


def _voice(rng: random.Random) -> FakeTts:
    voice = FakeTts(word_ms=rng.choice([80, 250]), word_times=rng.random() < 0.8)
    plans = [Plan(), Plan(per_word_s=0.4), Plan(first_audio_s=0.7), Plan(fail_after_words=rng.randrange(3))]
    voice.script(*rng.choices(plans, weights=[6, 1, 1, 1], k=30))
    return voice


def _ear(rng: random.Random) -> list[str | ProviderError]:
    texts: list[str | ProviderError] = list(rng.choices(TEXTS, k=20))
    texts[rng.randrange(20)] = ProviderError("scripted", "stt", "broken")
    return texts


class Agent:
    """Does at each step what an agent might do, sensible or not."""

    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self._scene = scene
        self._rng = rng
        self._ids = [f"m{number}" for number in range(40)]
        self._next = 0

    async def step(self) -> None:
        rng, leg = self._rng, self._scene.leg
        act = rng.choice([self._reply, self._reply, self._stream, self._cancel, None, None])
        if act is not None:
            act()
        if rng.random() < 0.5:
            await leg.speak(rng.choice([0.06, 0.2, 0.5, 1.2]))
        await leg.silence(rng.choice([0.1, 0.35, 0.6, 1.5]))

    def _message_id(self) -> str:
        self._next = min(self._next + 1, len(self._ids) - 1)
        return self._ids[self._next]

    def _in_reply_to(self) -> str:
        known = [end.message_id for end in self._scene.of(TurnEnd)]
        known += [eager.message_id for eager in self._scene.of(EagerTurn)]
        return self._rng.choice(["", self._scene.session.reply_to, *known[-2:]])

    def _reply(self) -> None:
        text = self._rng.choice(
            ["Yes.", "It is ten. What else?", "one two three four five six seven eight nine ten"]
        )
        self._scene.session.reply(self._message_id(), text, self._in_reply_to())

    def _stream(self) -> None:
        session, message_id = self._scene.session, self._message_id()
        session.stream_start(message_id, self._in_reply_to())
        for token in self._rng.choices(["Well. ", "and so on ", "3.5 ", "Mr. "], k=self._rng.randrange(5)):
            session.stream_chunk(message_id, token)
        if self._rng.random() < 0.8:
            session.stream_end(message_id)

    def _cancel(self) -> None:
        self._scene.session.cancel(self._rng.choice([None, *self._ids[: self._next + 1]]))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_promises_hold(seed: int) -> None:
    rng = random.Random(seed)
    WeakLeg.rng = random.Random(seed)

    async def script(scene: Scene) -> None:
        agent = Agent(scene, rng)
        for _ in range(15):
            await agent.step()
        await asyncio.sleep(rng.choice([0.0, 0.05, 3.0]))

    scene = call(script, *_ear(rng), voice=_voice(rng), leg=rng.choice([FakeLeg, WeakLeg]))
    _each_word_once_and_in_order(scene)
    _what_is_confirmed_was_told(scene)


def _each_word_once_and_in_order(scene: Scene) -> None:
    told: dict[str, int] = {}
    for word in scene.of(BotWord):
        assert word.word_index == told.get(word.message_id, 0)
        told[word.message_id] = word.word_index + 1
    for cut in scene.of(BotInterrupted):
        assert cut.words_spoken <= told.get(cut.message_id, 0)


def _what_is_confirmed_was_told(scene: Scene) -> None:
    words: dict[str, list[str]] = {}
    for word in scene.of(BotWord):
        words.setdefault(word.message_id, []).append(word.word)
    finished = {event.message_id for event in scene.of(BotFinished)}
    for confirmed in scene.of(MessageConfirmed):
        said = words[confirmed.message_id]
        heard = confirmed.text.split()
        assert heard == said if confirmed.message_id in finished else heard == said[: len(heard)]
