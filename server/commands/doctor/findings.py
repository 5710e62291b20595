"""What a check finds, and what a check is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from server.commands.doctor.case import Case

Status = Literal["ok", "warn", "fail", "skipped"]
Server = Literal["no", "better", "yes"]
"""Whether a check needs the server to run: not at all, for all of it, or for any of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check, in a line."""

    status: Status
    text: str
    remedy: str = ""
    """What to do; empty: nothing."""


def ok(text: str) -> Finding:
    return Finding("ok", text)


def warn(text: str, remedy: str) -> Finding:
    return Finding("warn", text, remedy)


def fail(text: str, remedy: str) -> Finding:
    return Finding("fail", text, remedy)


def skipped(why: str, remedy: str = "") -> Finding:
    return Finding("skipped", why, remedy)


NO_SERVER: Final = "the server does not run"
START: Final = "start the server (talkwire serve), and point the proxy or tunnel at its port"


def without_server() -> Finding:
    """Not looked at, for the server does not run."""
    return skipped(NO_SERVER, START)


_ORDER: Final[tuple[Status, ...]] = ("fail", "warn", "ok", "skipped")


def worst(findings: list[Finding]) -> Finding:
    """All in one: the worst status, its texts first, each remedy once."""
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.status))
    remedies = dict.fromkeys(finding.remedy for finding in ordered if finding.remedy)
    return Finding(ordered[0].status, "; ".join(finding.text for finding in ordered), "; ".join(remedies))


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the installation. ``run`` may take ``patience`` times the command's deadline."""

    name: str
    asks: str
    """What it finds out, for the list of checks."""
    run: Callable[[Case], Awaitable[Finding]]
    server: Server = "no"
    patience: int = 1
