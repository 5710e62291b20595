"""The call's own mind: asks the language model at the early edge of a turn, speaks what it answers, and has the
tools run that it asks for.

To the rest of the call it is what an agent process is: it streams a reply to a message id, which is refused
where that id is stale, and discarded where the turn goes on.

An answer is one generation, or several where tools are asked for: each is a message of its own to the same
message id of the user. A generation may begin before the turn is over; no tool runs before that. When all tools
have ended that the last generation knew only as pending, the next one follows, unless the answer was cancelled
meanwhile; tools are not, and what they give is in the history of the next answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pipeline.dialogue import Dialogue
from pipeline.errors import ProviderError
from pipeline.events import NoResponseReason, TurnRef
from pipeline.ports import (
    ChatMessage,
    LlmEnd,
    LlmReasoning,
    LlmRequest,
    LlmText,
    LlmToolCalls,
    Mind,
    Takeover,
    ToolCall,
)
from pipeline.tools import Settled, Taken, Tool, ToolBatch, ToolResult, ToolRunner

TRIES = 2
"""How often one generation is begun, where it broke off before any of it was heard."""
MAX_ROUNDS = 8
"""After so many generations that asked for tools, or waited for them, comes one that may not."""

NEWS = "(What was pending has come in: see the results above.)"
"""The last word of a request whose history ends with the model's own: many models answer no such request."""


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

    def no_answer(self, turn: TurnRef, in_reply_to: str, error: ProviderError) -> None:
        """There will be none, for this reason."""

    def no_response(self, turn: TurnRef, message_id: str, reason: NoResponseReason) -> None:
        """There will be no more, and nothing is wrong with that."""

    def told(self, error: ProviderError, by: str | None) -> None:
        """An engine failed; ``by`` takes its place."""

    def asked(self, turn: TurnRef, message_id: str, provider: str, model: str | None) -> None:
        """The model is being asked; what it is called, where that is known."""

    def reasoned(self, turn: TurnRef, message_id: str, index: int, text: str, *, end: bool) -> None:
        """The model thinks aloud: a text, from index 0; at the ``end`` of it none."""

    def generated(self, turn: TurnRef, message_id: str, text: str, end: LlmEnd, provider: str) -> None:
        """The model has given all of an answer, at its own pace."""

    def ask_tools(self, batch: ToolBatch) -> None:
        """Tools are to run. ``tool_settled`` follows once for each, also for those that cannot."""

    def tool_settled(self, news: Settled) -> None:
        """A tool has ended."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is thought: read anew for each generation."""

    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    system: str = ""
    """The prompt."""


@dataclass(slots=True)
class _Answer:
    """To one message of the user."""

    turn: TurnRef
    reply_to: str
    manner: Manner | None = None
    confirmed: bool = False
    """The turn is over: tools may run."""
    rounds: int = 0
    """Generations so far."""
    held: tuple[ToolCall, ...] = ()
    """What is asked for as soon as the turn is over."""
    unseen: bool = False
    """There are results that the last generation did not know."""
    over: bool = False
    empty: str | None = None
    """The generation that gave nothing, while that may still be taken back."""
    text: list[str] = field(default_factory=list)
    """Of the generation in the making."""
    thoughts: int = 0
    """Of it that were told."""


@dataclass(frozen=True, slots=True)
class _Generated:
    end: LlmEnd
    calls: tuple[ToolCall, ...]
    provider: str


class _Stale(Exception):
    """Nobody wants the answer any more."""


