"""What is written of calls: small values that may be written twice and are there once.

Pure. A line of the spool is one of them; each says all that its row needs, so that it can be written by another process
than the one that made it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from server.ring import Entry

OVERHEAD_BYTES = 250
"""What one of them costs in memory beside its text."""


@dataclass(frozen=True, slots=True)
class Began:
    """A call has its first event. ``call`` is its row."""

    call_id: str
    call: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The waveform of a call that is over; times in epoch seconds."""

    until_ms: int
    starts_at: float
    until_at: float
    user: bytes
    bot: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """All was told of a call."""

    call_id: str
    call: Mapping[str, Any]
    drawn: Drawn | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """So many events of a call could not be kept, the last of them ``to_seq``."""

    call_id: str
    count: int
    to_seq: int


@dataclass(frozen=True, slots=True)
class Used:
    """A token that is good for once was used; it expires at ``until``, epoch seconds."""

    token_id: str
    until: float


Op = Began | Entry | Ended | Lost | Used


def size_of(op: Op) -> int:
    """Bytes of memory, about."""
    match op:
        case Entry():
            return OVERHEAD_BYTES + len(op.data)
        case Ended(drawn=Drawn() as drawn):
            return 4 * OVERHEAD_BYTES + len(drawn.user) + len(drawn.bot)
        case _:
            return 4 * OVERHEAD_BYTES


def to_line(op: Op) -> bytes:
    """JSON without line breaks, and one at its end."""
    match op:
        case Entry():
            told: list[Any] = ["event", op.call_id, op.seq, op.ts, op.event, op.data.decode()]
        case Began():
            told = ["began", op.call_id, op.call]
        case Ended():
            told = ["ended", op.call_id, op.call, _drawn_to_json(op.drawn)]
        case Lost():
            told = ["lost", op.call_id, op.count, op.to_seq]
        case Used():
            told = ["used", op.token_id, op.until]
        case _:
            assert_never(op)
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes) -> Op:
    """Raises ``ValueError`` for what is no such line, as the last one of a killed process may be."""
    try:
        match orjson.loads(line):
            case ["event", str(call_id), int(seq), float(ts), str(event), str(data)]:
                return Entry(call_id, seq, ts, event, data.encode())
            case ["began", str(call_id), dict(call)]:
                return Began(call_id, call)
            case ["ended", str(call_id), dict(call), drawn]:
                return Ended(call_id, call, _drawn_from_json(drawn))
            case ["lost", str(call_id), int(count), int(to_seq)]:
                return Lost(call_id, count, to_seq)
            case ["used", str(token_id), float(until)]:
                return Used(token_id, until)
            case _:
                raise ValueError("none of ours")
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"not a line of the spool: {error}") from None


def _drawn_to_json(drawn: Drawn | None) -> dict[str, Any] | None:
    if drawn is None:
        return None
    return {
        "until_ms": drawn.until_ms,
        "starts_at": drawn.starts_at,
        "until_at": drawn.until_at,
        "user": base64.b64encode(drawn.user).decode("ascii"),
        "bot": base64.b64encode(drawn.bot).decode("ascii"),
    }


def _drawn_from_json(told: dict[str, Any] | None) -> Drawn | None:
    if told is None:
        return None
    return Drawn(
        told["until_ms"],
        told["starts_at"],
        told["until_at"],
        base64.b64decode(told["user"]),
        base64.b64decode(told["bot"]),
    )
