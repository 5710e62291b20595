"""The server's language model, played by the test."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from talkwire_agent.pending import Pending

Frame = dict[str, Any]

PATIENCE_S = 5.0
"""How long a test waits for the agent, seconds."""
TOOL_S = 30.0
"""How long a tool's result is waited for where the agent declared no ``timeout_s``, seconds."""


class ScriptedModel:
    """What the model of one call is told, and what it does. ``config``: the keys of the agent.

    Part of a ``ScriptedCall``: events that belong to a turn belong to the latest one.
    """

    def __init__(self, config: Frame) -> None:
        self.config = config
        """The agent's keys, with what ``call.configure`` has changed."""
        self.history: list[Frame] = []
        """What it knows of the conversation."""
        self.vars: dict[str, str] = {}
        """What the agent has set by ``call.set_prompt_vars``."""
        self.context: list[str] = []
        """What the agent has added by ``call.add_context``."""
        self.prompt: str = config.get("prompt") or ""
        self.skills = {one["name"] for one in config.get("skills") or () if one.get("activation") == "always"}
        """Those that are active."""
        self._asked = 0
        self._ready: dict[int, Pending[None]] = {}
        self._awaited: dict[tuple[str, str], tuple[str, Pending[Any]]] = {}

    @property
    def turn(self) -> int:
        """The latest turn of the user, from 1; 0: he has not spoken yet."""
        raise NotImplementedError

    def emit(self, event: str, **fields: Any) -> Frame:
        raise NotImplementedError

    def in_turn(self, event: str, **fields: Any) -> Frame:
        raise NotImplementedError

    def speaks(self, message_id: str, text: str) -> None:
        raise NotImplementedError

    # --- what it does -------------------------------------------------------------------------------------

    def model_says(self, text: str) -> str:
        """It answers the user; returns the message id."""
        self._asked += 1
        message_id = f"llm_{self._asked}"
        self.in_turn("llm.thinking", message_id=message_id, provider="scripted")
        answer = {"message_id": message_id, "text": text, "finish_reason": "stop", "usage": {}}
        self.in_turn("llm.response", **answer, provider="scripted")
        self.speaks(message_id, text)
        return message_id

    async def model_prepares(self, turn: int | None = None) -> None:
        """It is about to be asked: until the agent's handlers of ``llm.before`` are done. Raises
        ``TimeoutError`` where they take longer than 5 s."""
        number = self.turn if turn is None else turn
        ready = self._ready.setdefault(number, Pending())
        self.emit("llm.before", turn=number)
        async with asyncio.timeout(PATIENCE_S):
            await ready
        del self._ready[number]

    def model_loads(self, skill: str) -> None:
        """It wants a skill, and has it."""
        self._turn_skill(skill, on=True, by="model")

    def model_unloads(self, skill: str) -> None:
        """It needs a skill no longer."""
        self._turn_skill(skill, on=False, by="model")

    async def model_calls(self, tool: str, /, **arguments: Any) -> Any:
        """It asks for a tool; returns what that gives. Raises ``AssertionError`` for one that it is not shown,
        ``TimeoutError`` where there is no result in time."""
        return (await self.model_calls_all((tool, arguments)))[0]

    async def model_calls_all(self, *calls: tuple[str, Frame]) -> list[Any]:
        """It asks for several tools at once, by name and arguments."""
        shown = self._shown()
        for name, _ in calls:
            assert name in shown, (
                f"the model is shown no tool {name!r}; it is shown {', '.join(shown) or 'none'}"
            )
        self._asked += 1
        batch = f"tool_{self._asked}"
        ids = [f"call_{self._asked}_{number}" for number in range(len(calls))]
        wanted = [
            {"id": one, "name": name, "arguments": json.dumps(arguments)}
            for one, (name, arguments) in zip(ids, calls, strict=True)
        ]
        results: list[Pending[Any]] = [Pending() for _ in calls]
        for one, (name, _), result in zip(ids, calls, results, strict=True):
            self._awaited[batch, one] = (name, result)
        self.in_turn("llm.tool_call", msg_id=batch, tool_calls=wanted)
        for one, (name, arguments) in zip(ids, calls, strict=True):
            self._told("tool.started", batch, one, name, arguments=arguments)
        return [
            await self._result(batch, one, shown[name], result)
            for one, (name, _), result in zip(ids, calls, results, strict=True)
        ]

    async def _result(self, batch: str, one: str, tool: Frame, result: Pending[Any]) -> Any:
        name = tool["name"]
        try:
            async with asyncio.timeout(tool.get("timeout_ms", TOOL_S * 1000) / 1000):
                return await result
        except TimeoutError:
            if self._awaited.pop((batch, one), None):
                self._told("tool.failed", batch, one, name, error="no result", code="timeout", duration_ms=0)
            raise TimeoutError(f"tool {name!r} gave no result in time") from None

    def _told(self, event: str, batch: str, one: str, name: str, **fields: Any) -> None:
        self.in_turn(event, msg_id=batch, tool_call_id=one, name=name, kind="client", **fields)

    def _shown(self) -> dict[str, Frame]:
        """The tools that it may ask for, by name."""
        active = [one for one in self.config.get("skills") or () if one["name"] in self.skills]
        places = (self.config, *active)
        functions = [tool["function"] for place in places for tool in place.get("tools") or ()]
        return {function["name"]: function for function in functions}

    def _turn_skill(self, name: str, *, on: bool, by: str) -> None:
        if (name in self.skills) != on:
            (self.skills.add if on else self.skills.discard)(name)
            self.emit("skill.loaded" if on else "skill.unloaded", skill=name, by=by)

    # --- what it is told ----------------------------------------------------------------------------------

    def take_results(self, frame: Frame) -> None:
        """The agent gives results. Of two for one call the first counts."""
        for result in frame["results"]:
            key = (frame["msg_id"], result["tool_call_id"])
            name, waiting = self._awaited.pop(key, ("", None))
            if waiting is None:
                continue
            value = result.get("result")
            if isinstance(value, dict) and set(value) == {"error"}:
                self._told("tool.failed", *key, name, error=value["error"], code="error", duration_ms=0)
            else:
                self._told("tool.completed", *key, name, result=value, duration_ms=0)
            waiting.settle(value)

    def take_ready(self, frame: Frame) -> None:
        """The agent's handlers of ``llm.before`` are done; without a turn that of the latest one."""
        ready = self._ready.get(frame.get("turn", self.turn))
        if ready is not None:
            ready.settle(None)

    def take_skill(self, frame: Frame) -> str | None:
        """The agent loads a skill, or unloads it; returns what is wrong."""
        if frame["skill"] not in {one["name"] for one in self.config.get("skills") or ()}:
            return f"this call has no skill {frame['skill']!r}"
        self._turn_skill(frame["skill"], on=frame["event"] == "skill.load", by="manual")
        return None

    def take_question(self, frame: Frame) -> Frame:
        """The answer to one of the commands ``history.*``."""
        place = {"call_id": frame["call_id"], "request_id": frame["request_id"]}
        match frame["event"]:
            case "history.get":
                return {"event": "history.data", **place, "messages": list(self.history)}
            case "history.add":
                self.history += frame["messages"]
            case "history.set":
                self.history[:] = frame["messages"]
            case "history.clear":
                self.history.clear()
            case "history.set_vars":
                given = {**self.vars, **frame["vars"]}
                self.vars = {name: value for name, value in given.items() if value is not None}
            case "history.add_context":
                self.context.append(frame["text"])
            case "history.set_instructions":
                self.prompt = frame["prompt"]
        return {"event": "history.updated", **place, "count": len(self.history)}
