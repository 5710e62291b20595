"""The Dockerfile's promises, and the two programs that run inside: entry point and health check, for real."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from server.version import __version__

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = ROOT / "docker/entrypoint.sh"
HEALTHCHECK = ROOT / "docker/healthcheck.py"


def load(name: str) -> ModuleType:
    """A program of docker/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docker_{name}", ROOT / "docker" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


rehearse: Any = load("rehearse")
INSTRUCTIONS = rehearse.parse((ROOT / "Dockerfile").read_text())
LAST_FROM = max(n for n, step in enumerate(INSTRUCTIONS) if step.name == "FROM")
FINAL = INSTRUCTIONS[LAST_FROM:]


def value(name: str) -> str:
    """Of the final stage's only such instruction."""
    found: list[str] = [step.value for step in FINAL if step.name == name]
    assert len(found) == 1, name
    return found[0]


# --- the Dockerfile ---------------------------------------------------------------------------------------


def test_both_stages_are_the_pinned_slim_python_of_our_range() -> None:
    images = [step.value.split(" AS ")[0] for step in INSTRUCTIONS if step.name == "FROM"]
    assert images == ["python:${PYTHON_VERSION}-slim-bookworm"] * 2
    version = next(s.value for s in INSTRUCTIONS if s.value.startswith("PYTHON_VERSION=")).split("=")[1]
    assert version in ("3.11", "3.12", "3.13")


def test_dependencies_come_as_wheels_before_the_source() -> None:
    wheels = next(n for n, s in enumerate(INSTRUCTIONS) if "--only-binary=:all:" in s.value)
    source = next(n for n, s in enumerate(INSTRUCTIONS) if s.value.startswith("server "))
    assert wheels < source


def test_every_package_of_the_wheel_is_copied() -> None:
    copied = {step.value.split()[0] for step in INSTRUCTIONS[:LAST_FROM] if step.name == "COPY"}
    assert {"server", "media", "pipeline", "telephony", "pyproject.toml"} <= copied


def test_what_is_copied_exists_and_is_in_the_context() -> None:
    ignored = rehearse.Ignored((ROOT / ".dockerignore").read_text())
    for step in INSTRUCTIONS:
        if step.name == "COPY" and "from" not in step.flags:
            for source in step.value.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert not ignored(source), source


def test_the_final_stage_runs_as_nobody_in_particular() -> None:
    assert value("USER") == "10001:10001"
    user = next(n for n, step in enumerate(FINAL) if step.name == "USER")
    assert not any(step.name in ("RUN", "COPY") for step in FINAL[user:])
    assert any(
        step.name == "RUN" and "-o 10001 -g 10001" in step.value and "/data" in step.value for step in FINAL
    )


def test_the_final_stage_brings_no_tools_along() -> None:
    installs = [step.value for step in FINAL if step.name == "RUN" and "install " in step.value]
    assert not any("pip" in text or "gcc" in text or "curl" in text for text in installs)
    assert [step.value for step in FINAL if step.flags.get("from") == "builder"] == ["/venv /venv"]


def test_it_listens_everywhere_keeps_its_data_in_the_volume_and_reports_to_nobody() -> None:
    pairs = dict(word.split("=", 1) for word in value("ENV").split())
    assert pairs["TALKWIRE_HOST"] == "0.0.0.0"
    assert pairs["TALKWIRE_DATA_DIR"] == "/data"
    assert pairs["TMPDIR"] == "/tmp"
    assert pairs["ORT_DISABLE_TELEMETRY"] == "1"
    assert not any("KEY" in name or "TOKEN" in name for name in pairs)


def test_it_starts_stops_and_is_asked_for_its_health() -> None:
    assert json.loads(value("ENTRYPOINT")) == ["/opt/talkwire/docker/entrypoint.sh"]
    assert json.loads(value("CMD")) == ["serve"]
    assert value("STOPSIGNAL") == "SIGTERM"
    check = json.loads(value("HEALTHCHECK").removeprefix("CMD "))
    targets = {step.value.split()[-1] for step in FINAL if step.name == "COPY"}
    assert check[0] == "python"
    assert check[-1] in targets
    assert "/opt/talkwire/docker/entrypoint.sh" in targets


def test_its_version_is_ours() -> None:
    assert next(s.value for s in FINAL if s.value.startswith("VERSION=")) == f"VERSION={__version__}"


