"""The tools that a language model asks for while they run: what is sent to the agent or to the caller's page, what is
settled at once, and what each call's one end is.

Pure: time is an argument. A batch is what one answer asks for at once. Each call of it ends exactly once: with a
result, or with an error of which the model is told in its place. What comes after a timeout still replaces that
error for the model, and is no second end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from pipeline.events import ToolErrorCode, ToolKind, TurnRef
from pipeline.ports import ToolCall, ToolSpec

TIMEOUT_S = 30.0
MAX_RESULT_CHARS = 50_000
"""The model is told no more of a result."""
MAX_DEPTH = 100
"""Of objects and lists within arguments: what is deeper cannot be told as an event."""
MAX_BATCHES = 100
"""Of those that are over so many are remembered, for what comes late."""
MAX_SHOWN = 200
"""Characters of wrong arguments, and names of tools, in an error for the model."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What the model of a call may ask for."""

    spec: ToolSpec
    timeout_s: float | None = None
    """None: what holds for all tools of the call."""
    filler: str = ""
    """Said where it takes long; empty: what is said wherever an answer is late."""
    run: Callable[[Mapping[str, Any]], object] | None = None
    """What the server does itself, at once, given the arguments: its value is the result. None: the agent's
    process runs it, or the page."""
    page: bool = False
    """The page of a browser call runs it."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def kind(self) -> ToolKind:
        if self.run is not None:
            return "system"
        return "page" if self.page else "client"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What an agent or a page gives for one call."""

    tool_call_id: str
    result: Any
    """JSON. An object of nothing but a text ``error`` says that the tool failed."""
    ephemeral: bool = False
    """The model is to know of it for this answer only."""
    no_followup: bool = False
    """It wants no answer."""


@dataclass(frozen=True, slots=True)
class ToolStart:
    """One call of a batch."""

    call: ToolCall
    kind: ToolKind
    arguments: Mapping[str, Any]
    """Empty where they cannot be read."""


@dataclass(frozen=True, slots=True)
class ToolEnd:
    """How one call ended. Without ``code`` it gave ``result``; with it ``error`` says why it did not."""

    call: ToolCall
    kind: ToolKind
    text: str
    """For the model."""
    result: Any
    duration_ms: int
    code: ToolErrorCode | None = None
    error: str = ""
    ephemeral: bool = False
    no_followup: bool = False


@dataclass(frozen=True, slots=True)
class ToolBatch:
    """What one answer asks for."""

    msg_id: str
    turn: TurnRef
    starts: tuple[ToolStart, ...]
    sent: tuple[ToolCall, ...]
    """Those of them that the agent is to run."""
    shown: tuple[ToolCall, ...] = ()
    """Those of them that the page is to run."""


@dataclass(frozen=True, slots=True)
class Settled:
    """News of a call."""

    batch: ToolBatch
    end: ToolEnd
    late: bool = False
    """It had ended already, with a timeout for example: only the model is told."""


Taken = Literal["settled", "late", "twice", "unknown"]
"""What became of an agent's result."""


@dataclass(slots=True)
class _Running:
    start: ToolStart
    began: float
    deadline: float
    filler: str
    end: ToolEnd | None = None
    given: bool = False
    """Its agent has given a result."""


