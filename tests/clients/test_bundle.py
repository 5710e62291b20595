"""``server/static/talkwire.js`` is what ``clients/browser`` gives, and its types are what the wire is."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from server.protocol.page import FIELDS
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


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "talkwire_browser_generate", CLIENTS / "browser" / "generate.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_types_of_the_wire_are_those_of_the_schema() -> None:
    module = generator()
    made = module.wire(json.loads(module.SCHEMA.read_text(encoding="utf-8")))
    assert module.WIRE.read_text(encoding="utf-8") == made, "run: python clients/browser/generate.py"


def test_every_message_of_a_channel_has_a_type() -> None:
    module = generator()
    text = module.WIRE.read_text(encoding="utf-8")
    for name in FIELDS:
        assert f'  event: "{name}";' in text
    for action in ("ping", "mute", "unmute", "configure", "inject_text", "set_context", "tool_result"):
        assert f'  action: "{action}";' in text
