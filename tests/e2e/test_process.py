"""The server as a process: how it starts, refuses to start, and ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, descendants, free_port

pytestmark = pytest.mark.e2e

SECRETS = ("tw_topsecret", "twiliosecret")


def environment(data_dir: Path, port: int, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TALKWIRE_", "TWILIO_", "OPENAI_"))}
    return {
        **clean,
        "TALKWIRE_DATA_DIR": str(data_dir),
        "TALKWIRE_PORT": str(port),
        "TALKWIRE_STT": "none",
        "TALKWIRE_MAX_LAG_MS": "0",
        **more,
    }


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli", *args]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)


@contextmanager
def serving(env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "server.cli", "serve"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{env['TALKWIRE_PORT']}/healthz", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_version_and_help_need_nothing(tmp_path: Path) -> None:
    assert re.fullmatch(r"talkwire \d+\.\d+\.\d+\n", run("version").stdout)
    assert "call" in run("--help").stdout


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", **environment(tmp_path, port))
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "TALKWIRE_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = run("serve", **environment(blocked / "data", free_port()))
    assert done.returncode == 2
    assert "TALKWIRE_DATA_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_told_by_its_name(tmp_path: Path) -> None:
    done = run("serve", **environment(tmp_path, free_port(), TALKWIRE_MAX_CALLS="many"))
    assert done.returncode == 2
    assert "TALKWIRE_MAX_CALLS" in done.stderr


def test_config_shows_no_secret(tmp_path: Path) -> None:
    keys = {"TALKWIRE_API_KEYS": SECRETS[0], "TWILIO_AUTH_TOKEN": SECRETS[1]}
    done = run("config", **environment(tmp_path, 8080, **keys))
    assert done.returncode == 0
    assert "TALKWIRE_API_KEYS" in done.stdout
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)


def test_it_makes_its_keys_readable_for_the_owner_alone_and_ends_on_sigterm(tmp_path: Path) -> None:
    with serving(environment(tmp_path / "data", free_port())) as process:
        for name in ("api-key", "secret"):
            assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o600
        key = (tmp_path / "data" / "api-key").read_text().strip()
        assert re.fullmatch(r"tw_[0-9a-f]{32}", key)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=15)
        assert process.returncode == 0
        assert key not in output
        assert "server.draining" in output


def test_a_second_server_keeps_the_key_of_the_first(tmp_path: Path) -> None:
    with serving(environment(tmp_path, free_port())):
        first = (tmp_path / "api-key").read_text()
    with serving(environment(tmp_path, free_port())):
        assert (tmp_path / "api-key").read_text() == first


def test_nothing_is_left_of_a_killed_server(tmp_path: Path) -> None:
    with serving(environment(tmp_path, free_port())) as process:
        children = descendants(process.pid)
        assert children, "the voice has a process of its own"
        process.kill()
        process.wait()
        for _ in range(100):
            if not any(_alive(pid) for pid in children):
                break
            time.sleep(0.1)
        assert not [pid for pid in children if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_the_clips_and_the_demo_are_where_the_readme_says() -> None:
    assert (ROOT / "examples" / "demo_agent.py").is_file()
    assert {path.stem for path in (ROOT / "examples" / "clips").glob("*.wav")} >= {"time", "story", "goodbye"}
