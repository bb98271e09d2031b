"""What a tree of processes takes, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024  # /proc counts in KiB


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """One process: resident and proportional set size in MiB; in the latter, pages of ``n`` processes count ``1/n``."""

    pid: int
    command: str
    rss_mib: float
    pss_mib: float


def tree_of(root: int) -> list[int]:
    """Return a process and everything below it."""
    found, new = [root], [root]
    while new:
        for task in Path(f"/proc/{new.pop()}/task").glob("*/children"):
            below = [int(pid) for pid in _read(task).split()]
            found += below
            new += below
    return found


def memory_of(root: int) -> list[ProcessMemory]:
    """Return the memory of every process of a tree."""
    return [found for pid in tree_of(root) if (found := _memory_of_one(pid)) is not None]


def cpu_seconds(root: int) -> float:
    """Return the processor time that a tree has used, user and system: of those alive and of those they awaited."""
    total = 0
    for pid in tree_of(root):
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])  # its own, then those of its ended children
    return total / _TICKS


def _memory_of_one(pid: int) -> ProcessMemory | None:
    sizes = dict(line.split(":", 1) for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines() if ":" in line)
    if "Pss" not in sizes:
        return None
    words = _read(Path(f"/proc/{pid}/cmdline")).strip("\0").split("\0")
    command = " ".join(Path(word).name if word.startswith("/") else word for word in words)
    rss, pss = (int(sizes[name].split()[0]) / _MIB for name in ("Rss", "Pss"))
    return ProcessMemory(pid, command, rss, pss)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""
