"""Examples as modules, each time new."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Loads one by its name. What it has in its environment is what the test gives it."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "RECORDINGS"):
        monkeypatch.delenv(name, raising=False)
    loaded: list[str] = []

    def load(name: str) -> Any:
        full = f"talkwire_example_{name}"
        spec = importlib.util.spec_from_file_location(full, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        loaded.append(full)
        spec.loader.exec_module(module)
        return module

    yield load
    for full in loaded:
        del sys.modules[full]
