"""What ``make test`` does where Chromium or the relay is not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("install.sh")
TOOLS = ("sh", "mktemp", "tail", "rm")


def run(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """With nothing on the path but a few tools, and programs of our own."""
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, script in programs.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    command = ["/bin/sh", str(SCRIPT)]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, timeout=20)


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="coturn would be a service here")
def test_root_installs_what_is_missing(tmp_path: Path) -> None:
    done = run(tmp_path, id="echo 0", apt_get=f'echo "$@" >> {tmp_path}/asked')
    assert (done.returncode, done.stderr) == (0, "")
    assert "installing chromium" in done.stdout
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith("update")
    assert [line.split()[-1] for line in asked[1:]] == ["chromium", "coturn"]
    assert all("--no-install-recommends" in line for line in asked[1:])


def test_what_cannot_be_installed_is_named_and_stops_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, id="echo 0", apt_get="echo no network; exit 100")
    assert done.returncode == 0
    assert "no network" in done.stdout
    assert "chromium could not be installed: its tests will be skipped" in done.stdout


def test_nobody_else_installs_anything(tmp_path: Path) -> None:
    done = run(tmp_path, id="echo 1000", apt_get=f"touch {tmp_path}/asked")
    assert done.returncode == 0
    assert "not installed, so that tests will be skipped: chromium" in done.stdout
    assert not (tmp_path / "asked").exists()


def test_what_is_there_costs_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, id="echo 0", chromium="", turnserver="", apt_get=f"touch {tmp_path}/asked")
    assert (done.returncode, done.stdout) == (0, "")
    assert not (tmp_path / "asked").exists()
