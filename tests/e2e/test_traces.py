"""A call on a real server, and what a collector gets of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.harness import free_port, registered, running

pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

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
