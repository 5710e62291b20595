"""What a call begins is the call's own in the log, whoever's news it was begun by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.contextvars import bind_contextvars, get_contextvars

from pipeline.calltasks import CallTasks
from pipeline.config import SessionConfig
from pipeline.ports import LlmEvent, LlmRequest, TtsEvent, TtsRequest
from pipeline.session import Session
from tests.fakes.llm import FakeLlm
from tests.fakes.tts import FakeTts
from tests.pipeline.test_session import PLAIN, Scene, call

MIND = SessionConfig(endpointing=PLAIN, prompt="Be kind.", raw_prompt=True)


class Model(FakeLlm):
    """Notes whose log lines its own would be."""

    def __init__(self) -> None:
        super().__init__("Yes, of course.")
        self.of: list[object] = []

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        self.of.append(get_contextvars().get("call_id"))
        async for event in super().generate(request):
            yield event


class Voice(FakeTts):
    """The same."""

    def __init__(self) -> None:
        super().__init__()
        self.of: list[object] = []

    async def speak(self, request: TtsRequest) -> AsyncGenerator[TtsEvent, None]:
        self.of.append(get_contextvars().get("call_id"))
        async for event in super().speak(request):
            yield event


def test_model_and_voice_of_a_call_are_its_own_whoever_tells_it_the_news() -> None:
    model, voice = Model(), Voice()

    def begins(session: Session) -> None:
        bind_contextvars(call_id="its own")

    async def script(scene: Scene) -> None:
        bind_contextvars(call_id="another")
        await scene.leg.speak(0.5)
        await scene.leg.silence(3.0)

    # It begins to run in the context of its own call; all that it is told comes in another one's.
    call(
        script,
        "really",
        config=MIND,
        mind=model,
        voice=voice,
        before=begins,
    )
    assert set(model.of) == set(voice.of) == {"its own"}


async def test_one_task_binds_nothing_for_another() -> None:
    seen: list[object] = []

    async def bind() -> None:
        bind_contextvars(call_id="bound inside")

    async def look() -> None:
        seen.append(get_contextvars().get("call_id"))

    bind_contextvars(call_id="its own")
    async with CallTasks() as tasks:
        bind_contextvars(call_id="another")
        tasks.create_task(bind(), name="binds")
        await asyncio.sleep(0)
        task = tasks.create_task(look(), name="looks")
    assert seen == ["its own"]
    assert task.get_name() == "looks"


async def test_what_fails_in_it_ends_it_as_in_any_group() -> None:
    async def fail() -> None:
        raise OSError("broken")

    with pytest.raises(ExceptionGroup) as raised:
        async with CallTasks() as tasks:
            tasks.create_task(fail())
    assert [str(error) for error in raised.value.exceptions] == ["broken"]
