"""``GET /v1/calls/{id}/events``: the call log over HTTP, in pages, or as server-sent events to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from server.book import CallBook, Summary
from server.doors.call_query import number, whole
from server.doors.grants import Grant
from server.doors.guard import PRIVATE
from server.doors.log_query import MAX_SEQ, after_of, wanted_of
from server.envelopes import LogEntry, Wanted, in_call
from server.following import Follower, following_call
from server.past import StoreUnavailable
from server.sse import Write, event

PING: Final = b": ping\n\n"
PING_S: Final = 25.0
LIMIT: Final = 500
MAX_LIMIT: Final = 1000
READ_AT_ONCE: Final = 1000
MAX_READ: Final = 5000
"""Events that are looked at for one page: where few of them are wanted it may be short, and says where to go on."""
STREAM_S: Final = 3600.0
"""A stream does not last longer: who may not look any more must not go on doing so. It comes back by itself."""
OPEN: Final = {**PRIVATE, "Cross-Origin-Resource-Policy": "cross-origin", "Access-Control-Allow-Origin": "*"}
"""For the holder of a token, on whatever page: it does not come by itself, as a cookie does."""

Streamed = Callable[[Callable[[Write], Awaitable[None]], Mapping[str, str]], Response]


def headers_for(grant: Grant) -> dict[str, str]:
    return PRIVATE if grant.agents is None else OPEN


async def page(request: Request, call: Summary, book: CallBook, grant: Grant) -> Response:
    """Raises ``Refused``, ``StoreUnavailable``."""
    wanted, after = wanted_of(request.query_params, grant), after_of(request.query_params)
    limit = number(request.query_params, "limit", LIMIT, 1, MAX_LIMIT)
    told, cursor, more, live = await _gather(book, call.call_id, after, wanted, limit)
    rest = {"live": live, "next": cursor} if more else {"live": live}
    body = b'{"entries":[' + b",".join(entry.data for entry in told) + b"]," + orjson.dumps(rest)[1:]
    return Response(body, media_type="application/json", headers=headers_for(grant))


async def _gather(
    book: CallBook, call_id: str, after: int, wanted: Wanted, limit: int
) -> tuple[list[LogEntry], int, bool, bool]:
    """The entries, where they end, whether there are more, and whether the call goes on."""
    told: list[LogEntry] = []
    seen, cursor = 0, after
    while True:
        found = await book.page(call_id, cursor, READ_AT_ONCE)
        if found is None:
            raise StoreUnavailable("the call is not kept any more")
        for entry in found.entries:
            if len(told) == limit:
                return told, cursor, True, not found.over
            cursor = entry.seq
            made = in_call(entry)
            if made is not None and wanted.takes(made):
                told.append(made)
        seen += len(found.entries)
        if not found.entries or cursor >= found.last_seq:
            return told, cursor, False, not found.over
        if seen >= MAX_READ:
            return told, cursor, True, not found.over


async def stream(
    request: Request, call: Summary, book: CallBook, grant: Grant, streamed: Streamed
) -> Response:
    """204: there is nothing more, and there will not be. Raises ``Refused``, ``StoreUnavailable``."""
    wanted, after = wanted_of(request.query_params, grant), after_of(request.query_params)
    given = request.headers.get("last-event-id")
    if given is not None:
        after = max(after, whole("Last-Event-ID", given, 0, MAX_SEQ))
    rest = await book.page(call.call_id, after, 1)
    if rest is None or (rest.over and not rest.entries):
        return Response(status_code=204, headers=headers_for(grant))

    async def produce(write: Write) -> None:
        with following_call(book, call.call_id, call.slug, after, wanted) as follower:
            await tell(follower, write, book, grant)

    return streamed(produce, headers_for(grant))


async def tell(follower: Follower, write: Write, book: CallBook, grant: Grant) -> None:
    """All that ``follower`` reads, to the end of its log; or until it has to come back."""
    until = min(book.now() + STREAM_S, grant.until or float("inf"))
    pinged = book.now()
    while not book.closed and book.now() < until:
        try:
            batch = await follower.read()
        except StoreUnavailable:
            return
        if batch is None:
            return
        if batch.entries:
            await write(b"".join(event(entry.type, entry.data, entry.seq) for entry in batch.entries))
            pinged = book.now()
        if batch.over:
            return
        if not await follower.wait(PING_S) or book.now() - pinged >= PING_S:
            await write(PING)
            pinged = book.now()
