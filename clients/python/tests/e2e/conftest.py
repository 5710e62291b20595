"""A real server, as the repository's own tests run it. Where that is absent these tests are skipped."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[4]
HARNESS = REPOSITORY / "tests" / "e2e" / "harness.py"


@pytest.fixture(scope="session")
def harness() -> Any:
    """The module that starts servers and places calls."""
    if not HARNESS.is_file():
        pytest.skip("the server's tests are not beside this package")
    pytest.importorskip("server", reason="the server package is not installed")
    name = "talkwire_e2e_harness"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HARNESS)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
