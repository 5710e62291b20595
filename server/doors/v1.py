"""``/v1``: calls as they can be looked at from outside, live and past; for tools, and for the console."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from media.peaks import HOP_MS, MAX_MS
from server.agents import key_asked
from server.book import PAGE, CallBook, Changes, Summary
from server.clock import Clock
from server.doors import call_log, streams
from server.doors.browser import Refused
from server.doors.call_query import Asked, asked, cursor, number, whole
from server.doors.callers import forget_caller
from server.doors.grants import Grant, granted
from server.doors.guard import PRIVATE, Guard, denied
from server.followed import STREAMS, Door
from server.past import Page, StoreUnavailable
from server.services import Services
from server.sse import PING, EventStream, Write, event
from server.transcript import as_text, as_vtt

PING_S: Final = 15.0
LIST_EVERY_S: Final = 0.5
"""A call that changes is told so often at most."""
MAX_EVENTS: Final = 1000
AGAIN_S: Final = 2.0
"""What is away may be back by then."""
MAX_STREAMS: Final = 200
STREAM_S: Final = 3600.0
"""A stream does not last longer: who may not look any more must not go on doing so. A browser comes back by itself."""

TRANSCRIPTS: Final = ("json", "text", "vtt")
SUFFIXES: Final = {"json": "json", "text": "txt", "vtt": "vtt"}
KINDS: Final = {"application/json": "json", "text/plain": "text", "text/vtt": "vtt"}

Handler = Callable[[Request], Awaitable[Response]]


class CallsDoor:
    """What is told of calls."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self._book: CallBook = services.book
        self._clock: Clock = services.clock

    async def answer(self, request: Request, handler: Handler) -> Response:
        """What ``handler`` says, for those who may see it."""

        async def guarded() -> Response:
            self._guard.check(request)
            return await handler(request)

        return await self._answer(guarded)

    async def answer_granted(
        self, request: Request, handler: Callable[[Request, Grant], Awaitable[Response]]
    ) -> Response:
        """The same, where a stream token is enough for what it names."""

        async def guarded() -> Response:
            return await handler(request, granted(request, self._services, self._guard))

        return await self._answer(guarded)

    async def _answer(self, guarded: Callable[[], Awaitable[Response]]) -> Response:
        try:
            return await guarded()
        except Refused as refused:
            return denied(refused)
        except StoreUnavailable as error:
            return denied(
                Refused(503, f"what is kept of calls cannot be read at the moment: {error}", AGAIN_S)
            )

    async def stats(self, request: Request) -> Response:
        """Figures for operators and benchmarks."""
        services = self._services
        figures = {
            "calls": len(services.calls),
            "tasks": len(asyncio.all_tasks()),
            "loop_lag": services.lag.summary(),
            "journal": services.kept.figures(),
        }
        if cluster := services.cluster.health():
            figures["cluster"] = cluster
        return _json(figures)

    async def metrics(self, request: Request) -> Response:
        """The figures of ``server.metrics``, for Prometheus."""
        return Response(await self._services.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def forget_caller(self, request: Request) -> Response:
        """What is kept of one caller goes."""
        return await forget_caller(request, self._services)

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
        """As server-sent events: the list, then what changes in it."""
        wanted = asked(request.query_params)
        if not _wants_stream(request):
            return _json(await self._listed(wanted))

        async def produce(write: Write) -> None:
            with self._book.changes() as changes:
                try:
                    known = await self._listed(wanted)
                except StoreUnavailable:
                    return await write(_closed("unavailable"))
                await write(event("calls", orjson.dumps(known)))
                return await self._tell_changes(changes, wanted.wants, write)

        return self._stream("list", produce)

    async def _listed(self, wanted: Asked) -> dict[str, Any]:
        """``next``: where it goes on; null: nowhere."""
        live = self._book.live(wanted.query)[: wanted.limit] if wanted.live else []
        room = wanted.limit - len(live)
        if wanted.state == "live":
            return {"calls": self._told(live), "next": None}
        # One more than is told, to know whether there is one.
        ended = await self._book.ended(room + 1, wanted.query, wanted.before)
        more = cursor(ended[room - 1] if room else None) if len(ended) > room else None
        return {"calls": self._told([*live, *ended[:room]]), "next": more}

    def _told(self, summaries: Sequence[Summary]) -> list[dict[str, Any]]:
        now, here = self._clock.epoch(), self._services.cluster.node
        # Of a call at another node that is said already.
        node = {"node": here} if here else {}
        return [{**node, **summary.as_json(now)} for summary in summaries]

    async def _tell_changes(self, changes: Changes, wanted: Callable[[Summary], bool], write: Write) -> None:
        until = self._clock.epoch() + STREAM_S
        while not self._book.closed:
            if changes.overflowed:
                self._book.followed.let_go("list", "slow_consumer")
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

    async def calls_of_agent(self, request: Request, grant: Grant) -> Response:
        """The list, of one agent."""
        wanted = asked(request.query_params)
        key = key_asked(request.path_params["agent_id"])
        if not grant.allows_agent(key):
            raise Refused(403, "the token is for another agent, or for one call")
        told = await self._listed(replace(wanted, query=replace(wanted.query, slug=key)))
        return Response(
            orjson.dumps(told), media_type="application/json", headers=call_log.headers_for(grant)
        )

    async def agent_stream(self, request: Request, grant: Grant) -> Response:
        """What happens in the calls of one agent, for a page."""
        key = key_asked(request.path_params["agent_id"])
        return streams.agent_stream(
            request, key, self._services, grant, partial(self._stream, "agent_stream")
        )

    async def call_stream(self, request: Request, grant: Grant) -> Response:
        """What happens in one call, for a page."""
        call = await self._found(request)
        return streams.call_stream(request, call, self._services, grant, partial(self._stream, "call_stream"))

    # --- one call -----------------------------------------------------------------------------------------

    async def call(self, request: Request) -> Response:
        summary = await self._found(request)
        agent = self._services.agents.get(summary.slug)
        recorded = await self._book.recorded(summary.call_id)
        url = f"/v1/calls/{quote(summary.call_id, safe='')}/recording"
        told = {
            **summary.as_json(self._clock.epoch()),
            "agent": {"agent_id": summary.facts.agent_id, "online": agent is not None},
            "metadata": dict(summary.facts.metadata or {}),
            "recordings": [{**recorded, "url": url}] if recorded is not None else [],
        }
        return _json(told)

    async def transcript(self, request: Request) -> Response:
        """What was said: as JSON, as text, or as subtitles."""
        summary = await self._found(request)
        kind = request.query_params.get("format") or _kind_of(request.headers.get("accept", ""))
        if kind not in TRANSCRIPTS:
            raise Refused(400, f"format must be one of {', '.join(TRANSCRIPTS)}")
        found = await self._book.transcript(summary.call_id)
        headers = dict(PRIVATE)
        if request.query_params.get("download"):
            name = quote(f"{summary.call_id}.{SUFFIXES[kind]}", safe="")
            headers["Content-Disposition"] = f"attachment; filename*=utf-8''{name}"
        if kind == "json":
            told = {
                "call_id": summary.call_id,
                "ended": summary.state == "ended",
                "lines": [line.as_json() for line in found.lines],
            }
            return Response(orjson.dumps(told), media_type="application/json", headers=headers)
        if kind == "vtt":
            subtitles = as_vtt(found.lines, found.recording_ms or 0)
            return Response(subtitles, media_type="text/vtt", headers=headers)
        return Response(as_text(found.lines), media_type="text/plain", headers=headers)

    async def events(self, request: Request, grant: Grant) -> Response:
        """A page of the call log behind ``after``; as server-sent events all of it, to the end of the call."""
        match request.query_params.get("format", "log"):
            case "log":
                pass
            case "wire":
                if grant.agents is not None:
                    raise Refused(
                        403, "format=wire is for the holder of an API key: a stream token reads the call log"
                    )
                return await self._wire_events(request)
            case _:
                raise Refused(400, "format must be log or wire")
        summary = await self._found(request)
        if not grant.allows_call(summary):
            raise Refused(403, "the token is for another agent, or another call")
        if not _wants_stream(request):
            return await call_log.page(request, summary, self._book, grant)
        return await call_log.stream(request, summary, self._book, grant, partial(self._stream, "events"))

    async def _wire_events(self, request: Request) -> Response:
        """The same as the call's agent was told it."""
        summary = await self._found(request)
        after = number(request.query_params, "after", 0, 0, 1 << 53)
        if not _wants_stream(request):
            limit = number(request.query_params, "limit", PAGE, 1, MAX_EVENTS)
            page = await self._book.page(summary.call_id, after, limit)
            if page is None:
                raise _unknown(summary.call_id)
            return _page(page)
        after = max(after, _last_event_id(request))

        async def produce(write: Write) -> None:
            await self._tell_log(summary.call_id, after, write)

        return self._stream("events", produce)

    async def _tell_log(self, call_id: str, after: int, write: Write) -> None:
        until = self._clock.epoch() + STREAM_S
        with self._book.reading(call_id, after) as reader:
            began = False
            while not self._book.closed:
                if self._clock.epoch() >= until:
                    return await write(_closed("renew"))
                try:
                    page = await reader.read()
                except StoreUnavailable:
                    return await write(_closed("unavailable"))
                if page is None:
                    return await write(_closed("expired"))
                if page.lost and began:
                    # It came from here and was overtaken: it may come back, and is told what it has lost.
                    self._book.followed.let_go("events", "slow_consumer")
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
        strip = await self._book.waveform(
            summary.call_id, number(request.query_params, "after_ms", 0, 0, MAX_MS)
        )
        if strip is None:
            raise Refused(404, "this call has no waveform: no audio has come yet, or TALKWIRE_CONSOLE is off")
        told = {
            "hop_ms": HOP_MS,
            "start_ts": strip.starts_at,
            "until_ts": strip.until_at,
            "from_ms": strip.from_ms,
            "until_ms": strip.until_ms,
            "settled_ms": strip.settled_ms,
            "user": base64.b64encode(strip.user).decode("ascii"),
            "bot": base64.b64encode(strip.bot).decode("ascii"),
            "ended": summary.state == "ended",
        }
        return _json(told)

    async def _found(self, request: Request) -> Summary:
        call_id = request.path_params["call_id"]
        summary = await self._book.find(call_id)
        if summary is None:
            raise _unknown(call_id)
        return summary

    def _stream(
        self,
        door: Door,
        produce: Callable[[Write], Awaitable[None]],
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        followed = self._book.followed
        if followed.by(*STREAMS) >= MAX_STREAMS:
            followed.let_go(door, "full")
            raise Refused(503, f"{MAX_STREAMS} streams are being read, and no more are allowed")

        async def counted(write: Write) -> None:
            with followed.reading(door):
                await produce(write)

        return EventStream(counted, headers, partial(followed.let_go, door, "slow_consumer"))


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


def _kind_of(accept: str) -> str:
    """What is asked for without a name: JSON, unless something else is liked better."""
    kinds = (part.partition(";")[0].strip() for part in accept.split(","))
    return next((KINDS[kind] for kind in kinds if kind in KINDS), "json")


def _wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _last_event_id(request: Request) -> int:
    given = request.headers.get("last-event-id")
    return 0 if given is None else whole("Last-Event-ID", given, 0, 1 << 53)
