"""What the live calls of other nodes look like in a list, and what theirs is told of those here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from server.book import CallBook
from server.cluster.messages import Message
from server.summary import CallSummary, PastSummary
from server.wire import CallFacts

log = structlog.get_logger(__name__)

EVERY_S: Final = 0.5
"""A call is told so often at most, however much happens in it."""
IDLE_S: Final = 30.0
MAX_LISTED: Final = 20_000


class Listing:
    """Of this node. ``tell`` says something to all others."""

    def __init__(self, node: str, book: CallBook, tell: Callable[[Message], None]) -> None:
        self._node = node
        self._book = book
        self._tell = tell
        self._calls: dict[str, dict[str, PastSummary]] = {}
        """Of other nodes, by node and call."""
        self._told: set[str] = set()

    # --- those here ---------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Tell what becomes of them, until cancelled."""
        with self._book.changes() as changes:
            while True:
                await changes.wait(IDLE_S)
                for call_id, summary in changes.take().items():
                    if isinstance(summary, CallSummary):
                        self._told.add(call_id)
                        self._tell({"t": "call", **self._shown(summary)})
                    elif call_id in self._told:
                        self._told.discard(call_id)
                        self._tell({"t": "call", "i": call_id})
                await asyncio.sleep(EVERY_S)

    def own(self) -> list[Message]:
        return [self._shown(summary) for summary in self._book.live_here()]

    def _shown(self, summary: CallSummary) -> Message:
        told = {**summary.as_json(self._book.now()), "node": self._node}
        metadata = dict(summary.facts.metadata or {}) or None
        return {"i": summary.call_id, "k": summary.slug, "as": told, "md": metadata}

    # --- those of other nodes -----------------------------------------------------------------------------

    def told(self, node: str, message: Message) -> None:
        calls, call_id = self._calls.setdefault(node, {}), message["i"]
        if "as" not in message:
            if calls.pop(call_id, None) is not None and not self._book.is_live(call_id):
                self._book.gone((call_id,))
        elif len(calls) < MAX_LISTED:
            calls[call_id] = summary = _summary(message)
            self._book.changed(summary)

    def replace(self, node: str, messages: list[Message]) -> None:
        """These are all that it has."""
        gone = self._calls.pop(node, {}).keys() - {message["i"] for message in messages}
        self._book.gone(gone)
        for message in messages:
            self.told(node, message)

    def of(self, node: str) -> list[PastSummary]:
        return list(self._calls.get(node, {}).values())

    def all(self) -> list[PastSummary]:
        return [summary for calls in self._calls.values() for summary in calls.values()]


def _summary(message: Message) -> PastSummary:
    told: dict[str, Any] = message["as"]
    facts = CallFacts(
        told["call_id"],
        told["agent_id"],
        told["from"],
        told["to"],
        told["direction"],
        told["transport"],
        message["md"],
    )
    return PastSummary(facts, message["k"], told)
