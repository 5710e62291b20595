"""What the kernel knows of a process: processor time, memory, threads. Linux only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_HZ = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds of processor time at one instant."""

    at: float
    process: float
    """0 where none was asked about."""
    core_busy: float
    """The core that the process is pinned to, all processes together and what the host took away."""
    own: float
    """This process, which makes the load."""


def cpu_times(pid: int | None, core: int) -> CpuTimes:
    process = 0.0
    if pid is not None:
        # The name of the process stands in parentheses and may hold anything, so that fields count behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        process = (int(fields[11]) + int(fields[12])) / _TICKS_HZ
    line = next(
        line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} ")
    )
    user, nice, system, _, _, irq, softirq, steal = (int(value) for value in line.split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / _TICKS_HZ
    return CpuTimes(time.monotonic(), process, busy, time.process_time())


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its children, in MB."""
    return _sum_mb(pid, "Pss:")


def _sum_mb(pid: int, key: str) -> float:
    total = 0
    for each in (pid, *_children(pid)):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith(key):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def allocated_mb(pid: int) -> float:
    """What a process and its children have allocated, in MB: their proportional set size without files, of which each
    weighs less as soon as somebody else on the machine maps it, too."""
    return _sum_mb(pid, "Pss_Anon:")


def threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found
