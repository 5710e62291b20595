"""``server/console`` is what ``clients/console`` gives."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.sources import CLIENTS, ROOT, digest, stamped

BUILT = ROOT / "server" / "console"
SOURCES = ("console/src", "console/package.json", "console/build.mjs", "sources.mjs")
MAX_GZIPPED = 120_000
"""Bytes of the whole page, as it goes over the wire."""


def built(folder: Path = BUILT) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_page_was_made_from_these_sources() -> None:
    assets = sorted((BUILT / "assets").iterdir())
    assert [path.suffix for path in assets] in ([".css", ".js"], [".js", ".css"])
    for path in assets:
        assert stamped(path) == digest(SOURCES), "the console has changed: run `make client`"


def test_the_build_counts_the_same_sources() -> None:
    listed = ", ".join(f'"{entry}"' for entry in SOURCES)
    assert f"SOURCES = [{listed}]" in (CLIENTS / "console" / "build.mjs").read_text()


def test_the_page_names_its_files_and_nothing_of_others() -> None:
    page = (BUILT / "index.html").read_text()
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page)) - {"data:,"}
    assert named == {f"/assets/{path.name}" for path in (BUILT / "assets").iterdir()}
    assert "<script>" not in page, "the page's policy forbids scripts within it"
    for name, content in built().items():
        foreign = re.findall(rb'(?:@import|url\(|from\s*|import\()\s*["\']?(https?://[^"\')]+)', content)
        assert not foreign, f"{name} loads {foreign}"


def test_the_page_is_small() -> None:
    assert sum(len(gzip.compress(content)) for content in built().values()) < MAX_GZIPPED


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.skipif(
    not (CLIENTS / "node_modules" / "esbuild").exists(), reason="run `make client` for its parts"
)
def test_building_again_gives_the_same(tmp_path: Path) -> None:
    subprocess.run(["node", "build.mjs", "--into", str(tmp_path)], cwd=CLIENTS / "console", check=True)
    assert built(tmp_path) == built()
