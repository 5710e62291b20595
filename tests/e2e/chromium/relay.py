"""A TURN server of this machine, with time-limited credentials."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import TIMEOUT_S, free_port

SECRET = "a secret that is shared with the relay"


@dataclass(frozen=True)
class Relay:
    """Where it listens, and what is to be set in the server for it."""

    port: int

    @property
    def settings(self) -> dict[str, object]:
        return {"ice_servers": (f"turn:127.0.0.1:{self.port}?transport=udp",), "turn_secret": SECRET}


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[Relay]:
    """Run it until the context ends. Where it is not installed the test is skipped."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn is not installed: apt-get install coturn, or run make test as root on Debian")
    port = free_port()
    options = {
        "listening-ip": "127.0.0.1",
        "relay-ip": "127.0.0.1",
        "listening-port": str(port),
        "realm": "talkwire.test",
        "static-auth-secret": SECRET,
        "userdb": str(folder / "turn.db"),
        "pidfile": str(folder / "turn.pid"),
        "log-file": "stdout",
    }
    flags = ("n", "no-tls", "no-dtls", "no-cli", "use-auth-secret", "allow-loopback-peers", "lt-cred-mech")
    command = [program, *(f"--{flag}" if len(flag) > 1 else f"-{flag}" for flag in flags)]
    command += [f"--{name}={value}" for name, value in options.items()]
    log = (folder / "turn.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not await _listens(port):
                assert process.poll() is None, (folder / "turn.log").read_text()
                await asyncio.sleep(0.05)
        yield Relay(port)
    finally:
        process.terminate()
        process.wait()
        log.close()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
