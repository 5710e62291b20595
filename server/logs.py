"""Logging: one line an event, for people on a console or as JSON for machines.

Secrets and what was said never get here, by two rules: of libraries only warnings are written, for what they tell besides
holds headers, addresses with tokens, and rows with all that was said; and what is known to be a secret, or looks like a
token, is made unreadable in whatever line it got into.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

if TYPE_CHECKING:
    from server.ring import Entry

OURS: Final = ("server", "media", "pipeline", "telephony")
"""Whose lines the level is for."""

A_MINUTE = 30
"""Warnings and errors that say the same, of which so many are written each minute: anybody can send what causes one."""
KINDS = 1000


class Bounded(logging.Filter):
    """Keeps somebody who sends nonsense from filling the disk. The next line that is written tells how many were not."""

    def __init__(self, a_minute: int = A_MINUTE) -> None:
        super().__init__()
        self._a_minute = a_minute
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        said = str(record.msg.get("event") if isinstance(record.msg, dict) else record.msg)
        key = (record.name, said[:200])
        since, written = self._windows.get(key, (record.created, 0))
        if record.created - since >= 60.0:
            self._tell(record, written - self._a_minute)
            since, written = record.created, 0
        if len(self._windows) >= KINDS and key not in self._windows:
            self._windows.clear()
        self._windows[key] = (since, written + 1)
        return written < self._a_minute

    @staticmethod
    def _tell(record: logging.LogRecord, more: int) -> None:
        if more > 0 and isinstance(record.msg, dict):
            record.msg["not_written"] = more
        elif more > 0:
            record.msg = f"{record.msg} (and {more} times more before, not written)"


class NoTraceback(logging.Filter):
    """The web server tells of a client's broken UTF-8 with its own traceback: that is the client's fault, and no bug."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info is not None and isinstance(record.exc_info[1], UnicodeDecodeError):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = None
        return True


HIDDEN: Final = "***"
SHORTEST: Final = 6
"""A secret of less stands in words that are none."""
_TOKENS: Final = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
    (
        re.compile(r"(?i)([?&](?:token|api_key|key|secret|password|signature|access_token)=)[^&\s\"'<>\\]+"),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(/twilio/media/)[^\s\"'?/]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s\"',}]+"), rf"\1{HIDDEN}"),
)
"""Signed tokens, wherever they stand, and what travels in addresses and headers by a name that says what it is."""


class Scrubber:
    """The last that sees a line before it is written."""

    def __init__(self) -> None:
        self._known: list[str] = []

    def hide(self, secrets: Iterable[str]) -> None:
        """From now on these are not written."""
        known = {*self._known, *(secret for secret in secrets if len(secret) >= SHORTEST)}
        self._known = sorted(known, key=len, reverse=True)

    def __call__(self, _: Any, __: str, line: Any) -> Any:
        if not isinstance(line, str):
            return line
        for secret in self._known:
            if secret in line:
                line = line.replace(secret, HIDDEN)
        for pattern, instead in _TOKENS:
            line = pattern.sub(instead, line)
        return line


_scrubber: Final = Scrubber()
hide = _scrubber.hide


class Spoken:
    """Watches all calls, where the operator wants what was said in the log."""

    def __init__(self) -> None:
        self._log = structlog.get_logger(__name__)

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        if entry is not None and entry.event in ("turn.end", "message.confirmed"):
            by = "user" if entry.event == "turn.end" else "bot"
            self._log.info("call.said", call_id=entry.call_id, by=by, text=orjson.loads(data)["text"])
        return True


def configure(level: str, fmt: str) -> None:
    """Set up structlog and the standard library's logging, which uvicorn uses, alike."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default shows the local variables of each frame, and with them secrets.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    tail: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if fmt == "json":
        tail.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*tail, renderer, _scrubber])
    )
    handler.addFilter(Bounded())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    # Its access log would hold the tokens that travel in paths.
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.error").addFilter(NoTraceback())
