"""The house itself: names, boundaries, and what must not get in."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("server", "media", "pipeline", "telephony")


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_else_in_the_environment_has_our_package_names(package: str) -> None:
    owners = importlib.metadata.packages_distributions().get(package, ["talkwire"])
    assert set(owners) == {"talkwire"}


def test_the_docker_folder_is_no_package() -> None:
    assert not (ROOT / "docker" / "__init__.py").exists()


def test_no_recording_of_a_person_is_in_the_checkout() -> None:
    kept = {".venv", "data", "recordings"}  # What a user has made there is his, and not in the repository.
    folders = {path.relative_to(ROOT).parent for path in ROOT.rglob("*.wav")}
    clips = {folder.as_posix() for folder in folders if not kept & set(folder.parts[:1])}
    assert clips <= {"examples/clips", "."}


def test_every_python_file_of_ours_has_a_docstring() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            assert text.lstrip().startswith('"""'), path


def test_worker_processes_import_no_web_framework() -> None:
    """They import the module that was started; it must stay light."""
    heavy = ("fastapi", "uvicorn", "twilio", "numpy")
    code = f"import sys, server.cli; print(','.join(m for m in sys.modules if m in {heavy!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_what_is_off_is_not_imported() -> None:
    # FastAPI imports OpenTelemetry's interface by itself.
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "sqlalchemy", "alembic")
    code = f"import sys, server.compose; print([m for m in sys.modules if m.startswith({heavy!r})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
