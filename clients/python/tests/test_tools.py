"""What the server's language model is shown of an agent's functions, and what it gets from them."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import functools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from talkwire_agent import Agent, Call, HandlerFailed, Talkwire, TooLarge, ToolError, ToolResult
from talkwire_agent.docstrings import read
from talkwire_agent.signatures import BadArguments, Signature
from talkwire_agent.testing import ScriptedCall, ScriptedServer, virtual_time


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Guest(BaseModel):
    """Who comes."""

    name: str
    title: str | None = None


class Tree(BaseModel):
    branches: list[Tree] = []


def book(
    day: str,
    guests: Annotated[int, "How many"],
    size: Size = Size.SMALL,
    mode: Literal["inside", "outside"] = "inside",
    who: Optional[Guest] = None,  # noqa: UP045
    table: Annotated[int, Field(ge=1, description="Its number")] = 3,
    hours: float = Field(2, le=4, description="For how long"),
    *,
    _note: str = "",
    call: Call,
) -> str:
    """Book a table.

    Ask for the day first.

    Args:
        day: The day,
            in words.
        size (Size): Of the table.
        _note: What else there is.

    Returns:
        A number.
    """
    return f"{day} {guests} {size} {mode} {who} {table} {hours} {call}"


def test_a_signature_is_shown_as_a_schema() -> None:
    signature = Signature(book, Call)
    assert signature.description == "Book a table.\n\nAsk for the day first."
    assert signature.call == "call"
    guest = {
        "type": "object",
        "description": "Who comes.",
        "properties": {
            "name": {"type": "string"},
            "title": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["name"],
    }
    assert signature.schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["day", "guests"],
        "properties": {
            "day": {"type": "string", "description": "The day, in words."},
            "guests": {"type": "integer", "description": "How many"},
            "size": {
                "type": "string",
                "enum": ["small", "large"],
                "default": "small",
                "description": "Of the table.",
            },
            "mode": {"type": "string", "enum": ["inside", "outside"], "default": "inside"},
            "who": {"anyOf": [guest, {"type": "null"}], "default": None},
            "table": {"type": "integer", "minimum": 1, "description": "Its number", "default": 3},
            "hours": {"type": "number", "maximum": 4, "description": "For how long", "default": 2},
            "_note": {"type": "string", "default": "", "description": "What else there is."},
        },
    }


def test_arguments_are_read_as_the_types_say() -> None:
    given = Signature(book, Call).read('{"day":"today","guests":"3","who":{"name":"Ann"},"size":"large"}')
    who = Guest(name="Ann")
    assert given == {"day": "today", "guests": 3, "who": who, "size": Size.LARGE, "hours": 2}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("", "day: is missing; guests: is missing"),
        ('{"day":"x","guests":"many"}', 'guests: .*integer.*, got "many"'),
        ('{"day":"x","guests":1,"discount":9}', "discount: there is no such parameter"),
        ('{"day":"x","guests":1,"table":0}', "table: .*greater than or equal to 1, got 0"),
        ('{"day":"x","guests":1,"who":{}}', r"who\.name: is missing"),
        ("[]", "object"),
        ("{", "Invalid JSON"),
    ],
)
def test_what_does_not_fit_is_told_where(arguments: str, fault: str) -> None:
    with pytest.raises(BadArguments, match=fault):
        Signature(book, Call).read(arguments)


def test_a_type_that_contains_itself_keeps_its_references() -> None:
    def plant(tree: Tree) -> None: ...

    schema = Signature(plant, Call).schema
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    assert "title" not in schema["$defs"]["Tree"]


def test_functions_of_all_kinds() -> None:
    class Shop:
        def price(self, article: str) -> None:
            """What it costs."""

        def __call__(self, article: str) -> None: ...

    for function in (Shop().price, Shop(), functools.partial(Shop().price)):
        assert Signature(function, Call).schema["required"] == ["article"]
    assert Signature(functools.partial(Shop().price), Call).description == "What it costs."


def test_a_parameter_called_call_may_be_something_else() -> None:
    def dial(call: str) -> None: ...

    def note(text, call): ...  # type: ignore[no-untyped-def]

    assert Signature(dial, Call).call is None
    assert Signature(note, Call).call == "call"
    assert Signature(note, Call).schema["properties"] == {"text": {}}


def stars(*words: str) -> None: ...
def keywords(**words: str) -> None: ...
def nameless(word: str, /) -> None: ...
def unknown(word: Nothing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def unshown(lock: threading.Event) -> None: ...


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (stars, "has no name"),
        (keywords, "has no name"),
        (nameless, "has no name"),
        (unknown, "is not known where the module is loaded"),
        (unshown, "tool unshown: Unable to generate"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_its_name(function: Any, fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        Talkwire("key").agent("x").tool(function)


NUMPY = """Add.

