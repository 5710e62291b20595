"""What the command line says where the server does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ProviderError
from server import cli
from server.secrets import DataDirError
from server.settings import SettingsError


@pytest.mark.parametrize(
    "error",
    [
        SettingsError("TALKWIRE_PORT must be a whole number"),
        DataDirError(Path("data/secret"), "Permission denied"),
        ProviderError("espeak", "tts", "its worker did not start: out of memory"),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_what_an_operator_can_mend_is_one_line(
    error: Exception, grouped: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> int:
        raise ExceptionGroup("of the start", [error]) if grouped else error

    monkeypatch.setattr(cli, "_dispatch", fails)
    assert cli.main(["serve"]) == 2
    assert capsys.readouterr().err == f"talkwire: {error}\n"


def test_what_nobody_can_mend_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> int:
        raise ExceptionGroup("of the start", [SettingsError("x"), KeyError("a bug")])

    monkeypatch.setattr(cli, "_dispatch", fails)
    with pytest.raises(ExceptionGroup):
        cli.main(["serve"])
