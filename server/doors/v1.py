"""``/v1``: calls as they can be looked at from outside, live and past; for tools, and for the console."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from media.peaks import HOP_MS, MAX_MS
from server.agents import slug
from server.book import PAGE, CallBook, Changes
from server.clock import Clock
from server.doors.browser import Refused
from server.doors.guard import PRIVATE, Guard, denied
from server.past import Page
from server.services import Services
from server.sse import PING, EventStream, Write, event
from server.summary import CallSummary

PING_S: Final = 15.0
LIST_EVERY_S: Final = 0.5
"""A call that changes is told so often at most."""
MAX_LISTED: Final = 1000
MAX_EVENTS: Final = 1000
MAX_STREAMS: Final = 200
STREAM_S: Final = 3600.0
"""A stream does not last longer: who may not look any more must not go on doing so. A browser comes back by itself."""

AUDIO: Final = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}

Handler = Callable[[Request], Awaitable[Response]]


class CallsDoor:
    """What is told of calls."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self._book: CallBook = services.book
        self._clock: Clock = services.clock
        self.streams = 0
        """Server-sent events that are being read."""

    async def answer(self, request: Request, handler: Handler) -> Response:
        """What ``handler`` says, for those who may see it."""
        try:
            self._guard.check(request)
            return await handler(request)
        except Refused as refused:
            return denied(refused)

    async def stats(self, request: Request) -> Response:
        """Figures for operators and benchmarks."""
        services = self._services
        figures = {
            "calls": len(services.calls),
            "tasks": len(asyncio.all_tasks()),
            "loop_lag": services.lag.summary(),
        }
        return _json(figures)

    # --- agents -------------------------------------------------------------------------------------------

    async def agents(self, request: Request) -> Response:
        live = self._book.live()
        told = [
            {
                "agent_id": agent.agent_id,
                "channels": [{"type": c.type, "ref": c.ref} for c in agent.channels.values()],
                "online_since": self._clock.epoch(agent.online_since),
                "live_calls": sum(call.slug == agent.slug for call in live),
                "language": agent.configuration.get("language") or self._services.defaults.language,
            }
            for agent in self._services.agents.online()
        ]
        return _json({"agents": told})

    # --- the list -----------------------------------------------------------------------------------------

    async def calls(self, request: Request) -> Response:
        """``state``, ``agent_id`` and ``limit`` choose. As server-sent events: the list, then what changes in it."""
        state = request.query_params.get("state")
        if state not in (None, "live", "ended"):
            raise Refused(400, "state must be live or ended")
        named = request.query_params.get("agent_id")
        of_agent = slug(named) if named else None
        limit = _number(request, "limit", 100, 1, MAX_LISTED)
        if not _wants_stream(request):
            return _json({"calls": self._told(await self._listed(state, of_agent, limit))})

        def wanted(summary: CallSummary) -> bool:
            return of_agent in (None, summary.slug) and (state != "ended" or summary.state == "ended")

        async def produce(write: Write) -> None:
            with self._book.changes() as changes:
                known = await self._listed(state, of_agent, limit)
                await write(event("calls", orjson.dumps({"calls": self._told(known)})))
                await self._tell_changes(changes, wanted, write)

        return self._stream(produce)

    async def _listed(self, state: str | None, of_agent: str | None, limit: int) -> list[CallSummary]:
        live = self._book.live(of_agent) if state != "ended" else []
        room = limit - len(live)
        ended = await self._book.ended(room, of_agent) if state != "live" and room > 0 else []
        return [*live, *ended][:limit]

    def _told(self, summaries: list[CallSummary]) -> list[dict[str, Any]]:
        now = self._clock.epoch()
        return [summary.as_json(now) for summary in summaries]

    async def _tell_changes(
        self, changes: Changes, wanted: Callable[[CallSummary], bool], write: Write
    ) -> None:
        until = self._clock.epoch() + STREAM_S
        while not self._book.closed:
            if changes.overflowed:
                return await write(_closed("slow_consumer"))
            if self._clock.epoch() >= until:
                return await write(_closed("renew"))
            told = b""
            now = self._clock.epoch()
            for call_id, summary in changes.take().items():
                if summary is None:
                    told += event("gone", orjson.dumps({"call_id": call_id}))
                elif wanted(summary):
                    told += event("call", orjson.dumps(summary.as_json(now)))
            if told:
                await write(told)
                await asyncio.sleep(LIST_EVERY_S)
            if not await changes.wait(PING_S):
                await write(PING)
        return await write(_closed("server_stopped"))

    # --- one call -----------------------------------------------------------------------------------------

    async def call(self, request: Request) -> Response:
        summary = await self._found(request)
        agent = self._services.agents.get(summary.slug)
        told = {
            **summary.as_json(self._clock.epoch()),
            "agent": {"agent_id": summary.facts.agent_id, "online": agent is not None},
            "metadata": dict(summary.facts.metadata or {}),
        }
        return _json(told)

    async def events(self, request: Request) -> Response:
        """A page of the log behind ``after``; as server-sent events all of it, to the end of the call."""
        summary = await self._found(request)
        after = _number(request, "after", 0, 0, 1 << 53)
        if not _wants_stream(request):
            limit = _number(request, "limit", PAGE, 1, MAX_EVENTS)
            page = await self._book.page(summary.call_id, after, limit)
            if page is None:
                raise _unknown(summary.call_id)
            return _page(page)
        after = max(after, _last_event_id(request))

        async def produce(write: Write) -> None:
            await self._tell_log(summary.call_id, after, write)

        return self._stream(produce)

    async def _tell_log(self, call_id: str, after: int, write: Write) -> None:
        until = self._clock.epoch() + STREAM_S
        with self._book.reading(call_id, after) as reader:
            began = False
            while not self._book.closed:
                if self._clock.epoch() >= until:
                    return await write(_closed("renew"))
                page = await reader.read()
                if page is None:
                    return await write(_closed("expired"))
                if page.lost and began:
                    # It came from here and was overtaken: it may come back, and is told what it has lost.
                    return await write(_closed("slow_consumer"))
                if page.lost:
                    await write(event("lost", orjson.dumps({"lost": page.lost})))
                began = True
                if page.entries:
                    await write(b"".join(event(e.event, e.data, e.seq) for e in page.entries))
                elif page.over:
                    return await write(event("end", orjson.dumps({"last_seq": page.last_seq})))
                elif not await reader.wait(PING_S):
                    await write(PING)
        return await write(_closed("server_stopped"))

    async def waveform(self, request: Request) -> Response:
        """Both sides behind ``after_ms``, also while the call goes on."""
        summary = await self._found(request)
        strip = await self._book.waveform(summary.call_id, _number(request, "after_ms", 0, 0, MAX_MS))
        if strip is None:
            raise Refused(404, "this call has no waveform: no audio has come yet, or TALKWIRE_CONSOLE is off")
        told = {
            "hop_ms": HOP_MS,
            "start_ts": self._clock.epoch(strip.starts_at),
            "until_ts": self._clock.epoch(strip.until_at),
            "from_ms": strip.from_ms,
            "until_ms": strip.until_ms,
            "settled_ms": strip.settled_ms,
            "user": base64.b64encode(strip.user).decode("ascii"),
            "bot": base64.b64encode(strip.bot).decode("ascii"),
            "ended": summary.state == "ended",
        }
        return _json(told)

    async def _found(self, request: Request) -> CallSummary:
        call_id = request.path_params["call_id"]
        summary = await self._book.find(call_id)
        if summary is None:
            raise _unknown(call_id)
        return summary

    def _stream(self, produce: Callable[[Write], Awaitable[None]]) -> Response:
        if self.streams >= MAX_STREAMS:
            raise Refused(503, f"{MAX_STREAMS} streams are being read, and no more are allowed")

        async def counted(write: Write) -> None:
            self.streams += 1
            try:
                await produce(write)
            finally:
                self.streams -= 1

        return EventStream(counted)