Parameters
----------
one, two : int
    What is
    added.
other
    More.

Returns
-------
int
    The sum.
"""
SPHINX = """Add.

:param int one: What is
    added.
:param other: More.
:returns: The sum.
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, {}),
        ("Only prose: with a colon.\nAnd more.", {}),
        (SPHINX, {"one": "What is added.", "other": "More."}),
        (NUMPY, {"one": "What is added.", "two": "What is added.", "other": "More."}),
        (
            "Add.\n\nArguments:\n    one (int, optional): What: is.\n\n        More.\n",
            {"one": "What: is. More."},
        ),
    ],
)
def test_docstrings_of_three_styles(text: str | None, said: dict[str, str]) -> None:
    description, parameters = read(text)
    assert parameters == said
    assert description == ("" if text is None else text if not said else "Add.")


# --- running ----------------------------------------------------------------------------------------------


def made() -> tuple[Talkwire, Agent]:
    tw = Talkwire("key")
    agent = tw.agent("tester")
    agent.phone("*")
    return tw, agent


@asynccontextmanager
async def asked(tw: Talkwire, *, faults: bool = False) -> AsyncIterator[tuple[ScriptedServer, ScriptedCall]]:
    """A call whose user has said something. ``faults``: tools raise, and are meant to."""
    async with ScriptedServer(tw) as server:
        caller = server.call()
        caller.says("please")
        await server.quiet()
        yield server, caller
        if faults:
            server.failures.clear()


@virtual_time
async def test_the_model_gets_what_a_function_returns() -> None:
    tw, agent = made()

    @agent.tool
    def add(one: int, two: int = 2) -> int:
        return one + two

    @agent.tool(name="who", description="The caller.", timeout_s=2.5, filler="One moment.")
    async def caller_of(call: Call) -> dict[str, Any]:
        await asyncio.sleep(2)
        return {"from": call.from_, "at": datetime.date(2026, 1, 2)}

    assert add(1) == 3
    async with asked(tw) as (server, caller):
        assert (await server.command("agent.create"))["tools"] == [
            {
                "type": "function",
                "function": {
                    "name": "add",
                    "parameters": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["one"],
                        "properties": {"one": {"type": "integer"}, "two": {"type": "integer", "default": 2}},
                    },
                },
            },
            {
                "type": "function",
                "function": {
                    "name": "who",
                    "description": "The caller.",
                    "timeout_ms": 2500,
                    "filler": "One moment.",
                    "parameters": {"type": "object", "additionalProperties": False, "properties": {}},
                },
            },
        ]
        assert await caller.model_calls("add", one=1) == 3
        assert await caller.model_calls("who") == {"from": "+15550001111", "at": "2026-01-02"}
        with pytest.raises(AssertionError, match="shown no tool 'fly'; it is shown add, who"):
            await caller.model_calls("fly")


