"""The call's own mind: asks the language model at the early edge of a turn, and speaks what it answers.

To the rest of the call it is what an agent process is: it streams a reply to a message id, which is refused
where that id is stale, and discarded where the turn goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from pipeline.dialogue import Dialogue
from pipeline.errors import ProviderError
from pipeline.events import TurnRef
from pipeline.ports import LlmRequest, LlmText, Mind, Takeover

TRIES = 2
"""How often one answer is begun, where it broke off before any of it was heard."""


class Mouth(Protocol):
    """What the mind asks of the call."""

    def answer_start(self, message_id: str, in_reply_to: str) -> bool:
        """Begin to speak an answer. False: it is stale."""

    def answer_more(self, message_id: str, text: str) -> None: ...

    def answer_end(self, message_id: str, *, broken: bool) -> bool:
        """The answer is complete; or it broke off, and what is no whole sentence is dropped. False: there is
        not a word in what is left of it."""

    def withdraw(self, message_id: str) -> bool:
        """Take an answer back as if it had never been begun. False: some of it was heard."""

    def no_answer(self, turn: TurnRef, in_reply_to: str) -> None:
        """There will be none."""

    def told(self, error: ProviderError, by: str | None) -> None:
        """An engine failed; ``by`` takes its place."""


class Thinking:
    """At most one answer in the making."""

    def __init__(
        self,
        mind: Mind,
        dialogue: Dialogue,
        mouth: Mouth,
        ids: Callable[[], str],
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._mind = mind
        self._dialogue = dialogue
        self._mouth = mouth
        self._ids = ids
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._task: asyncio.Task[None] | None = None
        self._reply_to = ""
        self._message_id = ""
        self.silent = False
        """An answer is wanted, and nothing of it has come yet."""

    @property
    def message_id(self) -> str:
        """Of the answer in the making; empty: there is none."""
        return self._message_id

    def change(self, mind: Mind, temperature: float | None, max_tokens: int | None) -> None:
        """Think otherwise from the next answer on."""
        self._mind, self._temperature, self._max_tokens = mind, temperature, max_tokens

    def answer(self, tasks: asyncio.TaskGroup, turn: TurnRef, reply_to: str) -> None:
        """The user's turn looks over, or is: there is to be an answer. Told twice it is begun once."""
        if self._reply_to == reply_to:
            return
        self.cancel()
        self._reply_to = reply_to
        self._message_id = f"msg_{self._ids()[:12]}"
        self.silent = True
        thinking = self._think(turn, reply_to, self._message_id)
        self._task = tasks.create_task(thinking, name="language model")

    def discard(self, reply_to: str) -> None:
        """What is being thought in answer to this message is void."""
        if self._reply_to == reply_to:
            self.cancel()

    def silenced(self, message_id: str) -> None:
        """This message is not to be spoken any more."""
        if self._message_id == message_id:
            self.cancel()

    def cancel(self) -> None:
        """Stop thinking. The request is closed as soon as the loop comes to it."""
        task, self._task = self._task, None
        self._message_id = self._reply_to = ""
        self.silent = False
        if task is not None:
            task.cancel()

    async def _think(self, turn: TurnRef, reply_to: str, message_id: str) -> None:
        request = LlmRequest(
            self._dialogue.messages(), temperature=self._temperature, max_tokens=self._max_tokens
        )
        for left in range(TRIES - 1, -1, -1):
            error = await self._generate(request, message_id, reply_to)
            if error is None:
                break
            again = left > 0 and error.retryable and not self.silent and self._mouth.withdraw(message_id)
            self._mouth.told(error, error.provider if again else None)
            if again:
                self.silent = True
                continue
            if self.silent or not self._mouth.answer_end(message_id, broken=True):
                self._mouth.no_answer(turn, reply_to)
            break
        if self._message_id == message_id:
            self.silent = False

    async def _generate(self, request: LlmRequest, message_id: str, reply_to: str) -> ProviderError | None:
        """Speak one answer as it comes. Returns what broke it off."""
        try:
            async with aclosing(self._mind.generate(request)) as events:
                async for event in events:
                    if isinstance(event, Takeover):
                        self._mouth.told(event.error, event.by)
                    elif isinstance(event, LlmText):
                        if self.silent:
                            if not self._mouth.answer_start(message_id, reply_to):
                                return None
                            self.silent = False
                        self._mouth.answer_more(message_id, event.text)
        except ProviderError as error:
            return error
        if not self.silent:
            self.silent = not self._mouth.answer_end(message_id, broken=False)
        if self.silent:
            return ProviderError(self._mind.name, "llm", "the answer was empty", retryable=False)
        return None
