"""The processes of a measurement: the server on its core, and the engines' endpoint on that of the load."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks._delays import REPLIES, TOKEN_CHARS, TOKEN_MS, Delays
from benchmarks._server import Options

ROOT = Path(__file__).resolve().parents[1]
KEY = "tw_" + "0" * 32
END_TIMEOUT_S = 30.0
SAID = "this is what was said, number {n}"
"""What the recogniser hears: a different text each time, by which a request to the language model is known again."""


@dataclass(frozen=True, slots=True)
class Server:
    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stats(self) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.url}/v1/stats", headers={"Authorization": f"Bearer {KEY}"})
            found: dict[str, Any] = answer.json()
            return found


@dataclass(frozen=True, slots=True)
class Engines:
    pid: int
    base_url: str
    log: Path

    def requests(self) -> list[dict[str, Any]]:
        """What was asked of them and when, as far as it is over."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def serving(options: Options, *, core: int, load_core: int) -> Iterator[Server]:
    """A server on its core, until the context ends. Its port and folder are chosen here."""
    with tempfile.TemporaryDirectory(prefix="talkwire-phone-") as folder:
        chosen = options | {"port": _free_port(), "data_dir": folder}
        command = ["benchmarks._server", json.dumps(chosen)]
        # A child is born on the core of its parent, with all the threads that it will ever start.
        os.sched_setaffinity(0, {core})
        try:
            process = _start(command)
        finally:
            os.sched_setaffinity(0, {load_core})
        with _ready(process, "the server"):
            yield Server(process.pid, chosen["port"])


@contextmanager
def engines(delays: Delays, log: Path) -> Iterator[Engines]:
    """The endpoint, on the core of this process."""
    port = _free_port()
    command = ["tests.fakes.openai_endpoint", "--port", str(port), "--transcript", SAID, "--log", str(log)]
    for name in ("stt_ms", "llm_ms", "tts_ms"):
        command += [f"--{name.replace('_', '-')}", f"{getattr(delays, name):g}"]
    command += ["--token-ms", f"{TOKEN_MS:g}", "--token-chars", str(TOKEN_CHARS)]
    for reply in REPLIES:
        command += ["--reply", reply]
    process = _start(command)
    with _ready(process, "the endpoint"):
        yield Engines(process.pid, f"http://127.0.0.1:{port}/v1", log)


def _start(module: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@contextmanager
def _ready(process: subprocess.Popen[str], name: str) -> Iterator[None]:
    """Wait until it says so; end it with the context."""
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{name} did not start; the reason stands above")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