@virtual_time
async def test_results_are_sent_as_they_come_and_in_order() -> None:
    tw, agent = made()

    @agent.tool(no_followup=True)
    async def slow() -> str:
        await asyncio.sleep(3)
        return "slow"

    @agent.tool(ephemeral=True)
    def quick(n: int) -> int:
        return n

    @agent.tool
    def said() -> ToolResult:
        return ToolResult("said", ephemeral=True, no_followup=True)

    async with asked(tw) as (server, caller):
        wanted: tuple[Any, ...] = (("quick", {"n": 1}), ("slow", {}), ("said", {}))
        assert await caller.model_calls_all(*wanted) == [1, "slow", "said"]
        frames = [frame["results"] for frame in server.commands if frame["event"] == "llm.tool_result"]
        assert frames == [
            [
                {"tool_call_id": "call_1_0", "result": 1, "ephemeral": True},
                {"tool_call_id": "call_1_2", "result": "said", "ephemeral": True, "no_followup": True},
            ],
            [{"tool_call_id": "call_1_1", "result": "slow", "no_followup": True}],
        ]


@virtual_time
async def test_what_goes_wrong_is_told_to_the_model_and_to_the_agent() -> None:
    tw, agent = made()
    told: list[str] = []

    @agent.on("error")
    def failed(event: HandlerFailed) -> None:
        told.append(event.error or "")

    @agent.tool
    def boom(n: int) -> None:
        raise RuntimeError("no power")

    @agent.tool
    def no_order() -> None:
        raise ToolError("there is no such order")

    @agent.tool
    def no_json() -> object:
        return object()

    @agent.tool
    async def given_up() -> None:
        waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waited.cancel()
        await waited

    @agent.tool
    def huge() -> str:
        return "x" * (1 << 20)

    async with asked(tw, faults=True) as (server, caller):
        assert await caller.model_calls("boom", n=1) == {"error": "no power"}
        assert await caller.model_calls("boom", n="x") == {
            "error": 'n: Input should be a valid integer, unable to parse string as an integer, got "x"'
        }
        assert await caller.model_calls("no_order") == {"error": "there is no such order"}
        assert "no JSON" in (await caller.model_calls("no_json"))["error"]
        assert await caller.model_calls("given_up") == {"error": "what it waited for was cancelled"}
        wanted: tuple[Any, ...] = (("huge", {}), ("no_order", {}))
        assert await caller.model_calls_all(*wanted) == [
            {"error": "the result has 1048609 bytes; a server takes 1044480 at most"},
            {"error": "there is no such order"},
        ]
        await server.quiet()
        assert [type(failure) for failure in server.failures] == [
            RuntimeError,
            TypeError,
            RuntimeError,
            TooLarge,
        ]
        assert told[0] == "tool boom failed: RuntimeError: no power"
        assert len(told) == 4


def wants(caller: ScriptedCall, *names: str, msg_id: str = "b1") -> None:
    calls = [{"id": f"c_{name}", "name": name, "arguments": "{}"} for name in names]
    caller.in_turn("llm.tool_call", msg_id=msg_id, tool_calls=calls)


@virtual_time
async def test_an_unknown_tool_is_answered() -> None:
    tw, agent = made()
    agent.tool(name="one")(lambda: 1)
    async with asked(tw) as (server, caller):
        wants(caller, "one", "two")
        command = await server.command("llm.tool_result")
        assert command["results"] == [
            {"tool_call_id": "c_one", "result": 1},
            {"tool_call_id": "c_two", "result": {"error": "Unknown tool: two"}},
        ]


@virtual_time
async def test_a_batch_that_is_asked_for_again_is_not_run_again() -> None:
    tw, agent = made()
    ran: list[str] = []

    @agent.tool
    async def one() -> str:
        ran.append("one")
        await asyncio.sleep(1)
        return "1"

    @agent.tool
    def two() -> str:
        ran.append("two")
        return "2"

    async with asked(tw) as (server, caller):
        wants(caller, "one", "two")
        await server.quiet()
        wants(caller, "one", "two")
        await asyncio.sleep(2)
        wants(caller, "one", "two")
        await server.quiet()
        frames = [frame["results"] for frame in server.commands if frame["event"] == "llm.tool_result"]
        given = [[result["result"] for result in results] for results in frames]
        assert given == [["2"], ["2"], ["1"], ["1", "2"]]
        assert ran == ["one", "two"]


