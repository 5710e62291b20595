"""Generated secrets are made once, for their owner alone."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from server.secrets import DataDirError, load_or_create_secret, new_api_key, new_signing_secret


def never() -> str:
    raise AssertionError("a secret was made although there is one")


def test_a_missing_secret_is_made_with_its_directory_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "api-key"
    secret = load_or_create_secret(path, new_api_key)
    assert re.fullmatch(r"tw_[0-9a-f]{32}", secret)
    assert path.read_text() == secret + "\n"
    assert load_or_create_secret(path, never) == secret


def test_the_file_belongs_to_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_or_create_secret(tmp_path / "data" / "secret", new_signing_secret)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_nothing_else_is_left_behind(tmp_path: Path) -> None:
    load_or_create_secret(tmp_path / "secret", new_signing_secret)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_secret_written_by_hand_counts_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text(" mine\r\n")
    assert load_or_create_secret(tmp_path / "api-key", never) == "mine"


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("\n \n")
    (tmp_path / "secret").touch()
    made = load_or_create_secret(tmp_path / "secret", lambda: "made")
    assert (made, (tmp_path / "secret").read_text()) == ("made", "made\n")
    with pytest.raises(DataDirError, match="vanished"):
        load_or_create_secret(tmp_path / "api-key", lambda: "made")


def test_of_two_processes_at_once_one_wins_and_both_use_it(tmp_path: Path) -> None:
    path = tmp_path / "api-key"

    def make_while_another_does() -> str:
        path.write_text("theirs\n")
        return "ours"

    assert load_or_create_secret(path, make_while_another_does) == "theirs"
    assert [child.name for child in tmp_path.iterdir()] == ["api-key"]


def test_a_file_system_without_links_is_renamed_upon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert load_or_create_secret(tmp_path / "secret", lambda: "made") == "made"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_directory_that_cannot_be_written_is_told_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(DataDirError, match=r"Read-only file system.*TALKWIRE_DATA_DIR") as caught:
        load_or_create_secret(tmp_path / "secret", new_signing_secret)
    assert caught.value.path == tmp_path / "secret"


def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataDirError, match="TALKWIRE_DATA_DIR"):
        load_or_create_secret(tmp_path / "data" / "secret", new_signing_secret)


@pytest.mark.parametrize("content", [b"\x00\x01", b"x" * 5000, b"two words", "schlüssel".encode(), b"a\nb"])
def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(DataDirError, match="does not hold a secret"):
        load_or_create_secret(tmp_path / "secret", never)
    assert (tmp_path / "secret").read_bytes() == content


def test_secrets_differ_and_are_long_enough() -> None:
    assert len({new_signing_secret() for _ in range(50)}) == 50
    assert re.fullmatch(r"[0-9a-f]{64}", new_signing_secret())
    assert len({new_api_key() for _ in range(50)}) == 50
