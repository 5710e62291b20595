"""What the live calls of other nodes look like in a list, and what theirs is told of those here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from server.book import CallBook
from server.cluster.messages import Message
from server.ring import Entry
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
        self._firsts: dict[str, Entry] = {}
        """How these began."""
        self._told: dict[str, Entry | None] = {}
        """Of those here: how they began, as it was told."""

    # --- those here ---------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Tell what becomes of them, until cancelled."""
        with self._book.changes() as changes:
            while True:
                await changes.wait(IDLE_S)
                for call_id, summary in changes.take().items():
                    if isinstance(summary, CallSummary):
                        first = self._book.first(call_id)
                        new = first is not None and self._told.get(call_id) is not first
                        self._told[call_id] = first
                        self._tell({"t": "call", **self._shown(summary, first if new else None)})
                    elif call_id in self._told:
                        del self._told[call_id]
                        self._tell({"t": "call", "i": call_id})
                await asyncio.sleep(EVERY_S)

    def own(self) -> list[Message]:
        here = self._book.live_here()
        return [self._shown(summary, self._book.first(summary.call_id)) for summary in here]

    def _shown(self, summary: CallSummary, first: Entry | None) -> Message:
        told = {**summary.as_json(self._book.now()), "node": self._node}
        metadata = dict(summary.facts.metadata or {}) or None
        shown = {"i": summary.call_id, "k": summary.slug, "as": told, "md": metadata}
        return shown if first is None else {**shown, "f": [first.seq, first.event, first.data.decode()]}

    # --- those of other nodes -----------------------------------------------------------------------------

    def told(self, node: str, message: Message) -> None:
        calls, call_id = self._calls.setdefault(node, {}), message["i"]
        if "as" not in message:
            self._firsts.pop(call_id, None)
            if calls.pop(call_id, None) is not None and not self._book.is_live(call_id):
                self._book.gone((call_id,))
        elif len(calls) < MAX_LISTED:
            calls[call_id] = summary = _summary(message)
            if "f" in message:
                seq, event, data = message["f"]
                self._firsts[call_id] = Entry(call_id, seq, summary.created_at, event, data.encode())
            self._book.changed(summary)

    def replace(self, node: str, messages: list[Message]) -> None:
        """These are all that it has."""
        gone = self._calls.pop(node, {}).keys() - {message["i"] for message in messages}
        self._book.gone(gone)
        for call_id in gone:
            self._firsts.pop(call_id, None)
        for message in messages:
            self.told(node, message)

    def of(self, node: str) -> list[PastSummary]:
        return list(self._calls.get(node, {}).values())

    def firsts(self) -> list[Entry]:
        """How the live calls of other nodes began."""
        return list(self._firsts.values())

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
