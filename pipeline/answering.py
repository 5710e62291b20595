"""The call's own language model, as part of the call: what it knows of the conversation, when it is to answer, what
becomes of its answers and tools, and what the caller hears where an answer takes long or never comes.

Like the session it acts and does not decide. To ``pipeline.thinking`` it is the mouth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from pipeline import turns
from pipeline.briefing import Briefed, Briefing
from pipeline.config import SessionConfig
from pipeline.dialogue import Dialogue
from pipeline.errors import ProviderError
from pipeline.events import (
    Event,
    LlmAnswered,
    LlmAsked,
    LlmFailed,
    LlmReasoned,
    MessageAborted,
    MessageConfirmed,
    NoResponse,
    NoResponseReason,
    ToolCallsRequested,
    ToolCompleted,
    ToolFailed,
    ToolStarted,
    TurnRef,
    UserMessage,
)
from pipeline.message import Message
from pipeline.ports import ChatMessage, LlmEnd, Mind
from pipeline.readiness import Prepared, Readiness
from pipeline.speaking import Speaking
from pipeline.speech import SpeechQueue
from pipeline.thinking import Thinking
from pipeline.tools import Settled, Taken, ToolBatch, ToolResult, ToolRunner


class Sayer(Protocol):
    """What a message is given to that the caller is to hear."""

    def say(self, message: Message) -> None: ...

    def append(self, message: Message, token: str) -> None:
        """More of a message whose text comes in pieces."""

    def finish(self, message: Message, *, broken: bool) -> None:
        """Its text is complete, or there is no more of it."""

    def taken_back(self, message: Message) -> None:
        """A message is not said, and nothing is told of it: nothing of it was heard."""

    def cancel(self, message_id: str) -> bool:
        """A message is not to be said any more."""


class Conversation(Briefed, Prepared, Protocol):
    """The call, as far as its own mind is concerned."""

    @property
    def saying(self) -> Sayer: ...

    @property
    def ended(self) -> bool: ...

    def told(self, error: ProviderError, by: str | None) -> None:
        """An engine failed; ``by`` takes its place."""


class Answering:
    """Of one call, with a language model or without one: it may get, lose and change it meanwhile."""

    def __init__(
        self,
        call: Conversation,
        machine: turns.TurnMachine,
        speech: SpeechQueue,
        speaking: Speaking,
        mind: Mind | None,
        config: SessionConfig,
        ids: Callable[[], str],
    ) -> None:
        self._call = call
        self._machine = machine
        self._speech = speech
        self._speaking = speaking
        self._ids = ids
        self._loop = asyncio.get_running_loop()
        self.paused = False
        """Somebody else is to answer: see ``pause``."""
        self.ending = False
        """The call is about to end: no further answer is begun."""
        self._begin(mind, config, config.opening_ms)

    def _begin(self, mind: Mind | None, config: SessionConfig, opening_ms: int) -> None:
        self._config = config
        self.dialogue = Dialogue()
        self.briefing = Briefing(self._call, self._machine, config)
        """What the model is told beside the history."""
        self.readiness = Readiness(
            self._call, config.preparing, lambda: self._thinking is not None, opening_ms
        )
        """Whether the agent is ready for an answer."""
        self._known: set[str] = set()
        """Messages that are to enter the dialogue as far as they are heard."""
        self._hold_at: float | None = None
        """When the caller is told that the answer takes a while."""
        self._line_held = False
        """The caller has been told in this turn that the answer takes a while."""
        self._tools = ToolRunner(config.tool_timeout_s)
        self._mind: Thinking | None = None
        """Once made it stays, for the tools that it has asked for."""
        self._thinking = self._made_up_mind(mind)

    def change_hands(self, mind: Mind | None, config: SessionConfig, known: Mapping[str, str]) -> None:
        """Another agent has the call from now on, after ``close``. Nothing is known any more of what was said to the one
        before, but for this, under names."""
        self.paused = self.ending = False
        self._begin(mind, config, 0)
        for key, text in known.items():
            self.briefing.prompt.put(key, text)

    def _made_up_mind(self, mind: Mind | None) -> Thinking | None:
        if mind is None:
            return None
        if self._mind is None:
            manner, ready = self.briefing.manner, self.readiness.wait
            self._mind = Thinking(mind, self.dialogue, self, self._ids, manner, self._tools, ready)
        self._mind.change(mind)
        return self._mind

    def change(self, mind: Mind | None, config: SessionConfig) -> None:
        """Answer otherwise from now on."""
        self._config = config
        self.briefing.change(config)
        self.readiness.change(config.preparing)
        self._tools.timeout_s = config.tool_timeout_s
        if self._thinking is not None and mind is not None:
            self._thinking.change(mind)
            return
        self.break_off()
        self._thinking = self._made_up_mind(mind)

    @property
    def answers(self) -> bool:
        """The call's own language model answers the user, not the agent."""
        return self._thinking is not None and not self.paused

    @property
    def _silent_for(self) -> NoResponseReason | None:
        """Why nothing is answered; None: it is."""
        return "paused" if self.paused else "ending" if self.ending else None

    @property
    def busy(self) -> bool:
        """An answer is being thought about, a tool runs, or the greeting waits for the agent."""
        thinks = self._thinking is not None and self._thinking.silent
        return thinks or self._tools.busy or self.readiness.deadline is not None

    def pause(self, *, on: bool) -> None:
        """From now on nothing is answered, but for what the caller is hearing; or it is again, from the next turn
        on."""
        self.paused = on
        self._hush()

    def wind_up(self) -> None:
        """The call is about to end: the same for good."""
        self.ending = True
        self._hush()

    def conclude(self) -> None:
        """The call is about to end: no further answer is begun, and of the one in the making whole sentences are said."""
        self.ending = True
        if self._mind is not None:
            self._mind.last = True
        self.break_off()

    def _hush(self) -> None:
        silent = self._silent_for is not None
        if self._mind is not None:
            self._mind.last = silent
        if not silent:
            return
        current, thinking = self._speech.current, self._thinking
        if current is None or thinking is None or thinking.message_id != current.message_id:
            self.stop()
        self._hold_at = None
        for message_id in self._speech.unsaid():
            self._call.saying.cancel(message_id)

    # --- what happens in the call -------------------------------------------------------------------------

    def knows(self, message: Message) -> None:
        """A message is going to be said."""
        if message.known:
            self._known.add(message.message_id)

    def note(self, event: Event) -> None:
        """What the language model is to know of what happened."""
        if isinstance(event, UserMessage):
            self.dialogue.user(event.turn.turn_id, event.text)
        elif isinstance(event, MessageConfirmed) and event.text and event.message_id in self._known:
            self.dialogue.bot(event.text, event.message_id)
        if isinstance(event, MessageConfirmed | MessageAborted):
            self._known.discard(event.message_id)
            self.dialogue.unheard(event.message_id)

    @property
    def thinks(self) -> bool:
        """The call has a language model of its own, or had one."""
        return self._mind is not None

    @property
    def unfinished(self) -> bool:
        """There is, or will be, more of an answer than was said."""
        return self._thinking is not None and self._thinking.unfinished

    def messages(self) -> tuple[ChatMessage, ...]:
        """The history of the call's own model; empty: it never had one."""
        return self.dialogue.get() if self._mind is not None else ()

    def answer(self, tasks: asyncio.TaskGroup, turn: TurnRef, message_id: str) -> None:
        """The user's turn looks over, or is."""
        if self._thinking is not None and not self._call.ended and self._silent_for is None:
            self._thinking.answer(tasks, turn, message_id)

    def confirmed(self, turn: TurnRef, message_id: str, now: float) -> None:
        """The user's turn is over."""
        reason = self._silent_for
        if self._thinking is not None and reason is not None and not self._thinking.answers(message_id):
            self.no_response(turn, "", reason)
        elif self._thinking is not None:
            self._line_held = False
            self._thinking.confirmed(message_id)
            if self._thinking.silent:
                self._hold_at = now + self._config.holding_after_s

    def discard(self, message_id: str) -> None:
        """The user's turn goes on."""
        self._hold_at = None
        if self._thinking is not None:
            self._thinking.discard(message_id)

    def silenced(self, message_id: str) -> None:
        """This message is not to be spoken any more."""
        if self._thinking is not None:
            self._thinking.silenced(message_id)

    def stop(self) -> None:
        """Stop thinking; tools that run go on."""
        self._hold_at = None
        if self._thinking is not None:
            self._thinking.cancel()

    def break_off(self) -> None:
        """Stop thinking; what is being said ends with what there is of it, in whole sentences."""
        message_id = self._thinking.message_id if self._thinking is not None else ""
        self.stop()
        self.answer_end(message_id, broken=True)

    def close(self, now: float) -> None:
        """The call ends: what its end makes of the user's turn is not answered any more."""
        self.readiness.close()
        self.stop()
        self._thinking = None
        if self._mind is not None:
            self._mind.close(now)

    # --- time ---------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do."""
        hold_at = None if self._machine.held else self._hold_at
        times = (hold_at, self._tools.deadline, self.readiness.deadline)
        return min((at for at in times if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due: an agent is waited for no longer, tools that have run for too long fail, a caller who
        has waited is told so; one on hold when he is back, if he waits still."""
        self.readiness.tick(now)
        deadline = self._tools.deadline
        if self._mind is not None and deadline is not None and now >= deadline:
            self._mind.tick(now)
        if self._hold_at is not None and now >= self._hold_at and not self._machine.held:
            self._hold_at = None
            if not self._speech.empty or (self._thinking is not None and self._thinking.silent):
                self.hold_the_line()

    # --- the caller waits ---------------------------------------------------------------------------------

    def bot_speaks(self) -> None:
        """The caller hears something."""
        self._hold_at = None

    def hold_the_line(self) -> None:
        """Tell the caller that the answer takes a while, unless it is being said or made already."""
        text = self._tools.filler or self._config.holding_text
        wanted = self._thinking is not None and text and self._silent_for is None
        if wanted and not self._speaking.busy and self._speech.nothing_ready:
            self._line_held = True
            self._call.saying.say(
                Message(f"msg_{self._ids()[:12]}", text, turn=self._machine.turn, holding=True)
            )

    def await_late_answer(self, now: float) -> None:
        """Nothing is being said, and tools run: soon the caller is told that it takes a while, once a turn."""
        waits = self._thinking is not None and self._thinking.silent and self._tools.busy
        if waits and self._speech.empty and self._hold_at is None and not self._line_held:
            self._hold_at = now + self._config.holding_after_s

    def nothing_understood(self) -> None:
        """All recognisers have failed. Where the server answers, nobody else can say so."""
        text = self._config.trouble_text
        nobody_speaks = self._machine.floor_free or self._machine.state is turns.State.BOT_SPEAKING
        wanted = self._thinking is not None and text and self._silent_for is None
        if wanted and nobody_speaks and self._speech.only_holding:
            self._call.saying.say(
                Message(f"msg_{self._ids()[:12]}", text, turn=self._machine.turn, holding=True)
            )

    # --- what the mind asks -------------------------------------------------------------------------------

    def answer_start(self, message_id: str, in_reply_to: str) -> bool:
        if self._call.ended or in_reply_to != self._machine.reply_to or self._speech.full:
            return False
        turn = self._machine.turn_of(in_reply_to)
        message = Message(
            message_id, "", in_reply_to, streamed=True, turn=turn, complete=False, known=True, own=True
        )
        self._call.saying.say(message)
        return True

    def answer_more(self, message_id: str, text: str) -> None:
        message = self._open_answer(message_id)
        if message is not None:
            self._call.guarded(lambda: self._call.saying.append(message, text))

    def answer_end(self, message_id: str, *, broken: bool) -> bool:
        message = self._open_answer(message_id)
        if message is None:
            return True
        self._call.saying.finish(message, broken=broken)
        wordless = not self._speech.holds(message)
        self._call.guarded(self._call.moved)
        return not wordless

    def _open_answer(self, message_id: str) -> Message | None:
        """An answer whose text is not complete."""
        message = self._speech.find(message_id) if not self._call.ended else None
        if message is None or not message.streamed or message.complete or not message.own:
            return None
        return message

    def withdraw(self, message_id: str) -> bool:
        message = self._speech.find(message_id) if not self._call.ended else None
        if message is None or not self._speech.withdraw(message):
            return False
        self._speaking.cancel(message)
        self._call.saying.taken_back(message)
        self._known.discard(message_id)
        if self._machine.state is turns.State.BOT_PENDING and self._hold_at is None:
            self._hold_at = self._loop.time() + self._config.holding_after_s
        return True

    def no_answer(self, turn: TurnRef, in_reply_to: str, error: ProviderError) -> None:
        self._hold_at = None
        if not self._call.ended:
            self._call.emit(LlmFailed(turn, error.code, str(error)))
        text = self._config.trouble_text
        if not self._call.ended and text and in_reply_to == self._machine.reply_to:
            self._call.saying.say(Message(f"msg_{self._ids()[:12]}", text, in_reply_to, turn=turn))

    def no_response(self, turn: TurnRef, message_id: str, reason: NoResponseReason) -> None:
        self._hold_at = None
        self._call.emit(NoResponse(turn, message_id, reason))
        self._move_soon()

    def told(self, error: ProviderError, by: str | None) -> None:
        self._call.told(error, by)

    def asked(self, turn: TurnRef, message_id: str, provider: str, model: str | None) -> None:
        self._call.emit(LlmAsked(turn, message_id, provider, model))

    def generated(self, turn: TurnRef, message_id: str, text: str, end: LlmEnd, provider: str) -> None:
        if self._call.ended:
            return  # Its last words were said in the instant in which the call reached a limit.
        reason, tokens = end.finish_reason, (end.input_tokens, end.output_tokens)
        self._call.emit(LlmAnswered(turn, message_id, text, reason, *tokens, provider, end.model))
        self._move_soon()

    def reasoned(self, turn: TurnRef, message_id: str, index: int, text: str, *, end: bool) -> None:
        self._call.emit(LlmReasoned(turn, message_id, index, text, end))

    def ask_tools(self, batch: ToolBatch) -> None:
        if batch.sent:
            self._call.emit(ToolCallsRequested(batch.turn, batch.msg_id, batch.sent))
        for start in batch.starts:
            call, kind, arguments = start.call, start.kind, start.arguments
            self._call.emit(ToolStarted(batch.turn, batch.msg_id, call.id, call.name, kind, arguments))
        self.await_late_answer(self._loop.time())
        self._move_soon()

    def _move_soon(self) -> None:
        # In a turn of its own: who asks may be in the middle of what is done there.
        self._loop.call_soon(self._call.guarded, self._call.moved)

    def tool_settled(self, news: Settled) -> None:
        turn, msg_id, end = news.batch.turn, news.batch.msg_id, news.end
        told = (turn, msg_id, end.call.id, end.call.name, end.kind)
        if end.code is None:
            self._call.emit(ToolCompleted(*told, end.result, end.duration_ms))
        else:
            self._call.emit(ToolFailed(*told, end.code, end.error, end.duration_ms))
        self.briefing.settled(turn)

    # --- what the agent does for it -----------------------------------------------------------------------

    def tool_result(
        self, msg_id: str, results: Sequence[ToolResult], by: Literal["client", "page"] = "client"
    ) -> dict[str, Taken]:
        """The agent or the page gives what its tools gave, of a batch or of some of it: what became of each, by the
        id of its call."""
        if self._mind is None or self._call.ended:
            return {result.tool_call_id: "unknown" for result in results}
        return self._mind.tool_result(msg_id, results, self._loop.time(), by)

    def unanswered_tools(self) -> list[ToolBatch]:
        """What the agent still owes results of: one that comes back may have lost that."""
        return self._tools.unanswered()

    def agent_gone(self) -> None:
        """The agent's process is given up: tools that it was to run fail, now and from now on."""
        if self._mind is not None and not self._call.ended:
            self._mind.agent_gone(self._loop.time())

    def agent_back(self) -> None:
        self.readiness.agent_back()
        self._tools.agent_back()
