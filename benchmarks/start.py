"""What it costs to install and to start Talkwire: size, import time, time to readiness, memory.

    python -m benchmarks.start [--venv DIR] [--runs 5] [--importtime] [--stt none]

Everything is measured from outside, on an installation from this checkout in a fresh virtual environment: the
time of the import in a process of its own, readiness by asking ``/healthz`` until it answers, memory as the
kernel's proportional set size (PSS), where each page counts by its share. Linux only. Nothing passes or fails
here: the bars of the project stand beside the figures.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

CHECKOUT = Path(__file__).resolve().parent.parent
MODULE = "server.app"
LARGEST = 12
BROUGHT = ("pip", "setuptools", "_distutils_hack", "distutils-precedence")
"""What ``venv`` itself puts into a new environment."""
STT_WORKERS = 2
START_TIMEOUT_S = 60.0
SETTLE_S = 1.0
"""Between readiness and the look at memory: what was started in the background has come to rest."""
MB = 1_000_000

BARS = {
    "import": "<= 1.2 s",
    "ready": "<= 4 s",
    "size": "<= 560 MB",
    "server": "<= 200 MB",
    "tree": "<= 360 MB",
}


@dataclass(frozen=True, slots=True)
class Memory:
    """One process of the server's tree, in bytes."""

    what: str
    pss: int
    private: int


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the server."""

    ready_s: float
    processes: list[Memory]
    """The server first."""


def install(folder: Path) -> Path:
    """A virtual environment in ``folder`` with this checkout and its base dependencies, not editable."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    # Built from a copy: a build in the checkout itself would leave its traces there.
    source = folder.parent / "source"
    source.mkdir()
    for name in ("server", "media", "pipeline", "telephony"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy2(CHECKOUT / name, source)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(source)]
    subprocess.run(command, check=True)
    return folder


