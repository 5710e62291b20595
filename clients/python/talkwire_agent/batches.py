"""Runs the tools that the server's language model asks for on one call, each of them once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import PydanticSerializationError

from talkwire_agent.errors import TooLarge, ToolError
from talkwire_agent.events import LlmToolCall
from talkwire_agent.signatures import BadArguments
from talkwire_agent.tools import Tool
from talkwire_agent.transport import MAX_SENT, encoded

MAX_RESULT = MAX_SENT - 4096
"""Bytes of one result: what stands around it in its message is left room for."""
REMEMBERED = 20
"""Batches whose results are remembered, for a server that asks once more."""

Frame = dict[str, Any]


class Asker(Protocol):
    """The call, as far as it is needed here."""

    def find_tool(self, name: str) -> Tool | None:
        """What is run for a name."""

    def is_answered_by_handlers(self, name: str) -> bool:
        """It was not declared as a function: whoever declared it answers by ``Call.tool_result``."""

    def spawn(self, work: Any) -> asyncio.Task[None] | None:
        """Run something."""

    def send(self, event: str, **fields: Any) -> None:
        """Raises ``TooLarge``."""

    def failed(self, what: str, error: Exception, event: LlmToolCall) -> None:
        """Tell that something raised."""


@dataclass(frozen=True)
class Asked:
    """One call of a tool; ``tool`` is None where there is none of that name."""

    id: str
    name: str
    arguments: str
    tool: Tool | None


class Batch:
    """What one answer of the model asks for. ``send`` is given results as soon as there are some: those that
    came together, together."""

    def __init__(
        self,
        call: Asker,
        event: LlmToolCall,
        asked: Sequence[Asked],
        send: Callable[[list[Frame]], None],
    ) -> None:
        self._call = call
        self._event = event
        self._asked = asked
        self._send = send
        self._results: dict[str, Frame] = {}
        self._fresh: list[str] = []

    async def run(self) -> None:
        """Run them side by side."""
        async with asyncio.TaskGroup() as group:
            for one in self._asked:
                group.create_task(self._answer(one), name=f"tool {one.name}")

    async def _answer(self, one: Asked) -> None:
        self._results[one.id] = {"tool_call_id": one.id, **await self._result(one)}
        if not self._fresh:
            asyncio.get_running_loop().call_soon(self._tell)
        self._fresh.append(one.id)

    def _tell(self) -> None:
        fresh, self._fresh = self._fresh, []
        self._send([self._results[one.id] for one in self._asked if one.id in fresh])

    def repeat(self) -> None:
        """Tell once more what there is; the rest is still to come."""
        if self._results:
            self._send([self._results[one.id] for one in self._asked if one.id in self._results])

    async def _result(self, one: Asked) -> Frame:
        if one.tool is None:
            return _error(f"Unknown tool: {one.name}")
        try:
            result = await one.tool.run(one.arguments, self._call)
            encoded({"event": "the result", "value": result.value}, MAX_RESULT)
        except (BadArguments, ToolError) as error:
            return _error(str(error) or type(error).__name__)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failed(one, RuntimeError("what it waited for was cancelled"), error)
        except PydanticSerializationError as error:
            return self._failed(one, TypeError(f"its result is no JSON: {error}"), error)
        except Exception as error:  # noqa: BLE001  it is the model's to know, and the agent's to log
            return self._failed(one, error, error)
        flags = {"ephemeral": result.ephemeral, "no_followup": result.no_followup}
        return {"result": result.value, **{name: True for name, said in flags.items() if said}}

    def _failed(self, one: Asked, error: Exception, cause: BaseException) -> Frame:
        if error is not cause:
            error.__cause__ = cause
        self._call.failed(f"tool {one.name}", error, self._event)
        return _error(str(error) or type(error).__name__)


class Batches:
    """Those of one call."""

    def __init__(self, call: Asker) -> None:
        self._call = call
        self._batches: OrderedDict[str, Batch] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()

    def asked(self, event: LlmToolCall) -> None:
        """The model wants tools to be run. A batch that was asked for before is answered from memory."""
        if (known := self._batches.get(event.msg_id)) is not None:
            known.repeat()
            return
        asked = [
            Asked(one.id, one.name, one.arguments, self._call.find_tool(one.name))
            for one in event.tool_calls
            if not self._call.is_answered_by_handlers(one.name)
        ]
        if not asked:
            return
        batch = Batch(self._call, event, asked, lambda results: self._send(event, results))
        self._batches[event.msg_id] = batch
        while len(self._batches) > REMEMBERED:
            self._batches.popitem(last=False)
        task = self._call.spawn(batch.run())
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _send(self, event: LlmToolCall, results: list[Frame]) -> None:
        try:
            self._call.send("llm.tool_result", msg_id=event.msg_id, results=results)
        except TooLarge:
            for result in results:  # Each alone is small enough.
                self._call.send("llm.tool_result", msg_id=event.msg_id, results=[result])

    def close(self) -> None:
        """The call is over: nobody waits for a result."""
        for task in self._running:
            task.cancel()


def _error(text: str) -> Frame:
    return {"result": {"error": text}}
