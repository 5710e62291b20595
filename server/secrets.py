"""Secrets that the server makes for itself and keeps in its data directory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

API_KEY_FILE = "api-key"
"""The generated API key, where ``TALKWIRE_API_KEYS`` is unset."""
SIGNING_FILE = "secret"
"""What tokens are signed with."""
LONGEST = 4096
"""Bytes of a secret's file that are read: anything longer is none of ours."""


class DataDirError(Exception):
    """Something in the data directory cannot be read or written. The text says what and how to help it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}. Make it readable and writable for the user that runs the server, "
            "or set TALKWIRE_DATA_DIR to another directory"
        )
        self.path = path


def new_api_key() -> str:
    """``tw_`` and 32 hexadecimal digits: 128 bits of chance."""
    return f"tw_{secrets.token_hex(16)}"


def new_signing_secret() -> str:
    """64 hexadecimal digits: 256 bits of chance."""
    return secrets.token_hex(32)


def load_or_create_secret(path: Path, make: Callable[[], str] = new_signing_secret) -> str:
    """The secret in ``path``; where there is none yet, one from ``make`` is written there first.

    The directory is made where it is missing. The file belongs to its owner alone (0600) and is never seen
    half written; of several processes that start at once one writes it and all use that one.

    Raises ``DataDirError``.
    """
    try:
        found = _read(path)
        if found is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(path, make())
            found = _read(path)
    except OSError as error:
        raise DataDirError(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise DataDirError(path, str(error)) from error
    if found is None:
        raise DataDirError(path, "it vanished while it was written")
    return found


def _read(path: Path) -> str | None:
    """None where the file does not exist or holds nothing."""
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except FileNotFoundError:
        return None
    text = raw.decode("ascii", errors="replace").strip()
    if len(raw) > LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("it does not hold a secret of this server; move it away and a new one is made")
    return text or None


def _write(path: Path, secret: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _publish(draft: Path, path: Path) -> None:
    """Give the draft its name, unless another process was quicker."""
    try:
        os.link(draft, path)
    except FileExistsError:
        if path.stat().st_size == 0:
            # Left by a crash of something else: an empty file is no secret.
            draft.replace(path)
    except OSError:
        # Some file systems have no hard links. Renaming is atomic too; the last process to come wins.
        draft.replace(path)
