"""``server/static/talkwire.js`` is what ``clients/browser`` gives."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.sources import CLIENTS, ROOT, digest, stamped

BUNDLE = ROOT / "server" / "static" / "talkwire.js"
SOURCES = ("browser/src", "browser/package.json", "browser/build.mjs", "sources.mjs")


def test_the_bundle_was_made_from_these_sources() -> None:
    assert stamped(BUNDLE) == digest(SOURCES), "the browser client has changed: run `make client`"


def test_the_build_counts_the_same_sources() -> None:
    listed = ", ".join(f'"{entry}"' for entry in SOURCES)
    assert f"SOURCES = [{listed}]" in (CLIENTS / "browser" / "build.mjs").read_text()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.skipif(
    not (CLIENTS / "node_modules" / "esbuild").exists(), reason="run `make client` for its parts"
)
def test_building_again_gives_the_same(tmp_path: Path) -> None:
    subprocess.run(
        ["node", "build.mjs", "--bundle", str(tmp_path / "talkwire.js")], cwd=CLIENTS / "browser", check=True
    )
    assert (tmp_path / "talkwire.js").read_bytes() == BUNDLE.read_bytes()
