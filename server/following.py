"""Whoever reads the call log, as he is told of it: what is kept behind his cursor, the word that this was all, then what
comes. A reader is a cursor and waits for nobody; what he does not take stays where it is.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from server.book import PAGE, AgentReader, CallBook, Reader
from server.envelopes import CAUGHT_UP, GAP, LogEntry, Wanted, in_call, marker, of_agent


@dataclass(frozen=True, slots=True)
class Batch:
    """What is told at once."""

    entries: list[LogEntry]
    over: bool = False
    """The log is sealed, and this is the end of it."""


class Follower(Protocol):
    """A reader of some log."""

    async def read(self) -> Batch | None:
        """What has come, which may be nothing. None: the log is not kept any more. Raises ``StoreUnavailable``."""

    def wait(self, patience_s: float) -> Coroutine[None, None, bool]:
        """Until there may be more. False: there was nothing for so long."""


class _Telling:
    """What all readers share: where they are, and what they were told of that."""

    def __init__(self, book: CallBook, call: str | None, agent: str, after: int) -> None:
        self._book = book
        self._call = call
        self._agent = agent
        self._last = after
        """The ``seq`` that was told last."""
        self._caught_up = False

    def _mark(self, kind: str, **data: int) -> LogEntry:
        return marker(kind, data, self._last, self._book.now(), self._call, self._agent)

    def _all_read(self, cursor: int) -> list[LogEntry]:
        """Once."""
        if self._caught_up:
            return []
        self._caught_up = True
        return [self._mark(CAUGHT_UP, seq=cursor)]


class CallFollower(_Telling):
    """Of the log of one call, from behind ``reader``'s cursor."""

    def __init__(self, book: CallBook, reader: Reader, call_id: str, agent: str, wanted: Wanted) -> None:
        super().__init__(book, call_id, agent, reader.after)
        self._reader = reader
        self._wanted = wanted
        self._gap_told = False

    def wait(self, patience_s: float) -> Coroutine[None, None, bool]:
        return self._reader.wait(patience_s)

    async def rest(self, patience_s: float) -> None:
        """For so long, or until the server stops: there is nothing to read any more."""
        await self._reader.rest(patience_s)

    async def read(self) -> Batch | None:
        cursor = self._reader.after
        page = await self._reader.read()
        if page is None:
            return None
        out: list[LogEntry] = []
        first = page.entries[0].seq if page.entries else page.last_seq + 1
        if page.lost and (first > cursor + 1 or not self._gap_told):
            self._gap_told = True
            out.append(self._mark(GAP, **{"from": cursor, "resume_from": first}))
        for entry in page.entries:
            told = in_call(entry)
            if told is not None and self._wanted.takes(told):
                out.append(told)
                self._last = told.seq
        if self._reader.after < page.last_seq and page.entries:
            return Batch(out)
        out += self._all_read(self._reader.after)
        return Batch(out, page.over)


class AgentFollower(_Telling):
    """Of the log of one agent: how its calls come and go."""

    def __init__(self, book: CallBook, reader: AgentReader, agent: str, wanted: Wanted) -> None:
        super().__init__(book, None, agent, reader.after)
        self._reader = reader
        self._wanted = wanted

    def wait(self, patience_s: float) -> Coroutine[None, None, bool]:
        return self._reader.wait(patience_s)

    async def read(self) -> Batch:
        cursor = self._reader.after
        page = await self._reader.read()
        out: list[LogEntry] = []
        if 0 < cursor < page.kept_from - 1:
            out.append(self._mark(GAP, **{"from": cursor, "resume_from": page.kept_from}))
        for place, entry in page.entries:
            told = of_agent(entry, place)
            if told is not None and self._wanted.takes(told):
                out.append(told)
                self._last = told.seq
        if len(page.entries) < PAGE:
            out += self._all_read(self._reader.after)
        return Batch(out)


@contextmanager
def following_call(
    book: CallBook, call_id: str, agent: str, after: int, wanted: Wanted
) -> Iterator[CallFollower]:
    """Follow a call from behind an event."""
    with book.reading(call_id, after) as reader:
        yield CallFollower(book, reader, call_id, agent, wanted)


@contextmanager
def following_agent(book: CallBook, agent: str, after: int, wanted: Wanted) -> Iterator[AgentFollower]:
    """Follow an agent from behind a place."""
    with book.reading_agents((agent,), after) as reader:
        yield AgentFollower(book, reader, agent, wanted)
