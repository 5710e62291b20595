"""An answer as pieces in time, and what a plan makes of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.fakes.openai_endpoint import wire
from tests.fakes.openai_endpoint.plan import Plan

Piece = tuple[float, bytes]
"""Seconds after the piece before, and what is sent."""

NOISE = bytes(range(1, 255, 2))
"""Garbage for a stream of audio: of odd length too."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    pieces: Sequence[Piece]
    kind: Literal["whole", "events", "audio"] = "whole"
    """``whole`` is sent with its length, the others in chunks."""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def length(self) -> int | None:
        return sum(len(data) for _, data in self.pieces) if self.kind == "whole" else None


def whole(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, "application/json", [(0.0, wire.dump(value))], headers=headers)


def as_planned(answer: Answer, plan: Plan) -> Answer:
    """The answer with what is wrong with its content; ``answer`` itself where nothing is."""
    if plan.body is not None:
        answer = replace(answer, pieces=[(0.0, plan.body)], kind="whole")
    if plan.content_type is not None:
        answer = replace(answer, content_type=plan.content_type)
    pieces = list(answer.pieces)
    if answer.kind == "whole" and plan.breaks_body():
        pieces = _halved(b"".join(data for _, data in pieces))
    if answer.kind == "events":
        pieces = _faulty_events(pieces, plan)
    elif answer.kind == "audio" and plan.garbage_after is not None:
        pieces.insert(plan.garbage_after, (0.0, NOISE))
    if plan.end_after is not None:
        pieces = pieces[: plan.end_after]
    return replace(answer, pieces=_timed(pieces, plan), headers=(*answer.headers, *plan.headers))


def _halved(body: bytes) -> list[Piece]:
    middle = len(body) // 2
    return [(0.0, body[:middle]), (0.0, body[middle:])]


def _faulty_events(pieces: list[Piece], plan: Plan) -> list[Piece]:
    if plan.garbage_after is not None:
        pieces.insert(plan.garbage_after, (0.0, wire.GARBAGE_EVENT))
    if plan.error_after is not None:
        pieces = [*pieces[: plan.error_after], (0.0, wire.ERROR_EVENT)]
    size = plan.piece_bytes
    if size is None:
        return pieces
    return [
        (gap_s if at == 0 else 0.0, data[at : at + size])
        for gap_s, data in pieces
        for at in range(0, len(data), size)
    ]


def _timed(pieces: list[Piece], plan: Plan) -> list[Piece]:
    if plan.pace_ms is None and not plan.gaps_ms:
        return pieces
    gaps_s = [
        gap_s if plan.pace_ms is None or i == 0 else plan.pace_ms / 1000
        for i, (gap_s, _) in enumerate(pieces)
    ]
    for i, gap_ms in enumerate(plan.gaps_ms[: len(pieces)]):
        gaps_s[i] = gap_ms / 1000
    return [(gap_s, data) for gap_s, (_, data) in zip(gaps_s, pieces, strict=True)]


def refusal(status: int, plan: Plan, key: str) -> Answer:
    """The error that a plan wants."""
    body = wire.error(status, plan.message)
    if plan.code is not None:
        body["error"]["code"] = plan.code or None
    if plan.error_type is not None:
        body["error"]["type"] = plan.error_type
    shown = key if plan.message is not None else wire.masked(key)
    message = body["error"]["message"].replace("{key}", shown)
    body["error"]["message"] = message + "." * (plan.message_bytes - len(message))
    headers: tuple[tuple[str, str], ...] = ()
    if plan.retry_after_s is not None:
        after_ms = round(plan.retry_after_s * 1000)
        headers = (("retry-after", str(-(-after_ms // 1000))), ("retry-after-ms", str(after_ms)))
    return whole(body, status, headers)
