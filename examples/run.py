"""``make run``: the server and the demo agent, in the foreground, ended together.

All settings come from the environment and ``.env`` as for ``talkwire serve``. Calls without a signature are
let in from this machine alone, unless you say otherwise.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from server.settings import Settings, SettingsError

HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 60.0


def main() -> int:
    environment = dict(os.environ)
    environment.setdefault("TALKWIRE_TWILIO_UNSIGNED", "loopback")
    os.environ.update(environment)
    try:
        settings = Settings.load()
    except SettingsError as error:
        print(f"talkwire: {error}", file=sys.stderr)
        return 2
    if _in_use(settings.port):  # Another server there would be taken for ours.
        print(
            f"talkwire: port {settings.port} is in use: stop what uses it, or set TALKWIRE_PORT to another",
            file=sys.stderr,
        )
        return 2
    local = f"127.0.0.1:{settings.port}"
    server = subprocess.Popen([sys.executable, "-m", "server.cli", "serve"], env=environment)
    children = [server]
    # The terminal sends SIGINT to all of us; a supervisor sends SIGTERM to this process only.
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        if not _ready(server, f"http://{local}/healthz"):
            return server.wait() or 1
        keys = settings.load_api_keys()
        agent = {**environment, "TALKWIRE_URL": f"ws://{local}", "TALKWIRE_API_KEYS": keys[0]}
        by_itself = settings.endpoint("llm") is not None if settings.llm == ("auto",) else True
        if by_itself and settings.llm != ("none",):
            agent.setdefault("TALKWIRE_DEMO_LLM", "1")
        children.append(subprocess.Popen([sys.executable, str(HERE / "demo_agent.py")], env=agent))
        print(f"\n  Talkwire runs. Open http://{local}/ or, in a second shell, call it:\n")
        elsewhere = f" --server http://{local}" if settings.port != 8080 else ""
        clips = "examples/clips/time.wav examples/clips/goodbye.wav"
        print(f"    .venv/bin/talkwire call{elsewhere} {clips}\n", flush=True)
        return server.wait()
    finally:
        for child in reversed(children):
            if child.poll() is None:
                child.terminate()
            child.wait()


def _in_use(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _ready(server: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


if __name__ == "__main__":
    sys.exit(main())
