"""Traces for OpenTelemetry, made of what the journal tells.

Only the other modules of this package know its SDK, and they are imported where an endpoint is set.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from server.calls import CallRegistry
    from server.clock import Clock

PROTOCOL = "http/protobuf"


def endpoint(settings: Settings) -> str | None:
    """Where spans are sent; None: nowhere. Raises ``SettingsError`` where it is asked for what is not here."""
    base, own = settings.otlp_endpoint, settings.otlp_traces_endpoint
    if (base is None and own is None) or settings.otel_disabled or settings.otel_traces == "none":
        return None
    if settings.otel_traces != "otlp":
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {settings.otel_traces} is not here; use otlp or none")
    if settings.otlp_protocol != PROTOCOL:
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {settings.otlp_protocol} is not spoken here; collectors take {PROTOCOL} "
            "on port 4318"
        )
    return own or f"{base}/v1/traces"


@asynccontextmanager
async def traced(settings: Settings, calls: CallRegistry, clock: Clock) -> AsyncIterator[None]:
    """Have what happens in calls told as traces, where the settings say so. Raises ``SettingsError``."""
    where = endpoint(settings)
    if where is None:
        yield
        return
    try:
        export = await asyncio.to_thread(import_module, "server.tracing.export")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: {error.name} is not installed: pip install 'talkwire[otel]'"
        ) from None
    provider = await asyncio.to_thread(export.provider_of, settings, where)

    def part_of(call_id: str) -> Mapping[str, str]:
        call = calls.get(call_id)
        return call.facts.trace if call is not None else {}

    tracing = export.Tracing(provider, clock.epoch, part_of, texts=settings.log_transcripts)
    stop = calls.watch(tracing, None)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(tracing.run(), name="make traces")
        try:
            yield
        finally:
            stop()
            running.cancel()
            await tracing.close()
