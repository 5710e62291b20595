"""A server's store with a book before it: calls are told of by hand, and looked at as the doors do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from pipeline.events import CallEnded, CallStarted, EndReason, Event, Utterance
from server.agents import AgentRegistry
from server.book import CallBook, Summary
from server.call import Call
from server.clock import Clock
from server.past import Page
from server.protocol import AgentCreate
from server.recordings import Recordings
from server.resolve import resolve
from server.ring import Entry
from server.settings import Settings
from server.store.database import Database
from server.store.migrate import upgrade
from server.store.opened import Kept, opened
from server.tokens import Tokens
from server.wire import CallFacts
from tests.server.test_calls import DEFAULTS, Owner


@dataclass
class Home:
    kept: Kept
    book: CallBook
    clock: Clock
    tokens: Tokens
    recordings: Recordings
    data_dir: Path

    def begin(self, call_id: str = "CA1", agent_id: str = "Tester", from_: str = "+15550001111") -> Call:
        registry = AgentRegistry()
        agent = registry.create(agent_id, Owner(), AgentCreate(agent_id=agent_id), 0.0)
        config = resolve([agent.configuration], DEFAULTS)
        call = Call(CallFacts(call_id, agent_id, from_, "+15550002222"), agent, config, self.clock)
        self.book.rang(call)
        call.journal.append(CallStarted("en"))
        return call

    def tell(self, call: Call, *events: Event) -> None:
        for event in events:
            call.journal.append(event)

    def end(
        self,
        call: Call,
        transcript: tuple[Utterance, ...] = (),
        reason: EndReason = EndReason.HANGUP,
        *,
        recorded: bool = False,
    ) -> None:
        now = asyncio.get_running_loop().time()
        call.journal.append(CallEnded(reason, "", now, 1.0, transcript))
        self.book.over(call, recorded=recorded)

    async def flush(self) -> None:
        await self.kept.flush()

    async def log(self, call_id: str, after: int = 0, limit: int = 1000) -> list[bytes]:
        return [entry.data for entry in await self.entries(call_id, after, limit)]

    async def entries(self, call_id: str, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        page = await self.book.page(call_id, after, limit)
        assert isinstance(page, Page)
        return page.entries

    async def found(self, call_id: str) -> Summary:
        summary = await self.book.find(call_id)
        assert summary is not None
        return summary

    async def ids(self, **query: Any) -> list[str]:
        return [call.call_id for call in await self.book.ended(1000, **query)]


async def migrated(url: str) -> None:
    database = await asyncio.to_thread(Database, url)
    try:
        await upgrade(database)
    finally:
        await database.aclose()


@asynccontextmanager
async def home(url: str, data_dir: Path, *, migrate: bool = True, **settings: Any) -> AsyncIterator[Home]:
    """Open until the context ends, as a server that is stopped in order."""
    if migrate and url.startswith("postgres"):
        await migrated(url)
    made = Settings(database_url=SecretStr(url), data_dir=data_dir, **settings)
    clock, tokens = Clock(asyncio.get_running_loop()), Tokens("s" * 64)
    recordings = Recordings(data_dir / "recordings")
    async with opened(made, clock, recordings, tokens) as kept:
        book = CallBook(kept.calls, clock, drawn=True)
        kept.on_closed = book.closed_for_another
        yield Home(kept, book, clock, tokens, recordings, data_dir)
