"""`talkwire serve` as it is, in a process of its own whose log is kept."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
KEY = "tw_" + "0" * 32
START_S = 30.0
END_S = 30.0


@dataclass(frozen=True, slots=True)
class RealServer:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rss_mb(self) -> float:
        """Resident memory of the server's own process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024 / 1e6

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sockets(self) -> int:
        """Open file descriptors."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def stats(self) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            answer = await client.get(f"{self.url}/v1/stats", headers={"Authorization": f"Bearer {KEY}"})
            found: dict[str, Any] = answer.json()
            return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def real_server(**settings: str) -> Iterator[RealServer]:
    """Serve without a recogniser unless ``TALKWIRE_STT`` says otherwise; settings by the names of the environment."""
    with tempfile.TemporaryDirectory(prefix="talkwire-bench-") as folder:
        port = free_port()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TALKWIRE_", "TWILIO_", "OPENAI_"))}
        own = {"TALKWIRE_PORT": str(port), "TALKWIRE_DATA_DIR": folder, "TALKWIRE_API_KEYS": KEY}
        env = {
            **clean,
            "TALKWIRE_STT": "none",
            "TALKWIRE_TWILIO_UNSIGNED": "loopback",
            "TALKWIRE_MAX_LAG_MS": "0",
            **own,
            **settings,
        }
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "server.cli", "serve"]
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
        server = RealServer(process, port, log)
        try:
            _wait_ready(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(server: RealServer) -> None:
    deadline = time.perf_counter() + START_S
    while time.perf_counter() < deadline and server.alive:
        try:
            if httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start: {server.log.read_text()[-2000:]}")
