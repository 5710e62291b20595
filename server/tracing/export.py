"""From the journal to a collector: what happens is put aside at once, made into spans a moment later, and sent by the
SDK's own thread. Nothing of it is done where audio is."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import orjson
import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from server.ring import Entry
from server.settings import Settings
from server.tracing.trace import HANDLERS, CallTrace
from server.version import __version__

log = structlog.get_logger(__name__)

PROPAGATOR: Final = TraceContextTextMapPropagator()
EVERY_S: Final = 0.25
AT_ONCE: Final = 100
"""Events that are made into spans between two looks at what else there is to do: some 2 ms."""
MAX_WAITING: Final = 20_000
"""Of more the newest are left out: their traces have holes."""
CLOSE_S: Final = 3.0
"""For the last spans, when the server stops."""


def provider_of(settings: Settings, where: str) -> TracerProvider:
    """The SDK, which reads ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_*`` and what else there is
    for the exporter from the environment by itself. Starts a thread."""
    ours = {"service.name": "talkwire", "service.version": __version__}
    resource = Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
    if settings.otel_service is not None:
        resource = resource.merge(Resource({"service.name": settings.otel_service}))
    headers = settings.otlp_headers
    given = parse_env_headers(headers.get_secret_value(), liberal=True) if headers is not None else None
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=where, headers=given)))
    return provider


class Tracing:
    """Watches all calls, as any tap does. ``epoch``: the time, as events have it. ``part_of``: the trace that a call's
    own is part of, as headers of W3C Trace Context; empty: none."""

    def __init__(
        self,
        provider: TracerProvider,
        epoch: Callable[[], float],
        part_of: Callable[[str], Mapping[str, str]] = lambda call_id: {},
        *,
        texts: bool = False,
    ) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("talkwire", __version__)
        self._epoch = epoch
        self._part_of = part_of
        self._parents: dict[str, Mapping[str, str]] = {}
        """Of calls whose first event waits: when it is seen the call may be over."""
        self._texts = texts
        self._waiting: deque[tuple[str, str, bytes]] = deque()
        self._calls: dict[str, CallTrace] = {}
        self._full = False
        self.dropped = 0

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """An event of a call: put aside."""
        if entry is None or entry.event not in HANDLERS:
            return True
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            if not self._full:
                log.warning("traces.incomplete", waiting=MAX_WAITING)
            self._full = True
            return True
        if entry.seq == 1 and (headers := self._part_of(entry.call_id)):
            self._parents[entry.call_id] = headers
        self._waiting.append((entry.call_id, entry.event, data))
        return True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            while self._waiting:
                self.make(AT_ONCE)
                await asyncio.sleep(0)
            self._full = False

    def make(self, count: int) -> None:
        """Spans of so many events that wait."""
        for _ in range(min(count, len(self._waiting))):
            call_id, name, data = self._waiting.popleft()
            try:
                self._see(call_id, name, data)
            except Exception:
                log.exception("traces.failed", call_id=call_id, told=name)
                self._calls.pop(call_id, None)

    def _see(self, call_id: str, name: str, data: bytes) -> None:
        trace = self._calls.get(call_id)
        if trace is None:
            headers = self._parents.pop(call_id, {})
            if name == "call.ended":
                return
            event = orjson.loads(data)
            # What is no trace's name is passed over there.
            parent = PROPAGATOR.extract(headers, Context())
            trace = self._calls[call_id] = CallTrace(self._tracer, event, parent, texts=self._texts)
        else:
            event = orjson.loads(data)
        trace.see(event)
        if trace.ended:
            del self._calls[call_id]

    async def close(self) -> None:
        """End all spans, and send what is left."""
        self.make(len(self._waiting))
        for trace in self._calls.values():
            trace.close(self._epoch())
        self._calls.clear()
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        # A collector that does not answer is not waited for.
        closing = threading.Thread(target=self._provider.shutdown, name="close traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            log.warning("traces.not_sent", waited_s=CLOSE_S)
