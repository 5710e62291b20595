"""Functions of an agent that the server's language model may ask for."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from pydantic_core import to_jsonable_python

from talkwire_agent.signatures import Signature

F = TypeVar("F", bound=Callable[..., Any])
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class ToolResult:
    """What a tool gives, where more is to be said than its value."""

    value: Any = None
    ephemeral: bool | None = None
    """True: the model knows of it for its next answer, and then no more. None: as the tool was declared."""
    no_followup: bool | None = None
    """True: the model need not answer to it. None: as the tool was declared."""


class Tool:
    """A function, and what the model is told of it."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        call_type: type,
        name: str | None = None,
        description: str | None = None,
        ephemeral: bool = False,
        no_followup: bool = False,
        timeout_s: float | None = None,
        filler: str | None = None,
        blocking: bool = False,
        page: bool = False,
    ) -> None:
        self.function = function
        self._signature = Signature(function, call_type)
        self.name = name or self._signature.name
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"a tool's name has 1 to 64 letters, digits, underscores and hyphens, not {self.name!r}"
            )
        self.description = description if description is not None else self._signature.description
        self.ephemeral = ephemeral
        self.no_followup = no_followup
        self._timeout_s = timeout_s
        self._filler = filler
        self._blocking = blocking
        self._page = page

    def declaration(self) -> dict[str, Any]:
        """As in ``agent.create``."""
        function: dict[str, Any] = {"name": self.name, "parameters": self._signature.schema}
        if self.description:
            function["description"] = self.description
        if self._timeout_s is not None:
            function["timeout_ms"] = round(self._timeout_s * 1000)
        if self._filler is not None:
            function["filler"] = self._filler
        if self._page:
            function["page"] = True
        return {"type": "function", "function": function}

    async def run(self, arguments: str, call: object) -> ToolResult:
        """Its result for these arguments, a JSON text, as JSON values.

        Raises ``BadArguments``, and what the function raises.
        """
        given = self._signature.read(arguments)
        if self._signature.call is not None:
            given[self._signature.call] = call
        if self._blocking:
            value = await asyncio.to_thread(self.function, **given)
        else:
            value = self.function(**given)
        if inspect.isawaitable(value):
            value = await value
        result = value if isinstance(value, ToolResult) else ToolResult(value)
        return ToolResult(
            to_jsonable_python(result.value, inf_nan_mode="null"),
            self.ephemeral if result.ephemeral is None else result.ephemeral,
            self.no_followup if result.no_followup is None else result.no_followup,
        )


class Toolbox:
    """Something that tools can be declared on: an agent, a skill."""

    def __init__(self, call_type: type) -> None:
        self._call_type = call_type
        self._tools: dict[str, Tool] = {}

    @overload
    def tool(self, function: F, /) -> F: ...

    @overload
    def tool(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        ephemeral: bool = False,
        no_followup: bool = False,
        timeout_s: float | None = None,
        filler: str | None = None,
        blocking: bool = False,
        page: bool = False,
    ) -> Callable[[F], F]: ...

    def tool(self, function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
        """Let the server's language model ask for a function: ``@agent.tool``, or with options
        ``@agent.tool(timeout_s=5)``. The function itself stays as it is.

        What it takes is shown to the model by its types and defaults; what it is for by its docstring, and
        each parameter by ``Annotated[..., "text"]``, ``Field``, or the docstring's section ``Args``. A parameter
        of the type ``Call``, or called ``call``, is given the call. It may be a plain or an async function;
        a plain one runs on the event loop, and one that takes its time is declared ``blocking``, and runs in a
        thread.

        What it returns is given to the model: JSON, or what pydantic can make JSON of, or a ``ToolResult``.
        ``ToolError`` says that it failed. ``ephemeral``: the model forgets it after its next answer.
        ``no_followup``: the model need not answer. ``timeout_s``: how long the server waits. ``filler``: what
        the caller hears meanwhile. ``page``: the page of a browser call runs it (``tool.call`` of the browser client);
        the function then only says what it takes and what it is for, and is never called. Callers without a page do
        without it.

        Raises ``TypeError`` where its parameters cannot be shown, ``ValueError`` for a name that is taken.
        """

        def declare(function: F) -> F:
            self._declare(Tool(function, call_type=self._call_type, **options))
            return function

        return declare if function is None else declare(function)

    def _declare(self, tool: Tool) -> None:
        self._check_name(tool.name)
        self._tools[tool.name] = tool
        try:
            self._tools_changed()
        except BaseException:
            del self._tools[tool.name]
            raise

    def _check_name(self, name: str) -> None:
        """Raises ``ValueError`` for one that is taken."""

    def _tools_changed(self) -> None:
        """There is one more. Raises ``TooLarge``."""

    @property
    def tools(self) -> dict[str, Tool]:
        """By name, as they were declared."""
        return dict(self._tools)


def names_in(config: Mapping[str, Any]) -> frozenset[str]:
    """Those of the tools, of an agent's keys and of its skills, that stand there in the form of the wire."""
    places = (config, *(skill for skill in config.get("skills") or () if isinstance(skill, dict)))
    tools = [tool for place in places for tool in place.get("tools") or () if isinstance(tool, dict)]
    functions = [tool.get("function", tool) for tool in tools]
    return frozenset(str(function["name"]) for function in functions if "name" in function)