class ToolRunner:
    """The tools of one call, of all its turns."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._batches: dict[str, tuple[ToolBatch, dict[str, _Running]]] = {}
        self._over: deque[str] = deque()
        self._gone = False

    # --- what is under way --------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """A tool runs."""
        return any(True for _ in self._open())

    @property
    def deadline(self) -> float | None:
        """When the next one has run for too long."""
        return min((running.deadline for _, running in self._open()), default=None)

    @property
    def filler(self) -> str:
        """What is said while one of those that run takes its time."""
        return next((running.filler for _, running in self._open() if running.filler), "")

    def unanswered(self) -> list[ToolBatch]:
        """Those of which the agent still owes a result: an agent that comes back may have lost them."""
        found = {batch.msg_id: batch for batch, running in self._open() if running.start.kind == "client"}
        return list(found.values())

    def is_over(self, msg_id: str) -> bool:
        """Whether each call of a batch has ended."""
        return all(running.end is not None for running in self._running(msg_id).values())

    def wants_no_answer(self, msg_id: str) -> bool:
        """Whether each call of a batch has ended with the word that it wants none."""
        ends = [running.end for running in self._running(msg_id).values()]
        return all(end is not None and end.no_followup for end in ends)

    def _running(self, msg_id: str) -> dict[str, _Running]:
        return self._batches[msg_id][1] if msg_id in self._batches else {}

    def _open(self) -> Iterable[tuple[ToolBatch, _Running]]:
        for batch, calls in self._batches.values():
            for running in calls.values():
                if running.end is None:
                    yield batch, running

    # --- what happens -------------------------------------------------------------------------------------

    def begin(
        self, msg_id: str, turn: TurnRef, calls: Sequence[ToolCall], tools: Sequence[Tool], now: float
    ) -> tuple[ToolBatch, list[Settled]]:
        """A batch begins; with it what has ended at once: what cannot run, and what the server does itself.
        ``calls`` have different ids, and ``msg_id`` is used once."""
        known = {tool.name: tool for tool in tools}
        running: dict[str, _Running] = {}
        ended: list[ToolEnd] = []
        for call in calls:
            tool, arguments = known.get(call.name), _arguments(call.arguments)
            start = ToolStart(call, tool.kind if tool is not None else "client", arguments or {})
            end = self._at_once(start, tool, arguments, known)
            timeout_s = tool.timeout_s if tool is not None and tool.timeout_s is not None else self.timeout_s
            running[call.id] = _Running(start, now, now + timeout_s, tool.filler if tool else "", end)
            if end is not None:
                ended.append(end)
        wanted = [r.start for r in running.values() if r.end is None]
        sent, shown = (tuple(s.call for s in wanted if s.kind == kind) for kind in ("client", "page"))
        batch = ToolBatch(msg_id, turn, tuple(r.start for r in running.values()), sent, shown)
        self._batches[msg_id] = (batch, running)
        self._forget(msg_id)
        return batch, [Settled(batch, end) for end in ended]

    def _at_once(
        self,
        start: ToolStart,
        tool: Tool | None,
        arguments: Mapping[str, Any] | None,
        known: Mapping[str, Tool],
    ) -> ToolEnd | None:
        if tool is None:
            return _failed(start, 0, "unknown_tool", _unknown(start.call.name, known))
        if arguments is None:
            return _failed(start, 0, "bad_arguments", _unreadable(start.call, tool))
        if tool.run is None:
            gone = self._gone and not tool.page
            return _failed(start, 0, "agent_gone", _GONE) if gone else None
        try:
            result = tool.run(arguments)
        except Exception as error:  # noqa: BLE001 - a tool's own fault is the model's to know
            return _failed(start, 0, "error", str(error) or type(error).__name__)
        return _ended(start, ToolResult(start.call.id, result), 0)

    def take(
        self, msg_id: str, results: Iterable[ToolResult], now: float, by: Literal["client", "page"] = "client"
    ) -> tuple[list[Settled], dict[str, Taken]]:
        """The agent or the page gives results, of a whole batch or of some of it: what that settles, and what became
        of each by the id of its call. Of two for one call the first counts; nobody answers for the other."""
        settled: list[Settled] = []
        found: dict[str, Taken] = {}
        for result in results:
            running = self._running(msg_id).get(result.tool_call_id)
            batch = self._batches[msg_id][0] if running is not None else None
            if running is None or batch is None or running.start.call not in _of(batch, by):
                found.setdefault(result.tool_call_id, "unknown")
                continue
            if running.given:
                found.setdefault(result.tool_call_id, "twice")
                continue
            late = running.end is not None
            running.given = True
            end = _ended(running.start, result, _ms(now - running.began))
            if not late:
                running.end = end
            settled.append(Settled(batch, end, late))
            found[result.tool_call_id] = "late" if late else "settled"
        self._forget(msg_id)
        return settled, found

    def tick(self, now: float) -> list[Settled]:
        """What has run for too long."""
        late = [(batch, running) for batch, running in self._open() if now >= running.deadline]
        return [
            self._fail(
                batch,
                running,
                now,
                "timeout",
                f"no result came within {running.deadline - running.began:g} s",
            )
            for batch, running in late
        ]

    def agent_gone(self, now: float) -> list[Settled]:
        """The agent's process is given up: what it was to run fails, also from now on."""
        self._gone = True
        return self._fail_all(now, "agent_gone", _GONE, kind="client")

    def agent_back(self) -> None:
        self._gone = False

    def close(self, now: float) -> list[Settled]:
        """The call is over."""
        return self._fail_all(now, "error", "the call ended")

    def _fail_all(
        self, now: float, code: ToolErrorCode, error: str, kind: ToolKind | None = None
    ) -> list[Settled]:
        return [
            self._fail(batch, running, now, code, error)
            for batch, running in list(self._open())
            if kind in (None, running.start.kind)
        ]

    def _fail(
        self, batch: ToolBatch, running: _Running, now: float, code: ToolErrorCode, error: str
    ) -> Settled:
        running.end = _failed(running.start, _ms(now - running.began), code, error)
        self._forget(batch.msg_id)
        return Settled(batch, running.end)

    def _forget(self, msg_id: str) -> None:
        """Let go of the oldest that are over."""
        if msg_id in self._batches and msg_id not in self._over and self.is_over(msg_id):
            self._over.append(msg_id)
            if len(self._over) > MAX_BATCHES:
                del self._batches[self._over.popleft()]


