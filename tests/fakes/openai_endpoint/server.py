"""The endpoint: which request goes where, and each answer carried out as planned."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_endpoint import wire
from tests.fakes.openai_endpoint.answer import Answer, as_planned, refusal, whole
from tests.fakes.openai_endpoint.ears import Ears, FixedEars
from tests.fakes.openai_endpoint.feed import Feed
from tests.fakes.openai_endpoint.http import Connection, Exchange, Request
from tests.fakes.openai_endpoint.plan import FOREVER, Plan, RouteName, Settings
from tests.fakes.openai_endpoint.record import Recorded
from tests.fakes.openai_endpoint.routes import Handlers
from tests.fakes.openai_endpoint.voice import Buzz, Voice

Handler = Callable[[Request, Plan, Recorded], Coroutine[Any, Any, Answer]]

_NEWS_TIMEOUT_S = 5.0


@dataclass(eq=False)
class Route:
    """One route, and what a test may do to it."""

    name: RouteName
    method: str
    latency_ms: float
    handler: Handler
    plan: Plan = field(default_factory=Plan)
    """What happens to every request that ``next`` names no plan for."""
    requests: list[Recorded] = field(default_factory=list)
    """Those that came with the route's method, in the order in which they were complete."""
    _scripted: deque[Plan] = field(default_factory=deque)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def next(self, *plans: Plan) -> None:
        """What happens to the next requests, one plan each."""
        self._scripted.extend(plans)

    def take(self) -> Plan:
        return self._scripted.popleft() if self._scripted else self.plan

    async def keep(self, record: Recorded) -> None:
        async with self._news:
            self.requests.append(record)
            self._news.notify_all()

    async def request(self, number: int = 1, timeout_s: float = _NEWS_TIMEOUT_S) -> Recorded:
        """The ``number``-th request, once it has come. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(lambda: len(self.requests) >= number)
        return self.requests[number - 1]


class Endpoint:
    """The server. Made and ended by ``endpoint``."""

    def __init__(self, settings: Settings, ears: Ears | None = None, voice: Voice | None = None) -> None:
        self.settings = settings
        self.on_over: Callable[[Recorded], None] | None = None
        """Told of each request when it is over."""
        handlers = Handlers(settings, ears or FixedEars(settings.transcript), voice or Buzz())
        self.models = Route("models", "GET", 0.0, handlers.models)
        self.stt = Route("stt", "POST", settings.stt_ms, handlers.stt)
        self.tts = Route("tts", "POST", settings.tts_ms, handlers.tts)
        self.llm = Route("llm", "POST", settings.llm_ms, handlers.llm)
        self.requests: list[Recorded] = []
        """All, also those for no route of ours."""
        self.connections = 0
        """Accepted so far."""
        self.counts: Counter[str] = Counter()
        """Requests by route and by outcome; counted without ``Settings.record`` too."""
        self.base_url = ""
        self._routes = {
            "/v1/audio/transcriptions": self.stt,
            "/v1/audio/speech": self.tts,
            "/v1/chat/completions": self.llm,
        }
        self._live: set[Connection] = set()
        self._faults: list[BaseException] = []
        self._answered = 0
        self._server: asyncio.Server | None = None

    @property
    def open_connections(self) -> int:
        return len(self._live)

    async def start(self, host: str, port: int) -> None:
        """Raises ``OSError`` where the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, backlog=512)
        address = self._server.sockets[0].getsockname()
        self.base_url = f"http://{host}:{address[1]}/v1"

    def drop_idle(self) -> int:
        """Close all connections on which nothing happens, as a server does that they bore. How many."""
        idle = [connection for connection in self._live if connection.idle]
        for connection in idle:
            connection.transport.close()
        return len(idle)

    async def aclose(self) -> None:
        """End all connections. Raises what went wrong in the fixture itself."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._live):
            await connection.aclose()
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.sleep(0)  # the transports tell that they are closed
        if self._faults:
            raise BaseExceptionGroup("the endpoint failed", self._faults)

    def _accept(self) -> Connection:
        self.connections += 1
        return Connection(self.connections, self._serve, self._live, self._faults)

    # --- one request --------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange) -> None:
        request = exchange.request
        path = request.path.partition("?")[0]
        is_models = path == "/v1/models" or path.startswith("/v1/models/")
        route = self.models if is_models else self._routes.get(path)
        record = Recorded(
            route.name if route else None,
            request.method,
            request.path,
            request.headers,
            request.connection,
            request.began_s,
            request.complete_s,
        )
        self.counts[route.name if route else "no route"] += 1
        if self.settings.record:
            self.requests.append(record)
        loop = asyncio.get_running_loop()
        try:
            if route is None:
                error = wire.error(404, f"Invalid URL ({request.method} {path})", code=None)
                await self._send(exchange, record, whole(error, 404))
            elif request.method != route.method:
                error = wire.error(
                    405, f"Only {route.method} requests are accepted.", code="method_not_supported"
                )
                await self._send(exchange, record, whole(error, 405, (("allow", route.method),)))
            else:
                await self._on_route(exchange, record, route)
        except asyncio.CancelledError:
            record.end("disconnected" if exchange.gone else "closed", loop.time())
            raise
        finally:
            record.end("closed", loop.time())  # nothing where it has ended already
            self.counts[record.outcome] += 1
            if self.on_over is not None:
                self.on_over(record)

    async def _on_route(self, exchange: Exchange, record: Recorded, route: Route) -> None:
        plan = record.plan = route.take()
        if self.settings.record:
            await route.keep(record)
        if plan.afterwards != "keep":
            exchange.after = plan.afterwards
        request = exchange.request
        answer = await self._answer(route, request, plan, record)
        wait_ms = route.latency_ms if plan.before_head_ms is None else plan.before_head_ms
        if answer.status != 200 and plan.before_head_ms is None:
            wait_ms = 0.0
        await _sleep_until(request.complete_s + wait_ms / 1000)
        if plan.cut_before_head:
            await self._cut(exchange, record)
        else:
            await self._send(exchange, record, answer)

    async def _answer(self, route: Route, request: Request, plan: Plan, record: Recorded) -> Answer:
        if plan.status is not None:
            answer = refusal(plan.status, plan, _bearer(request) or "")
        else:
            try:
                self._check_key(request)
                answer = await route.handler(request, plan, record)
            except wire.Refusal as error:
                body = wire.error(error.status, error.message, param=error.param, code=error.code)
                answer = whole(body, error.status)
        return as_planned(answer, plan)

    def _check_key(self, request: Request) -> None:
        if self.settings.key is None:
            return
        key = _bearer(request)
        if key is None:
            raise wire.Refusal(401, "You didn't provide an API key in an Authorization header (Bearer auth).")
        if key != self.settings.key:
            message = f"Incorrect API key provided: {wire.masked(key)}."
            raise wire.Refusal(401, message, code="invalid_api_key")

    async def _send(self, exchange: Exchange, record: Recorded, answer: Answer) -> None:
        loop = asyncio.get_running_loop()
        plan = record.plan
        record.status, record.head_s = answer.status, loop.time()
        self._answered += 1
        fixed = (("content-type", answer.content_type), ("x-request-id", f"req_{self._answered:08d}"))
        exchange.head(answer.status, (*fixed, *answer.headers), answer.length)
        limit = _limit(plan, len(answer.pieces))
        await Feed(exchange, record, answer.pieces, limit).run(record.head_s + plan.before_body_ms / 1000)
        if limit is None:
            record.end("sent", loop.time())
        elif limit == plan.stall_after:
            await _sleep_until(FOREVER)
        else:
            await self._cut(exchange, record)

    async def _cut(self, exchange: Exchange, record: Recorded) -> None:
        await exchange.cut(reset=record.plan.reset)
        record.end("cut", asyncio.get_running_loop().time())


def _limit(plan: Plan, pieces: int) -> int | None:
    """After how many pieces the answer stalls or is cut."""
    limits = (limit for limit in (plan.stall_after, plan.cut_after) if limit is not None and limit <= pieces)
    return min(limits, default=None)


def _bearer(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None


async def _sleep_until(due_s: float) -> None:
    loop = asyncio.get_running_loop()
    if due_s == FOREVER:
        await loop.create_future()
    left_s = due_s - loop.time()
    if left_s > 0:
        await asyncio.sleep(left_s)


@asynccontextmanager
async def endpoint(
    settings: Settings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ears: Ears | None = None,
    voice: Voice | None = None,
    **changes: Any,
) -> AsyncIterator[Endpoint]:
    """Serve on the running loop until the context ends. ``changes`` are fields of ``Settings``; port 0 is any
    that is free. What went wrong in the fixture itself is raised at the end."""
    if settings is not None and changes:
        raise ValueError("settings or their fields, not both")
    served = Endpoint(settings or Settings(**changes), ears, voice)
    await served.start(host, port)
    try:
        yield served
    finally:
        await served.aclose()
