"""The tools that the server's language model may ask for, and what becomes of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from server.protocol.base import Allowed, Part, Range, TurnEvent

ToolName = Annotated[
    str,
    Field(max_length=64, pattern=r"^[A-Za-z0-9_-]{1,64}$"),
    Allowed("1 to 64 letters, digits, underscores and hyphens"),
]
Described = Annotated[str, Field(max_length=20_000), Allowed("text of at most 20000 characters")]
Filler = Annotated[str, Field(max_length=500), Allowed("text of at most 500 characters")]
CallId = Annotated[str, Field(min_length=1, max_length=1000), Allowed("text of 1 to 1000 characters")]
"""Models make these ids, some of them long ones."""
MAX_DEPTH = 100
"""Of objects and lists within one another: what is deeper cannot be passed on."""
ToolKind = Literal["client", "page", "system"]


def _shallow(value: Any) -> Any:
    if _is_deeper(value, MAX_DEPTH):
        raise ValueError(f"what a tool takes and gives must not be nested deeper than {MAX_DEPTH} levels")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _is_deeper(item, levels - 1) for item in inner)


def _of_an_object(schema: dict[str, Any]) -> dict[str, Any]:
    """What every endpoint refuses, or takes for something else, is refused when it is declared: later nobody would
    be told but the log."""
    if schema.get("type", "object") != "object":
        raise PydanticCustomError("schema", 'must be the schema of an object: its "type" must be "object"')
    if not isinstance(schema.get("properties", {}), dict):
        raise PydanticCustomError(
            "schema", 'must have "properties" that are an object, each name with its schema'
        )
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise PydanticCustomError("schema", 'must have "required" as a list of names')
    return schema


class ToolErrorCode(StrEnum):
    """Why a tool gave no result."""

    TIMEOUT = "timeout"
    BAD_ARGUMENTS = "bad_arguments"
    UNKNOWN_TOOL = "unknown_tool"
    AGENT_GONE = "agent_gone"
    ERROR = "error"


# --- what an agent declares -------------------------------------------------------------------------------


class ToolFunction(Part):
    """What a tool does, and what it takes."""

    name: ToolName = Field(description="What the model calls it by.")
    description: Described | None = Field(
        default=None, description="When to use it and what it gives, for the model."
    )
    parameters: Annotated[dict[str, Any], AfterValidator(_shallow), AfterValidator(_of_an_object)] | None = (
        Field(
            default=None,
            description="JSON Schema of an object: what it takes. Absent or empty: nothing.",
        )
    )
    timeout_ms: Annotated[int, Range(100, 600_000)] | None = Field(
        default=None,
        description="How long its result is waited for, milliseconds; default: the server's "
        "`TALKWIRE_TOOL_TIMEOUT_S`.",
    )
    filler: Filler | None = Field(
        default=None,
        description="What the caller hears where it takes long; default: the server's holding line.",
    )
    page: bool | None = Field(
        default=None,
        description="True: the page of a browser call runs it, not the agent process. In other calls the model is not "
        "told of it.",
    )


class ToolDefinition(Part):
    """A tool that the agent process, or the caller's page, runs when the server's language model asks for it."""

    type: Literal["function"] = Field(default="function", description="Kind of tool.")
    function: ToolFunction = Field(description="The tool.")


def _own_names(tools: tuple[ToolDefinition, ...]) -> tuple[ToolDefinition, ...]:
    seen: set[str] = set()
    for tool in tools:
        if tool.function.name in seen:
            raise ValueError(f"tools must have names of their own (got {tool.function.name!r} twice)")
        seen.add(tool.function.name)
    return tools


_LIBRARYS_OWN = frozenset({"type", "schema", "ephemeral", "noFollowup", "_jsonSchema"})


def declared(tools: Any) -> Any:
    """``tools`` with the flat objects of client libraries, ``{name, description, parameters or _jsonSchema, ...}``,
    in the form of the wire; all else as it is."""
    return [_declared(tool) for tool in tools] if isinstance(tools, list) else tools


def _declared(tool: Any) -> Any:
    if not isinstance(tool, dict) or "function" in tool or "name" not in tool:
        return tool
    function = {key: value for key, value in tool.items() if key not in _LIBRARYS_OWN}
    if "_jsonSchema" in tool:
        function["parameters"] = tool["_jsonSchema"]
    return {"function": function}


Tools = Annotated[
    tuple[ToolDefinition, ...],
    Field(max_length=128, strict=False),
    BeforeValidator(declared),
    AfterValidator(_own_names),
]


# --- what an agent gives ----------------------------------------------------------------------------------


class ToolResult(Part):
    """What one call of a tool gave."""

    tool_call_id: CallId = Field(description="The call of the tool, as in `llm.tool_call`.")
    result: Annotated[Any, AfterValidator(_shallow)] = Field(
        default=None,
        description='Any JSON. An object of nothing but a text `error`, as in `{"error":"no such order"}`, '
        "says that the tool failed.",
    )
    ephemeral: bool = Field(
        default=False, description="True: the model knows of it for its next answer, and then no more."
    )
    no_followup: bool = Field(
        default=False,
        description="True: the model need not answer to it. Where all results of a batch say so, it does not.",
    )


Results = Annotated[tuple[ToolResult, ...], Field(min_length=1, max_length=128, strict=False)]


# --- what happens -----------------------------------------------------------------------------------------


class ToolCall(BaseModel):
    """One call of a tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="The call; its result names it.")
    name: str = Field(description="The tool.")
    arguments: str = Field(description="What it is given: an object, as JSON text.")