@virtual_time
async def test_a_result_outlives_the_connection() -> None:
    tw, agent = made()

    @agent.tool
    async def slow() -> str:
        await asyncio.sleep(1)
        return "done"

    async with asked(tw) as (server, caller):
        result = asyncio.get_running_loop().create_task(caller.model_calls("slow"))
        await server.quiet()
        server.drop()
        assert await result == "done"
        assert server.connections == 2


@virtual_time
async def test_tools_end_with_their_call() -> None:
    tw, agent = made()
    ended: list[str] = []

    @agent.tool
    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("slow")

    async with asked(tw) as (server, caller):
        wants(caller, "slow")
        await server.quiet()
        caller.hangs_up()
        await server.quiet()
        assert ended == ["slow"]
        assert [frame for frame in server.commands if frame["event"] == "llm.tool_result"] == []


@virtual_time
async def test_handlers_answer_for_what_was_not_declared_as_a_function() -> None:
    tw = Talkwire("key")
    raw: Any = {"type": "function", "function": {"name": "raw"}}
    agent = tw.agent("tester", tools=[raw])
    agent.phone("*")

    @agent.on("llm.toolCall")
    def answer(event: Any, call: Call) -> None:
        for one in event.tool_calls:
            if one.name == "raw":
                call.tool_result(event.msg_id, {one.id: ToolResult({"day": datetime.date(2026, 1, 2)}, True)})

    async with asked(tw) as (server, caller):
        assert await caller.model_calls("raw") == {"day": "2026-01-02"}
        agent.tool(name="made")(lambda: 7)
        assert [tool["function"]["name"] for tool in (await server.command("agent.configure"))["tools"]] == [
            "raw",
            "made",
        ]
        later = server.call()
        later.says("and now")
        assert await later.model_calls_all(("raw", {}), ("made", {})) == [{"day": "2026-01-02"}, 7]


@virtual_time
async def test_a_blocking_function_runs_in_a_thread() -> None:
    names: list[str] = []
    tw, agent = made()
    agent.tool(name="here")(lambda: names.append(threading.current_thread().name))
    assert names == []
    async with asked(tw) as (_, caller):
        await caller.model_calls("here")
        assert names == [threading.main_thread().name]


async def test_a_blocking_function_leaves_the_loop_free() -> None:
    tw, agent = made()
    go = threading.Event()

    @agent.tool(blocking=True)
    def wait() -> bool:
        return go.wait(5)

    async with ScriptedServer(tw) as server:
        caller = server.call()
        caller.says("wait")
        result = asyncio.get_running_loop().create_task(caller.model_calls("wait"))
        await server.quiet()
        go.set()
        assert await result is True


def test_names_are_checked() -> None:
    agent = made()[1]
    with pytest.raises(ValueError, match="1 to 64 letters"):
        agent.tool(lambda: 1)
    agent.tool(name="one")(lambda: 1)
    with pytest.raises(ValueError, match="there is a tool 'one' already"):
        agent.tool(name="one")(lambda: 2)
    assert list(agent.tools) == ["one"]


@dataclasses.dataclass
class Slot:
    day: str
    free: bool


@virtual_time
async def test_what_pydantic_can_make_json_of() -> None:
    tw, agent = made()
    values: list[tuple[Any, Any]] = [
        (None, None),
        (Guest(name="Ann"), {"name": "Ann", "title": None}),
        (Slot("today", True), {"day": "today", "free": True}),
        ((Size.LARGE, {"a"}), ["large", ["a"]]),
        (float("nan"), None),
    ]
    agent.tool(name="value")(lambda number: values[number][0])
    async with asked(tw) as (_, caller):
        for number, (_, expected) in enumerate(values):
            assert await caller.model_calls("value", number=number) == expected