def _unknown(call_id: str) -> Refused:
    return Refused(404, f"call {call_id[:200]} is not known, or not kept any more")


def _json(told: dict[str, Any]) -> Response:
    return Response(orjson.dumps(told), media_type="application/json", headers=PRIVATE)


def _page(page: Page) -> Response:
    """The events are JSON already."""
    rest = {"last_seq": page.last_seq, "ended": page.over, "lost": page.lost}
    body = b'{"events":[' + b",".join(entry.data for entry in page.entries) + b"]," + orjson.dumps(rest)[1:]
    return Response(body, media_type="application/json", headers=PRIVATE)


def _closed(reason: str) -> bytes:
    return event("closed", orjson.dumps({"reason": reason}))


def _wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    given = request.query_params.get(name)
    return default if given is None else _whole(name, given, least, most)


def _last_event_id(request: Request) -> int:
    given = request.headers.get("last-event-id")
    return 0 if given is None else _whole("Last-Event-ID", given, 0, 1 << 53)


def _whole(name: str, given: str, least: int, most: int) -> int:
    try:
        value = int(given) if given.isascii() and len(given) <= 20 else -1
    except ValueError:
        value = -1
    if not least <= value <= most:
        raise Refused(400, f"{name} must be a whole number from {least} to {most}")
    return value