def sizes(venv: Path) -> dict[str, int]:
    """Bytes on disk of each entry of site-packages, the largest first, without what every environment has."""
    packages = next((venv / "lib").glob("python3.*/site-packages"))
    found = {
        entry.name: _on_disk(entry) for entry in packages.iterdir() if not entry.name.startswith(BROUGHT)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _on_disk(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.lstat().st_blocks * 512 for file in files)


def import_times(python: Path, folder: Path, runs: int) -> list[float]:
    """Seconds that ``import server.app`` takes, each in a fresh process; one more before warms the disk."""
    code = f"import time; t = time.perf_counter(); import {MODULE}; print(time.perf_counter() - t)"
    command = [str(python), "-c", code]
    found = [
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        for _ in range(runs + 1)
    ]
    return [float(run.stdout) for run in found[1:]]


def import_costs(python: Path, folder: Path, top: int = 25) -> list[str]:
    """The modules whose import costs most with all they import, by ``-X importtime``."""
    command = [str(python), "-X", "importtime", "-c", f"import {MODULE}"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stderr
    rows = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)", told)
    rows.sort(key=lambda row: -int(row[1]))
    return [
        f"| {name} | {int(total) / 1000:.0f} | {int(own) / 1000:.0f} |" for own, total, _, name in rows[:top]
    ]


def start(venv: Path, folder: Path, settings: Mapping[str, str]) -> Start:
    """Start the server once, from the call of its command until ``/healthz`` answers, and weigh it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    foreign = ("TALKWIRE_", "TWILIO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"TALKWIRE_PORT": str(port), "TALKWIRE_DATA_DIR": str(folder / "data"), **settings}
    begun_s = time.perf_counter()
    with running([str(venv / "bin" / "talkwire"), "serve"], folder, environment) as server:
        while not _answers(port):
            if server.poll() is not None or time.perf_counter() - begun_s > START_TIMEOUT_S:
                sys.exit(
                    f"the server did not start; see {folder / 'server.log'}:\n{_tail(folder / 'server.log')}"
                )
            time.sleep(0.005)
        ready_s = time.perf_counter() - begun_s
        time.sleep(SETTLE_S)
        root = psutil.Process(server.pid)
        return Start(ready_s, [_weigh(process) for process in (root, *root.children(recursive=True))])


@contextmanager
def running(
    command: list[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _weigh(process: psutil.Process) -> Memory:
    told = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    kilobytes = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+) kB", told, re.MULTILINE)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    command = " ".join(process.cmdline())
    forked = "multiprocessing.forkserver"
    kinds = {"resource_tracker": "resource tracker", forked: "fork server", "serve": "server"}
    what = next((kind for word, kind in kinds.items() if word in command), command[:40])
    parent = process.parent()
    if forked in command and parent is not None and forked in " ".join(parent.cmdline()):
        what = "worker"
    return Memory(what, kilobytes["Pss"] * 1024, private * 1024)


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])


# --- the tables -------------------------------------------------------------------------------------------


def machine(python: Path) -> str:
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    memory = psutil.virtual_memory().total / (1 << 30)
    return (
        f"{model[1].strip() if model else 'unknown CPU'}, {os.cpu_count()} cores, {memory:.0f} GiB; {version}; "
        f"load {os.getloadavg()[0]:.1f} before the run"
    )


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def summary(size: Mapping[str, int], imports: list[float], starts: list[Start]) -> Iterator[str]:
    def memory(values: list[int]) -> str:
        return f"{statistics.median(values) / MB:.0f} MB"

    yield "| what | measured | bar |"
    yield "|---|---|---|"
    total = sum(size.values())
    yield f"| base install, site-packages without pip and setuptools | {total / MB:.0f} MB | {BARS['size']} |"
    yield f"| import of `{MODULE}`, median of {len(imports)} | {spread(imports)} | {BARS['import']} |"
    ready = spread([one.ready_s for one in starts])
    yield f"| start to `/healthz` 200, median of {len(starts)} | {ready} | {BARS['ready']} |"
    yield f"| PSS of the server process | {memory([one.processes[0].pss for one in starts])} | {BARS['server']} |"
    trees = [sum(process.pss for process in one.processes) for one in starts]
    count = len(starts[-1].processes)
    yield f"| PSS of the tree, {count} processes | {memory(trees)} | {BARS['tree']} |"


def details(size: Mapping[str, int], last: Start) -> Iterator[str]:
    yield "| process | PSS, MB | of it private, MB |"
    yield "|---|---|---|"
    for process in last.processes:
        yield f"| {process.what} | {process.pss / MB:.0f} | {process.private / MB:.0f} |"
    yield ""
    yield f"| {LARGEST} largest of site-packages | MB |"
    yield "|---|---|"
    for name, size_bytes in list(size.items())[:LARGEST]:
        yield f"| {name} | {size_bytes / MB:.1f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure installation, start and memory.")
    parser.add_argument("--venv", type=Path, help="an environment with Talkwire in it; default: a fresh one")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--importtime", action="store_true", help="list the modules that cost most to import")
    parser.add_argument("--stt", default="auto", help="TALKWIRE_STT of the server (%(default)s)")
    options = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("memory is read from Linux's /proc; there is none here")
    with tempfile.TemporaryDirectory(prefix="talkwire-start-") as name:
        folder = Path(name)
        # Absolute, since the commands run elsewhere: from the checkout, its own modules would be imported.
        venv = options.venv.absolute() if options.venv else install(folder / "venv")
        python = venv / "bin" / "python"
        where = machine(python)
        settings = {"TALKWIRE_STT": options.stt, "TALKWIRE_STT_WORKERS": str(STT_WORKERS)}
        size = sizes(venv)
        imports = import_times(python, folder, options.runs)
        starts = [start(venv, folder, settings) for _ in range(options.runs + 1)][1:]
        print(f"{where}; TALKWIRE_STT={options.stt}, {STT_WORKERS} workers\n")
        print("\n".join(summary(size, imports, starts)), end="\n\n")
        print("\n".join(details(size, starts[-1])))
        if options.importtime:
            print(f"\n| import of `{MODULE}` | with what it imports, ms | itself, ms |\n|---|---|---|")
            print("\n".join(import_costs(python, folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
