"""Random calls whose server thinks by itself, on engines that are slow, fail and break off."""

from __future__ import annotations

import asyncio
import random

import pytest

from pipeline.chain import Choice, Deadlines, Health, LlmChain
from pipeline.config import Engines, SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.errors import ProviderError
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    BotWord,
    LlmAsked,
    MessageConfirmed,
    UserMessage,
)
from tests.fakes.llm import FakeLlm, Says
from tests.fakes.tts import FakeTts, Plan
from tests.fakes.vad import FakeVad
from tests.pipeline.test_session import Scene, ScriptedEar, call

SEEDS = range(80)
NEVER = 1e6
DEADLINES = Deadlines(answer_s=1.5, last_s=4.0, gap_s=3.0)
TEXTS = ("Yes.", "It is ten. What else? I am here.", "la " * 30 + "end.", "Mr. Smith, 3.5 of **them**.", "")
HEARD = ("", "yes", "mhm", "hold on", "what time is it", "I would like a room for two")


def _fault(rng: random.Random, stage: str) -> ProviderError:
    return ProviderError("fake", stage, "as the dice fell", retryable=rng.random() < 0.7)


class RandomLlm(FakeLlm):
    """Each request meets another fate."""

    def __init__(self, rng: random.Random, name: str) -> None:
        fates = [
            Says(rng.choice(TEXTS), first_s=rng.choice([0.05, 0.3, 1.0]), word_s=rng.choice([0, 0.05, 0.4]))
        ]
        fates += [
            Says(rng.choice(TEXTS), fail_after=rng.randrange(5), error=_fault(rng, "llm")),
            Says(rng.choice(TEXTS), first_s=rng.choice([1.6, 3.0, NEVER])),
            Says(rng.choice(TEXTS), word_s=NEVER),
        ]
        weights = [6, *(rng.choice([0, 1, 3]) for _ in fates[1:])]
        super().__init__(*rng.choices(fates, weights, k=40), name=name)


class RandomVoice(FakeTts):
    def __init__(self, rng: random.Random) -> None:
        super().__init__(word_ms=rng.choice([80, 250]), word_times=rng.random() < 0.5)
        fates = [
            Plan(),
            Plan(first_audio_s=rng.choice([0.5, 1.7, NEVER])),
            Plan(per_word_s=rng.choice([0.3, NEVER])),
            Plan(fail_after_words=rng.randrange(4), error=_fault(rng, "tts")),
        ]
        weights = [6, *(rng.choice([0, 1, 2]) for _ in fates[1:])]
        self.script(*rng.choices(fates, weights, k=80))


def _ear(rng: random.Random) -> type[ScriptedEar]:
    delay_s = rng.choice([0.05, 0.3, 2.3])

    class RandomEar(ScriptedEar):
        def __init__(self, *texts: str | ProviderError) -> None:
            super().__init__(*texts, delay_s=delay_s)

    return RandomEar


async def _step(
    scene: Scene, rng: random.Random, changed: Engines, config: SessionConfig, pauses: list[tuple[int, bool]]
) -> None:
    session = scene.session
    match rng.randrange(11):
        case 0:
            session.saying.reply(
                f"m{rng.randrange(10**9)}", rng.choice(TEXTS), rng.choice(["", session.saying.reply_to])
            )
        case 1:
            session.saying.cancel(None)
        case 2:
            session.saying.finish_streams()
        case 3 if rng.random() < 0.3:
            session.reconfigure(changed, config, other_ears=rng.random() < 0.5)
        case 4:
            on = rng.random() < 0.5
            session.pause(on=on)
            pauses.append((len(scene.log), on))
        case 5 if rng.random() < 0.3:
            session.hold()
            await scene.leg.silence(1.0)
            session.unhold()
        case _:
            await scene.leg.speak(rng.choice([0.06, 0.2, 0.5, 1.2]))
    await scene.leg.silence(rng.choice([0.1, 0.4, 0.8, 2.0, 4.0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_the_engines_do_the_promises_hold(seed: int) -> None:
    rng = random.Random(seed)
    health = Health()
    models = [RandomLlm(rng, name) for name in "ab"[: rng.randint(1, 2)]]
    mind = LlmChain([Choice(model) for model in models], DEADLINES, health)
    texts = [_fault(rng, "stt") if rng.random() < 0.15 else rng.choice(HEARD) for _ in range(40)]
    config = SessionConfig(
        prompt="Be kind.",
        raw_prompt=True,
        greeting=rng.choice(["", "Hello there."]),
        holding_text=rng.choice(["", "One moment."]),
        trouble_text=rng.choice(["", "Say that again."]),
        endpointing=Endpointing(mode="silence", silence_ms=rng.choice([300, 500, 1000])),
    )
    problems: list[object] = []
    pauses: list[tuple[int, bool]] = []
    """Where in the log the model was paused, and was not any more."""

    async def script(scene: Scene) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        other = Engines(FakeVad(), scene.ear, scene.voice, rng.choice([None, mind]))
        for _ in range(14):
            await _step(scene, rng, other, config, pauses)

    scene = call(script, *texts, config=config, voice=RandomVoice(rng), ear=_ear(rng), mind=mind)
    assert problems == []
    _words_come_once_and_in_order(scene)
    _nobody_is_asked_while_paused(scene, pauses)
    for model in models:
        _histories_are_what_was_heard(scene, model)


def _nobody_is_asked_while_paused(scene: Scene, pauses: list[tuple[int, bool]]) -> None:
    for place, (_, event) in enumerate(scene.log):
        if isinstance(event, LlmAsked):
            before = [on for at, on in pauses if at <= place]
            assert not before or not before[-1], "the model was asked while it was paused"


def _words_come_once_and_in_order(scene: Scene) -> None:
    told: dict[str, list[str]] = {}
    for word in scene.of(BotWord):
        assert word.word_index == len(told.setdefault(word.message_id, []))
        told[word.message_id].append(word.word)
    finished = {event.message_id for event in scene.of(BotFinished)}
    for confirmed in scene.of(MessageConfirmed):
        words, said = confirmed.text.split(), told[confirmed.message_id]
        assert words == (said if confirmed.message_id in finished else said[: len(words)])
    for cut in scene.of(BotInterrupted):
        assert cut.words_spoken <= len(told.get(cut.message_id, []))
    assert len({event.message_id for event in scene.of(BotSpeaking)}) == len(scene.of(BotSpeaking))


def _histories_are_what_was_heard(scene: Scene, model: FakeLlm) -> None:
    confirmed = {event.text for event in scene.of(MessageConfirmed)}
    said = [event.text for event in scene.of(UserMessage)]
    for request in model.requests:
        first, *rest = request.messages
        assert (first.role, first.content) == ("system", "Be kind.")
        assert rest[-1].role == "user"
        for message in rest:
            lines = message.content.split("\n")
            assert all(line in (said if message.role == "user" else confirmed) for line in lines)