class AskedFunction(BaseModel):
    """What a call of a tool names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="The tool.")
    arguments: str = Field(description="What it was given: an object, as JSON text.")


class AskedTool(BaseModel):
    """A call of a tool as it stands in a history, in the shape that models' endpoints take it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(description="The call; its result names it.")
    type: Literal["function"] = Field(default="function", description="Always this.")
    function: AskedFunction = Field(description="Which tool, and what it was given.")


class LlmToolCall(TurnEvent):
    """The language model wants tools to be run: answer with one `llm.tool_result` for all of them, or with
    several. Comes only when the turn is over, so that what it asks for is not taken back.

    A batch that has no answer when the agent connects again is sent once more, with the same `msg_id`.
    """

    event: Literal["llm.tool_call"] = "llm.tool_call"
    msg_id: str = Field(description="The batch, unique among calls; `llm.tool_result` repeats it.")
    tool_calls: tuple[ToolCall, ...] = Field(description="What is wanted.")


class ToolStarted(TurnEvent):
    """A tool runs, or would if it could. Followed by exactly one `tool.completed` or `tool.failed`."""

    event: Literal["tool.started"] = "tool.started"
    msg_id: str = Field(description="The batch.")
    tool_call_id: str = Field(description="The call of the tool.")
    name: str = Field(description="The tool, as the model named it.")
    kind: ToolKind = Field(
        description="Who runs it: `client` is the agent process, `page` the page of a browser call, `system` the server."
    )
    arguments: dict[str, Any] = Field(description="What it is given; empty where that could not be read.")


class ToolCompleted(TurnEvent):
    """A tool gave its result."""

    event: Literal["tool.completed"] = "tool.completed"
    msg_id: str = Field(description="The batch.")
    tool_call_id: str = Field(description="The call of the tool.")
    name: str = Field(description="The tool.")
    kind: ToolKind = Field(description="Who ran it.")
    result: Any = Field(default=None, description="What it gave, any JSON; absent: null.")
    duration_ms: int = Field(ge=0, description="From its start, milliseconds.")


class ToolFailed(TurnEvent):
    """A tool gave no result. The model is told why, and answers with that.

    A result that comes after a timeout is still made known to the model, and is not told here.
    """

    event: Literal["tool.failed"] = "tool.failed"
    msg_id: str = Field(description="The batch.")
    tool_call_id: str = Field(description="The call of the tool.")
    name: str = Field(description="The tool, as the model named it.")
    kind: ToolKind = Field(description="Who was to run it.")
    error: str = Field(description="Why, in words; the model is told the same.")
    code: ToolErrorCode = Field(
        description="`timeout`; `bad_arguments`: not an object of JSON; `unknown_tool`: no tool has that name; "
        "`agent_gone`: the agent did not come back; `error`: the tool's own word, or the end of the call."
    )
    duration_ms: int = Field(ge=0, description="From its start, milliseconds.")
