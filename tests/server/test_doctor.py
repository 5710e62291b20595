"""The last line of ``talkwire doctor``."""

from __future__ import annotations

from server.commands.doctor import CHECKS, Result, summary
from server.commands.doctor.findings import Finding, ok, skipped, without_server


def result(name: str, finding: Finding) -> Result:
    return Result(next(check for check in CHECKS if check.name == name), finding)


def test_what_the_server_alone_keeps_from_being_looked_at_is_named() -> None:
    told = summary([result("settings", ok("fine")), result("signature", without_server())])
    assert told == "1 ok, 1 skipped; with the server running also: signature"


def test_what_a_running_server_would_not_help_is_not() -> None:
    told = summary([result("server", ok("it runs")), result("signature", skipped("the token is unset"))])
    assert told == "1 ok, 1 skipped"