def _of(batch: ToolBatch, by: Literal["client", "page"]) -> tuple[ToolCall, ...]:
    return batch.sent if by == "client" else batch.shown


_GONE = "the program that runs this tool is not connected"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _arguments(text: str) -> Mapping[str, Any] | None:
    """Some models write nothing where a tool takes nothing."""
    if not text.strip():
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and not _is_deeper(found, MAX_DEPTH) else None


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _is_deeper(item, levels - 1) for item in inner)


def _ended(start: ToolStart, given: ToolResult, duration_ms: int) -> ToolEnd:
    result = given.result
    text = result if isinstance(result, str) and result else _json(result)
    if len(text) > MAX_RESULT_CHARS:
        text = f"{text[:MAX_RESULT_CHARS]}\u2026 (cut off)"
    code: ToolErrorCode | None = None
    error = ""
    if isinstance(result, dict) and set(result) == {"error"} and isinstance(result["error"], str):
        code, error = "error", result["error"]
    return ToolEnd(
        start.call, start.kind, text, result, duration_ms, code, error, given.ephemeral, given.no_followup
    )


def _failed(start: ToolStart, duration_ms: int, code: ToolErrorCode, error: str) -> ToolEnd:
    return ToolEnd(start.call, start.kind, _json({"error": error}), None, duration_ms, code, error)


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return orjson.dumps(str(value).encode(errors="replace").decode()).decode()


def _unknown(name: str, known: Mapping[str, Tool]) -> str:
    shown = name[:MAX_SHOWN].encode(errors="replace").decode()
    valid = f"the tools are: {', '.join(list(known)[:MAX_SHOWN])}" if known else "there are none"
    return f"there is no tool {shown!r}; {valid}"


def _unreadable(call: ToolCall, tool: Tool) -> str:
    given = call.arguments[:MAX_SHOWN].encode(errors="replace").decode()
    schema = _json(dict(tool.spec.parameters) or {"type": "object", "properties": {}})
    return f"the arguments must be the JSON of an object as in {schema}; given was: {given}"
