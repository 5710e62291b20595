"""A call on a real server, and what a collector gets of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from tests.e2e.harness import KEY as API_KEY
from tests.e2e.harness import Frame, free_port, registered, running
from tests.e2e.phone import FROM, TO, Phone, phone
from tests.fakes.twilio import FakeCall

pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

pytestmark = pytest.mark.e2e

KEY = "collector secret"


@asynccontextmanager
async def collector(port: int, spans: list[Span], services: set[str]) -> AsyncIterator[None]:
    async def take(request: web.Request) -> web.Response:
        assert request.headers["authorization"] == KEY
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            services.update(
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            )
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def test_a_collector_gets_a_call(tmp_path: Path) -> None:
    port = free_port()
    spans: list[Span] = []
    services: set[str] = set()
    settings = {
        "otlp_endpoint": f"http://127.0.0.1:{port}",
        "otlp_headers": f"authorization={KEY.replace(' ', '%20')}",
        "otel_service": "desk",
    }
    async with collector(port, spans, services):
        async with (
            running(tmp_path, webrtc=False, **settings) as server,
            registered(server.ws, greeting="Hello there.") as agent,
            server.carrier() as carrier,
        ):
            call_made = await carrier.place_call("+15550001111", "+15550002222")
            await agent.wait("bot.finished")
            call_made.hang_up()
            ended = await agent.wait("call.ended")
        # The server is over, and all it had to tell was sent.
        by_name = {span.name: span for span in spans}
        call, spoken = by_name["call"], by_name["playout"]
        assert spoken.parent_span_id == call.span_id
        assert spoken.trace_id == call.trace_id
        assert {a.key: a.value.string_value for a in call.attributes}["talkwire.call.id"] == ended["call_id"]
        took_s = (call.end_time_unix_nano - call.start_time_unix_nano) / 1e9
        assert took_s == pytest.approx(ended["duration_seconds"], abs=1.0)
        assert services == {"desk"}
        assert "Hello there" not in str(spans)


# --- a call is part of the trace that it was asked for in ------------------------------------------------

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the server would send to its collector."""
    exporter = InMemorySpanExporter()

    def provider_of(settings: object, where: str) -> TracerProvider:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return provider

    monkeypatch.setattr("server.tracing.export.provider_of", provider_of)
    return exporter


def parents(kept: InMemorySpanExporter) -> list[str | None]:
    def parent(span: ReadableSpan) -> str | None:
        return f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" if span.parent else None

    return [parent(span) for span in kept.get_finished_spans() if span.name == "call"]


async def hang_up(line: Phone, call: FakeCall) -> Frame:
    await line.agent.wait("call.started")
    call.hang_up()
    return await line.agent.wait("call.ended")


async def test_a_call_that_is_asked_for_over_http_is_part_of_the_requests_trace(
    tmp_path: Path, kept: InMemorySpanExporter
) -> None:
    async with phone(tmp_path, otlp_endpoint="http://127.0.0.1:9") as line, httpx.AsyncClient() as http:
        body = {"agent_id": "tester", "to": FROM}
        headers = {"Authorization": f"Bearer {API_KEY}", **TRACED}
        reply = await http.post(f"{line.server.url}/v1/calls", json=body, headers=headers)
        assert reply.status_code == 201, reply.text
        await hang_up(line, await line.twilio.placed())
    assert parents(kept) == [f"{TRACE}-{PARENT}"]


async def test_a_call_that_an_agent_asks_for_is_part_of_its_sockets_trace(
    tmp_path: Path, kept: InMemorySpanExporter
) -> None:
    async with phone(tmp_path, headers=TRACED, otlp_endpoint="http://127.0.0.1:9") as line:
        await line.dial()
        await hang_up(line, await line.twilio.placed())
        # Whoever calls the agent has his own: its connection lives for longer than any trace.
        await line.agent.wait("call.ended")
        call = line.twilio.call(FROM, TO)
        await line.agent.wait("call.started", 2)
        call.hang_up()
        await line.agent.wait("call.ended", 2)
    assert parents(kept) == [f"{TRACE}-{PARENT}", None]


async def test_a_call_that_comes_in_is_part_of_its_webhooks_trace(
    tmp_path: Path, kept: InMemorySpanExporter
) -> None:
    async with phone(tmp_path, otlp_endpoint="http://127.0.0.1:9") as line:
        line.twilio.carrier._http.headers.update(TRACED)  # As a proxy before the server adds it.
        await hang_up(line, line.twilio.call(FROM, TO))
    assert parents(kept) == [f"{TRACE}-{PARENT}"]
