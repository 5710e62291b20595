"""Calls of tools as they come in a stream of a chat: in pieces, and not from all servers alike. Pure.

Source: ``types.chat.chat_completion_chunk`` of the ``openai`` package 3.54, for what the hosted service sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from pipeline.ports import ToolCall

MAX_CALLS, MAX_ARGUMENT_CHARS = 128, 200_000
"""Of one answer, and of all its calls together."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """Some of one call of a tool: in a stream its first piece has the name, and each some of the arguments."""

    index: int | None
    """Which call of the answer it is; None where the server does not count them."""
    id: str
    name: str
    arguments: str


def is_object(text: str) -> bool:
    """Whether this is the JSON of an object."""
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str
    name: str
    arguments: str


class CallJoiner:
    """The pieces of an answer's calls, joined.

    By their index, as OpenAI counts them; some servers count nothing, or give each whole call the same number,
    or each piece another id.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._chars = 0

    def feed(self, piece: CallPiece) -> None:
        """Raises ``ValueError`` where it is too much."""
        self._chars += len(piece.arguments) + len(piece.name)
        call = self._same(piece)
        if call is None:
            call = _Call(piece.index, "", "", "")
            self._calls.append(call)
        if len(self._calls) > MAX_CALLS or self._chars > MAX_ARGUMENT_CHARS:
            raise ValueError("more calls of tools than anybody wants")
        call.id = call.id or piece.id
        call.name = call.name or piece.name
        call.arguments += piece.arguments

    def _same(self, piece: CallPiece) -> _Call | None:
        """The call that it goes on with; None: it begins one."""
        calls = self._calls if piece.index is None else [c for c in self._calls if c.index == piece.index]
        call = calls[-1] if calls else None
        if call is None or not (piece.name and call.name):
            return call
        # It has a name, as first pieces do.
        if piece.id and call.id:
            return call if piece.id == call.id else None
        whole = bool(piece.arguments) and is_object(call.arguments)
        return None if piece.index is None or whole else call

    def calls(self, make_id: Callable[[], str]) -> tuple[ToolCall, ...]:
        """All of them. Where a server gives no ids, or one of them twice, they are made."""
        found: list[ToolCall] = []
        for call in self._calls:
            known = {other.id for other in found}
            call_id = call.id if call.id and call.id not in known else make_id()
            found.append(ToolCall(call_id, call.name, call.arguments))
        return tuple(found)
