"""A language model that says what a test has written down, and waits by ``asyncio.sleep`` only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pipeline.errors import ProviderError
from pipeline.ports import LlmEnd, LlmEvent, LlmReasoning, LlmRequest, LlmText, LlmToolCalls, ToolCall


@dataclass(frozen=True, slots=True)
class Says:
    """What happens to one request."""

    text: str = "All right."
    first_s: float = 0.3
    """Before the first word."""
    word_s: float = 0.02
    """Before each word after it."""
    fail_after: int | None = None
    """Raise once so many words were given; 0: before any."""
    error: ProviderError | None = None
    """What is raised then; None: a retryable ``ProviderError``."""
    thoughts: tuple[str, ...] = ()
    """What it ponders before its text, ``first_s`` before each."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that it asks for behind the text, ``word_s`` after it."""
    finish_reason: str | None = None
    """None: ``stop``, or ``tool_calls`` where it asks for some."""


def asks(*calls: tuple[str, str], text: str = "", first_s: float = 0.3, ids: str = "call") -> Says:
    """An answer that asks for tools, by name and arguments: ``call_1`` and so on."""
    made = tuple(ToolCall(f"{ids}_{i}", name, arguments) for i, (name, arguments) in enumerate(calls, 1))
    return Says(text, first_s, calls=made)


class FakeLlm:
    """The engine. ``otherwise`` holds when the script is used up."""

    model: str | None = None

    def __init__(self, *script: Says | str, name: str = "fake", otherwise: Says | None = None) -> None:
        self.name = name
        self.script = deque(Says(s) if isinstance(s, str) else s for s in script)
        self.otherwise = otherwise or Says()
        self.requests: list[LlmRequest] = []
        self.cancelled = 0
        """Requests that were closed before they were over."""
        self.warmed = 0

    async def start(self) -> None: ...

    async def warm(self) -> None:
        self.warmed += 1

    async def aclose(self) -> None: ...

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        self.requests.append(request)
        plan = self.script.popleft() if self.script else self.otherwise
        words = plan.text.split(" ") if plan.text else []
        try:
            for thought in plan.thoughts:
                await asyncio.sleep(plan.first_s)
                yield LlmReasoning(thought)
            await asyncio.sleep(plan.first_s)
            for index, word in enumerate(words):
                if index:
                    await asyncio.sleep(plan.word_s)
                self._fail(plan, index)
                yield LlmText(word if index == 0 else f" {word}")
            self._fail(plan, len(words))
            if plan.calls:
                await asyncio.sleep(plan.word_s)
                yield LlmToolCalls(plan.calls)
            reason = plan.finish_reason or ("tool_calls" if plan.calls else "stop")
            yield LlmEnd(reason, 10, len(words) + len(plan.calls))
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise

    def _fail(self, plan: Says, given: int) -> None:
        if plan.fail_after is not None and given >= plan.fail_after:
            raise plan.error or ProviderError(self.name, "llm", "failed as the test wants it")
