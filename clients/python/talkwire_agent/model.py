"""The server's language model of one call: what its agent tells it, and does for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from talkwire_agent.base import Event
from talkwire_agent.batches import Batches
from talkwire_agent.events import (
    Ack,
    HistoryData,
    HistoryUpdated,
    LlmToolCall,
    SkillLoaded,
    SkillUnloaded,
)
from talkwire_agent.history import History
from talkwire_agent.pending import Pending
from talkwire_agent.requests import Requests
from talkwire_agent.tools import Tool, ToolResult

if TYPE_CHECKING:
    from talkwire_agent.agent import Agent

log = logging.getLogger("talkwire_agent")


class ModelOfCall:
    """A part of ``Call``."""

    def __init__(self, agent: Agent, call_id: str) -> None:
        self.agent = agent
        self.id = call_id
        self._batches = Batches(self)
        self._own_tools: frozenset[str] = frozenset()
        self._skills = agent.skills_from_the_start()
        self._requests = Requests(self)
        self.history = History(self._requests)
        """What the server's language model knows of the call."""

    @property
    def live(self) -> bool:
        raise NotImplementedError

    def send(self, event: str, **fields: Any) -> None:
        raise NotImplementedError

    # --- what it is told ----------------------------------------------------------------------------------

    def set_prompt(self, text: str) -> Pending[int]:
        """Put another text in place of the prompt of this call. Awaiting it, and the next two, raises what
        ``history`` does."""
        return self._requests.ask("history.set_instructions", again=True, prompt=text)

    def set_prompt_vars(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Pending[int]:
        """Set what stands for ``{{name}}`` in the prompt, from the next answer on; others keep their values. None
        takes one back: then that of the agent holds again."""
        given = {**(values or {}), **more}
        texts = {name: None if value is None else str(value) for name, value in given.items()}
        return self._requests.ask("history.set_vars", again=True, vars=texts)

    def add_context(self, text: str) -> Pending[int]:
        """Tell the model something more, behind its prompt."""
        return self._requests.ask("history.add_context", again=False, text=text)

    @property
    def active_skills(self) -> list[str]:
        """Skills whose instructions and tools the model has now, by name, sorted."""
        return sorted(self._skills)

    def load_skill(self, name: str) -> Pending[None]:
        """Give the model a skill, from its next answer on. Awaiting it raises ``Refused`` where there is none
        of that name."""
        return self._requests.ask("skill.load", again=True, by="ack", skill=name)

    def unload_skill(self, name: str) -> Pending[None]:
        """Take a skill from it."""
        return self._requests.ask("skill.unload", again=True, by="ack", skill=name)

    def pause(self) -> Pending[None]:
        """Have the model be silent on this call; see ``Agent.pause``."""
        return self.agent.pause(session_id=self.id)

    def resume(self) -> Pending[None]:
        """Have the model answer again."""
        return self.agent.resume(session_id=self.id)

    def reset_idle(self) -> Pending[None]:
        """Somebody is there: the time after which a silent call is ended begins anew."""
        return self._requests.ask("session.reset_idle", again=True, by="ack")

    # --- what it asks for ---------------------------------------------------------------------------------

    def tool_result(self, msg_id: str, results: Mapping[str, Any]) -> None:
        """Answer an ``llm.tool_call`` for tools that were declared by the key ``tools``, and not as functions.
        ``results``: by the id of each call of a tool, its value or a ``ToolResult``; all of the batch, or some.

        Raises ``TooLarge``, and ``pydantic_core.PydanticSerializationError`` for what is no JSON.
        """
        frames: list[dict[str, Any]] = []
        for tool_call_id, value in results.items():
            result = value if isinstance(value, ToolResult) else ToolResult(value)
            frame = {
                "tool_call_id": tool_call_id,
                "result": to_jsonable_python(result.value, inf_nan_mode="null"),
            }
            flags = {"ephemeral": result.ephemeral, "no_followup": result.no_followup}
            frames.append({**frame, **{name: True for name, said in flags.items() if said}})
        self.send("llm.tool_result", msg_id=msg_id, results=frames)

    def find_tool(self, name: str) -> Tool | None:
        """What is run for a name."""
        return self.agent.find_tool(name)

    def is_answered_by_handlers(self, name: str) -> bool:
        """It was not declared as a function, but as it is on the wire."""
        return name in self._own_tools or self.agent.is_answered_by_handlers(name)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run code of the agent."""
        return self.agent.client.spawn(work)

    def failed(self, what: str, error: Exception, event: Event) -> None:
        """Code of the agent raised: it is logged, and told."""
        log.error("%s failed", what, exc_info=error)
        self.agent.client.failed(what, error, event, self.agent.call(self.id))

    # --- what the server tells ----------------------------------------------------------------------------

    @property
    def sends_on(self) -> int | None:
        """The number of the connection that what is sent goes out on; None: it waits for the next one."""
        return self.agent.generation if self.agent.registered else None

    def take_of_model(self, event: Event) -> None:
        """Keep up with an event, before its handlers are called."""
        match event:
            case LlmToolCall():
                self._batches.asked(event)
            case HistoryData():
                self._requests.answered(event.request_id, list(event.messages), event.error)
            case HistoryUpdated():
                self._requests.answered(event.request_id, event.count, event.error)
            case Ack():
                error = event.message or event.code or "no reason given" if event.status == "error" else None
                self._requests.answered(event.ack, None, error, event.code or "")
            case SkillLoaded():
                self._skills.add(event.skill)
            case SkillUnloaded():
                self._skills.discard(event.skill)
