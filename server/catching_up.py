"""An agent that was away for longer than memory reaches: what it missed is read from where calls are kept.

It is told in order and once, as what is in memory is; events that come meanwhile wait behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import Final, Protocol

import orjson
import structlog

from server.agents import Agent, Owner, slug
from server.part import Part
from server.past import Page, StoreUnavailable
from server.protocol import AgentResumed, ResumedCall, ServerWarning, WarningCode, to_json
from server.ring import Entry

log = structlog.get_logger(__name__)

PAGE: Final = 500
AGAIN_S: Final = (0.5, 2.0, 5.0)
"""After so long it is tried once more where what is kept cannot be read."""
TOO_LONG: Final = "are no longer kept: the agent was away too long"
AT_THE_MOMENT: Final = "cannot be read at the moment ({}): come back with the seq that you have"
NOBODYS: Final = ("call.summary",)
"""Entries of the log that no agent is told of."""


class Archive(Protocol):
    """Where calls are kept, and their memory before it. Raises ``StoreUnavailable``."""

    async def page(self, call_id: str, after: int, limit: int) -> Page | None: ...

    async def told(self, call_id: str, names: tuple[str, ...]) -> list[Entry]: ...


async def catch_up(part: Part, owner: Owner, archive: Archive) -> None:
    """Tell what has gone out of memory of a call that is in it."""
    why = "could not be read, for a fault of the server"
    try:
        while part.owner is owner and part.lost:
            page = await _page(archive, part.call_id, part.cursor)
            if page is None or page.lost or not page.entries:
                why = TOO_LONG
                break
            own = _own(page.entries, part.agent_id, part.key)
            if part.owner is not owner or not part.take(own, page.entries[-1].seq):
                return  # It came back once more meanwhile, or takes no more.
        else:
            why = ""
    except StoreUnavailable as error:
        why = AT_THE_MOMENT.format(error)
    finally:
        part.read(owner, why)


async def missed(agent: Agent, call_ids: Iterable[str], archive: Archive) -> None:
    """Tell of calls that are over and not in memory any more; of those that are not kept either, that they are gone."""
    owner = agent.owner
    cursors = owner.resume or {}
    gone: list[str] = []
    for call_id in call_ids:
        try:
            await _missed(agent, call_id, cursors[call_id], archive, gone)
        except StoreUnavailable as error:
            text = f"what was missed of a call {AT_THE_MOMENT.format(error)}"
            place = {"agent_id": agent.agent_id, "call_id": call_id}
            owner.offer(to_json(ServerWarning(**place, code=WarningCode.EVENTS_LOST, warning=text)))
    if gone:
        owner.offer(to_json(AgentResumed(agent_id=agent.agent_id, calls=(), gone=tuple(gone))))


async def guarded(reading: Awaitable[None]) -> None:
    """One of these, as a task of the group of all calls."""
    try:
        await reading
    except Exception:
        # There an exception would end all of them.
        log.exception("call.not_caught_up")


async def _missed(agent: Agent, call_id: str, cursor: int, archive: Archive, gone: list[str]) -> None:
    page = await _page(archive, call_id, cursor)
    if page is None or not page.over or cursor > page.last_seq:
        gone.append(call_id)
        return
    began = await archive.told(call_id, ("call.ringing", "call.dialing", "call.started", "call.ended"))
    mine = {told for e in began if slug(told := orjson.loads(e.data)["agent_id"]) == agent.slug}
    owner, told = agent.owner, False
    while mine and page is not None and page.entries:
        entries = [entry for name in mine for entry in _own(page.entries, name, agent.slug)]
        if entries and not told:
            told = True
            call = ResumedCall(call_id=call_id, last_seq=page.last_seq, live=False)
            owner.offer(to_json(AgentResumed(agent_id=agent.agent_id, calls=(call,), gone=())))
        if not all(owner.offer(entry.data, entry) for entry in entries):
            return
        page = await _page(archive, call_id, page.entries[-1].seq)
    if mine and not told and orjson.loads(began[-1].data).get("reason") == "failed":
        # A killed server may have told more than was written: then the end that was found for it is not news.
        gone.append(call_id)


async def _page(archive: Archive, call_id: str, after: int) -> Page | None:
    for wait_s in AGAIN_S:
        try:
            return await archive.page(call_id, after, PAGE)
        except StoreUnavailable:
            await asyncio.sleep(wait_s)
    return await archive.page(call_id, after, PAGE)


def _own(entries: Iterable[Entry], agent_id: str, key: str) -> list[Entry]:
    """Those that are for this agent, as memory would have them."""
    return [
        replace(entry, key=key)
        for entry in entries
        if entry.event not in NOBODYS and orjson.loads(entry.data).get("agent_id") == agent_id
    ]
