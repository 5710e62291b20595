"""What a committed bundle was made from, as one number, counted as ``clients/sources.mjs`` counts it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "clients"
TYPES = "/src/wire.ts"
"""Generated: they leave nothing in what is built, and have a drift test of their own."""


def _files(entry: str) -> Iterator[str]:
    place = CLIENTS / entry
    if place.is_file():
        yield entry
        return
    for path in place.rglob("*"):
        if path.is_file():
            yield path.relative_to(CLIENTS).as_posix()


def digest(entries: tuple[str, ...]) -> str:
    """SHA-256, in hex, of the files that ``entries`` name: of each, in the order of their paths, the path, a zero
    byte, the content, a zero byte. Generated types are left out."""
    found = hashlib.sha256()
    names = (name for entry in entries for name in _files(entry))
    for name in sorted(name for name in names if not name.endswith(TYPES)):
        found.update(name.encode() + b"\0" + (CLIENTS / name).read_bytes() + b"\0")
    return found.hexdigest()


def stamped(bundle: Path) -> str:
    """What the first line of a built file says it was made from."""
    with bundle.open(encoding="utf-8") as file:
        found = re.search(r"Sources: ([0-9a-f]{64})", file.readline())
    assert found is not None, f"{bundle} does not say in its first line what it was made from"
    return found.group(1)