def test_secrets_and_environments_stay_out_of_the_context() -> None:
    ignored = rehearse.Ignored((ROOT / ".dockerignore").read_text())
    for path in (
        ".env",
        "data/api-key",
        ".venv/bin/python",
        ".git/config",
        "examples/.env",
        "tests/__init__.py",
    ):
        assert ignored(path), path
    assert ignored("server/__pycache__/app.cpython-313.pyc")
    assert not ignored("server/doors/agent.py")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUN a \\\n    && b", [(1, "RUN", {}, "a     && b")]),
        ("# no\n\nRUN a \\\n# between\n  b", [(3, "RUN", {}, "a   b")]),
        ("copy --from=x --chmod=0755 /a /b", [(1, "COPY", {"from": "x", "chmod": "0755"}, "/a /b")]),
        ("ENV A=1\nUSER 1:1", [(1, "ENV", {}, "A=1"), (2, "USER", {}, "1:1")]),
    ],
)
def test_the_rehearsal_reads_dockerfiles(
    text: str, expected: list[tuple[int, str, dict[str, str], str]]
) -> None:
    assert [(s.line, s.name, dict(s.flags), s.value) for s in rehearse.parse(text)] == expected


def test_the_rehearsal_knows_every_instruction_that_is_used() -> None:
    known = set(re.findall(r'"([A-Z]+)"', (ROOT / "docker/rehearse.py").read_text()))
    assert {step.name for step in INSTRUCTIONS} <= known


# --- the entry point --------------------------------------------------------------------------------------


def enter(tmp_path: Path, *words: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run the entry point with a ``talkwire`` that tells its arguments and its process id."""
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = programs / "talkwire"
    fake.write_text('#!/bin/sh\necho "$$ $*"\nexit 7\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "TALKWIRE_DATA_DIR": str(data)}
    process = subprocess.Popen(
        [str(ENTRYPOINT), *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    out, err = process.communicate(timeout=20)
    return subprocess.CompletedProcess([str(process.pid), *words], process.returncode, out, err)


def test_the_entry_point_becomes_the_server(tmp_path: Path) -> None:
    done = enter(tmp_path, "serve", data=tmp_path)
    assert done.stdout.strip() == f"{done.args[0]} serve", (
        "the same process, and so the one that gets signals"
    )
    assert done.returncode == 7
    assert done.stderr == ""


def test_without_words_it_serves_and_makes_a_missing_directory(tmp_path: Path) -> None:
    done = enter(tmp_path, data=tmp_path / "new" / "data")
    assert done.stdout.split()[1:] == ["serve"]
    assert (tmp_path / "new" / "data").is_dir()


def test_a_file_in_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = enter(tmp_path, "serve", data=tmp_path / "file")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / 'file'} is not a directory" in done.stderr


def test_a_directory_that_cannot_be_made_is_told_with_what_helps(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = enter(tmp_path, "serve", data=tmp_path / "file" / "data")
    assert (done.returncode, done.stdout) == (2, "")
    user = f"{os.getuid()}:{os.getgid()}"
    assert f"cannot be written by user {user}" in done.stderr
    assert f"chown -R {user}" in done.stderr
    assert "talkwire_data" in done.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_directory_of_somebody_else_is_told(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = enter(tmp_path, "serve", data=locked)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_other_commands_need_no_data(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = enter(tmp_path, "call", "a b.wav", data=tmp_path / "file")
    assert done.stdout.split(maxsplit=1)[1].strip() == "call a b.wav"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", str(ENTRYPOINT)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_it_can_be_executed() -> None:
    assert os.access(ENTRYPOINT, os.X_OK)


# --- the health check -------------------------------------------------------------------------------------


class _Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture
def answering() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Health) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(port: int) -> subprocess.CompletedProcess[str]:
    # A proxy of the environment must not be asked for what runs in this container.
    environment = {"TALKWIRE_PORT": str(port), "http_proxy": "http://127.0.0.1:9", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-I", str(HEALTHCHECK)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)


def test_a_server_that_answers_is_well(answering: http.server.HTTPServer) -> None:
    assert ask(answering.server_port).returncode == 0


def test_another_status_is_not(answering: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Health, "status", 503)
    done = ask(answering.server_port)
    assert done.returncode == 1
    assert "503" in done.stdout


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = ask(port)
    assert done.returncode == 1
    assert f"no answer from port {port}" in done.stderr