class Thinking:
    """At most one answer in the making, and the tools of all answers.

    ``before`` is awaited before the first generation of each answer: what it changes of the dialogue and of how
    it is thought counts for that already.
    """

    def __init__(
        self,
        mind: Mind,
        dialogue: Dialogue,
        mouth: Mouth,
        ids: Callable[[], str],
        manner: Callable[[], Manner] = Manner,
        runner: ToolRunner | None = None,
        before: Callable[[TurnRef], Awaitable[None]] | None = None,
    ) -> None:
        self._mind = mind
        self._dialogue = dialogue
        self._mouth = mouth
        self._ids = ids
        self._manner = manner
        self._before = before
        self._runner = runner or ToolRunner()
        self._task: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._answer: _Answer | None = None
        self._reply_to = ""
        self._message_id = ""
        self.silent = False
        """An answer is wanted, and nothing of it has come yet, or nothing since tools began to run."""
        self.last = False
        """The generation in the making is the last one: no tool that it asks for runs, and none follows."""

    @property
    def message_id(self) -> str:
        """Of the generation in the making; empty: there is none."""
        return self._message_id

    @property
    def unfinished(self) -> bool:
        """There is, or will be, more of an answer than was said."""
        return self._answer is not None and not self._answer.over

    def change(self, mind: Mind) -> None:
        """Think otherwise from the next generation on."""
        self._mind = mind

    # --- answers ------------------------------------------------------------------------------------------

    def answer(self, tasks: asyncio.TaskGroup, turn: TurnRef, reply_to: str) -> None:
        """The user's turn looks over, or is: there is to be an answer. Told twice it is begun once."""
        if self._reply_to == reply_to:
            return
        self.cancel()
        self._tasks = tasks
        self._reply_to = reply_to
        self._answer = _Answer(turn, reply_to)
        self._begin(self._answer)

    def confirmed(self, reply_to: str) -> None:
        """The turn is over: the tools of its answer may run."""
        answer = self._answer
        if answer is None or answer.reply_to != reply_to or answer.confirmed:
            return
        answer.confirmed = True
        if answer.empty is not None:
            self._mouth.no_response(answer.turn, answer.empty, "empty")
        if answer.held:
            self._release(answer)

    def answers(self, reply_to: str) -> bool:
        """An answer to this message is being made, or was."""
        return bool(reply_to) and self._reply_to == reply_to

    def discard(self, reply_to: str) -> None:
        """What is being thought in answer to this message is void. Tools that run go on."""
        if self._reply_to == reply_to:
            self.cancel()

    def silenced(self, message_id: str) -> None:
        """This message is not to be spoken any more."""
        if message_id and self._message_id == message_id:
            self.cancel()

    def cancel(self) -> None:
        """Stop thinking. The request is closed as soon as the loop comes to it; tools that run go on."""
        task, self._task = self._task, None
        self._answer = None
        self._message_id = self._reply_to = ""
        self.silent = False
        if task is not None:
            task.cancel()

    def _begin(self, answer: _Answer) -> None:
        """The next generation."""
        assert self._tasks is not None
        self._message_id = f"msg_{self._ids()[:12]}"
        self.silent = True
        thinking = self._think(answer, self._message_id)
        self._task = self._tasks.create_task(thinking, name="language model")

    async def _think(self, answer: _Answer, message_id: str) -> None:
        if self._before is not None and answer.rounds == 0:
            await self._before(answer.turn)
        answer.manner = self._manner()
        answer.rounds += 1
        answer.unseen = False
        request, revision = self._request(answer, answer.manner), self._dialogue.revision
        self._mouth.asked(answer.turn, message_id, self._mind.name, self._mind.model)
        answer.thoughts = 0
        result = await self._generate_twice(request, answer, message_id)
        if answer.thoughts:
            self._mouth.reasoned(answer.turn, message_id, answer.thoughts, "", end=True)
        if self._answer is not answer:
            return
        self._task = None
        self._message_id = ""
        if isinstance(result, ProviderError):
            answer.over = True
            self._failed(result, answer, message_id)
        elif result is None:
            answer.over, self.silent = True, False
        else:
            self._complete(answer, message_id, result, revision)

    def _request(self, answer: _Answer, manner: Manner) -> LlmRequest:
        messages = self._dialogue.messages(manner.system)
        if answer.rounds > 1 and messages and messages[-1].role == "assistant":
            messages += (ChatMessage("user", NEWS),)
        return LlmRequest(
            messages,
            temperature=manner.temperature,
            max_tokens=manner.max_tokens,
            tools=tuple(tool.spec for tool in manner.tools),
            tool_choice="none" if manner.tools and answer.rounds > MAX_ROUNDS else "auto",
        )

    async def _generate_twice(
        self, request: LlmRequest, answer: _Answer, message_id: str
    ) -> _Generated | ProviderError | None:
        """None: nobody wants it any more."""
        for left in range(TRIES - 1, -1, -1):
            answer.text = []
            try:
                return await self._generate(request, answer, message_id)
            except _Stale:
                return None
            except ProviderError as error:
                again = left > 0 and error.retryable and not self.silent and self._mouth.withdraw(message_id)
                self._mouth.told(error, error.provider if again else None)
                if not again:
                    return error
                self._dialogue.unheard(message_id)
                self.silent = True
        raise AssertionError("the last try returns")

    async def _generate(self, request: LlmRequest, answer: _Answer, message_id: str) -> _Generated:
        """Speak one generation as it comes. Raises ``ProviderError`` where it breaks off."""
        provider, end = self._mind.name, LlmEnd("")
        calls: tuple[ToolCall, ...] = ()
        async with aclosing(self._mind.generate(request)) as events:
            async for event in events:
                match event:
                    case Takeover(error, by):
                        provider = by
                        self._mouth.told(error, by)
                    case LlmReasoning(text):
                        if text:
                            self._mouth.reasoned(answer.turn, message_id, answer.thoughts, text, end=False)
                            answer.thoughts += 1
                    case LlmText(text):
                        if self.silent:
                            self._start(answer, message_id)
                        answer.text.append(text)
                        self._mouth.answer_more(message_id, text)
                    case LlmToolCalls():
                        calls = event.calls
                    case LlmEnd():
                        end = event
        if request.tool_choice == "none":
            calls = ()
        return _Generated(end, calls, provider)

    def _start(self, answer: _Answer, message_id: str) -> None:
        if not self._mouth.answer_start(message_id, answer.reply_to):
            raise _Stale
        self._dialogue.saying(message_id)
        self.silent = False

    def _failed(self, error: ProviderError, answer: _Answer, message_id: str) -> None:
        if self.silent or not self._mouth.answer_end(message_id, broken=True):
            self._mouth.no_answer(answer.turn, answer.reply_to, error)
        self.silent = False

    def _complete(self, answer: _Answer, message_id: str, result: _Generated, revision: int) -> None:
        text, end = "".join(answer.text), result.end
        spoken = False
        if not self.silent:
            self._dialogue.said(message_id, text)
            spoken = self._mouth.answer_end(message_id, broken=False)
        self._mouth.generated(answer.turn, message_id, text, end, result.provider)
        if self._answer is not answer:
            return  # What it said has ended the answer, or the call.
        if result.calls and not self.last:
            self.silent = not spoken
            answer.held = result.calls
            if answer.confirmed:
                self._release(answer)
            return
        if not spoken and end.finish_reason not in ("", "stop"):
            answer.over, self.silent = True, False
            cause = f"the answer was empty ({end.finish_reason})"
            error = ProviderError(result.provider, "llm", cause, retryable=False)
            self._mouth.told(error, None)
            self._mouth.no_answer(answer.turn, answer.reply_to, error)
            return
        self._dialogue.answered(revision)
        self.silent = self._awaits(answer)
        if self.silent:
            self._follow(answer)
            return
        answer.over = True
        if not spoken and not answer.confirmed:
            answer.empty = message_id
        elif not spoken:
            self._mouth.no_response(answer.turn, message_id, "empty")

    # --- tools --------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do."""
        return self._runner.deadline

    @property
    def filler(self) -> str:
        """What is said while a tool takes its time; empty: nothing of its own."""
        return self._runner.filler

    def tick(self, now: float) -> None:
        """Tools that have run for too long fail."""
        self._settle(self._runner.tick(now))

    def tool_result(
        self, msg_id: str, results: Sequence[ToolResult], now: float, by: Literal["client", "page"] = "client"
    ) -> dict[str, Taken]:
        """The agent or the page gives results: what became of each, by the id of its call."""
        settled, found = self._runner.take(msg_id, results, now, by)
        self._settle(settled)
        return found

    def unanswered(self) -> list[ToolBatch]:
        """What the agent still owes a result of."""
        return self._runner.unanswered()

    def agent_gone(self, now: float) -> None:
        """The agent's process is given up: its tools fail, and the answer goes on without."""
        self._settle(self._runner.agent_gone(now))

    def agent_back(self) -> None:
        self._runner.agent_back()

    def close(self, now: float) -> None:
        """The call is over: what runs has no end but this."""
        self.cancel()
        self._settle(self._runner.close(now))

    def _release(self, answer: _Answer) -> None:
        """Have the tools run that the answer asks for."""
        calls, answer.held = answer.held, ()
        msg_id = f"tool_{self._ids()[:20]}"
        tools = answer.manner.tools if answer.manner is not None else ()
        now = asyncio.get_running_loop().time()
        batch, settled = self._runner.begin(msg_id, answer.turn, calls, tools, now)
        self._dialogue.call(msg_id, calls)
        self.silent = True
        self._mouth.ask_tools(batch)
        self._settle(settled)

    def _settle(self, news: Sequence[Settled]) -> None:
        for one in news:
            msg_id, end = one.batch.msg_id, one.end
            self._dialogue.result(msg_id, end.call.id, end.text, ephemeral=end.ephemeral)
            if not one.late:
                self._mouth.tool_settled(one)
            answer = self._answer
            if answer is not None and not answer.over and not one.late:
                if not self._runner.is_over(msg_id):
                    continue
                if self._runner.wants_no_answer(msg_id):
                    self._unwanted(answer)
                else:
                    answer.unseen = True
        if news and self._answer is not None:
            self._follow(self._answer)

    def _unwanted(self, answer: _Answer) -> None:
        """Tools have ended that want no answer."""
        if self._task is None and not answer.held and not self._awaits(answer):
            answer.over, self.silent = True, False
            self._dialogue.answered(self._dialogue.revision)
            self._mouth.no_response(answer.turn, "", "no_followup")

    def _awaits(self, answer: _Answer) -> bool:
        """Whether there is, or will be, more to answer to."""
        return not self.last and answer.rounds <= MAX_ROUNDS and (answer.unseen or self._runner.busy)

    def _follow(self, answer: _Answer) -> None:
        """The next generation, where all is there that it is to know."""
        ready = self._task is None and not answer.held and not answer.over and not self._runner.busy
        if ready and answer.unseen and answer.rounds <= MAX_ROUNDS:
            self._begin(answer)
