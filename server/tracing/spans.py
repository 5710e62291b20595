"""The spans of one call that are open, by what closes them. Times are epoch seconds, as events have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

NS: Final = 1_000_000_000
MAX_OPEN: Final = 500
"""Of more the oldest ends. There are a dozen, as a rule."""
Attributes = Mapping[str, Any]


def nanoseconds(seconds: float) -> int:
    return round(seconds * NS)


def known(attributes: Attributes) -> dict[str, Any]:
    """Those that have a value."""
    return {key: value for key, value in attributes.items() if value is not None}


class Spans:
    """Of one trace."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[str, Span] = {}
        self._began: dict[str, float] = {}
        """Also of spans that are over, for what is learnt of them later."""

    def start(
        self,
        key: str,
        name: str,
        at: float,
        parent: Context,
        attributes: Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Context:
        """Open one; returns what makes others its children."""
        self.end(key, at)
        while len(self._open) >= MAX_OPEN:
            self.end(next(iter(self._open)), at)
        while len(self._began) >= 2 * MAX_OPEN:
            del self._began[next(iter(self._began))]
        span = self._tracer.start_span(name, parent, kind, known(attributes), start_time=nanoseconds(at))
        self._open[key], self._began[key] = span, at
        return set_span_in_context(span, Context())

    def end(
        self, key: str, at: float, attributes: Attributes | None = None, fault: str | None = None
    ) -> None:
        """Close one, where it is open. ``fault``: it has failed with this."""
        span = self._open.pop(key, None)
        if span is None:
            return
        span.set_attributes(known(attributes or {}))
        if fault is not None:
            span.set_attribute("error.type", fault)
            span.set_status(Status(StatusCode.ERROR))
        span.end(nanoseconds(max(at, self._began.get(key, at))))

    def stage(self, name: str, start: float, end: float, parent: Context, attributes: Attributes) -> None:
        """One that is over already."""
        span = self._tracer.start_span(
            name, parent, attributes=known(attributes), start_time=nanoseconds(start)
        )
        span.end(nanoseconds(max(start, end)))

    def get(self, key: str) -> Span | None:
        """One that is open."""
        return self._open.get(key)

    def began(self, key: str) -> float | None:
        """When one was opened, be it over or not."""
        return self._began.get(key)

    def open(self, prefix: str = "") -> Iterator[str]:
        """The keys of those that are."""
        yield from [key for key in self._open if key.startswith(prefix)]
