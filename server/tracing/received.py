"""The trace that a request is part of, as its sender has said (W3C Trace Context). What it means is OpenTelemetry's to
say (``server.tracing.export``); here it is kept until there is a span for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIELDS: Final = ("traceparent", "tracestate")
MAX_CHARS: Final = 1024
"""Of each; a longer one is left out. A ``traceparent`` has 55; of a ``tracestate`` at least 512 are to be kept."""


def received(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of a request's headers that say so; empty: it is part of none. ``headers``: by names in lower case."""
    found = {name: headers[name] for name in FIELDS if name in headers}
    return {name: value for name, value in found.items() if len(value) <= MAX_CHARS}
