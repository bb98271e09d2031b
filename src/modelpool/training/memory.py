"""How much memory a child process and its descendants take, read from ``/proc``."""

from __future__ import annotations

import re
from pathlib import Path

_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
_OOM_KILLS = re.compile(rb"^oom_kill (\d+)", re.MULTILINE)
_PROC = Path("/proc")


def session_memory_bytes(session: int) -> int:
    """Return the proportional set size of all processes of a session: shared pages are divided among their sharers.

    A session of one process counts as 0: ``RLIMIT_DATA`` bounds that one already, to the byte and at once.
    """
    members = [path for path in _PROC.iterdir() if path.name.isdigit() and _session_of(path) == session]
    return sum(map(_pss_bytes, members)) if len(members) > 1 else 0


def count_oom_kills() -> int:
    """Return how often the kernel has killed for want of memory since it started; 0 where it does not tell."""
    try:
        found = _OOM_KILLS.search((_PROC / "vmstat").read_bytes())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _session_of(process: Path) -> int:
    """Field 6 of ``/proc/PID/stat`` (proc(5)); the name before it may itself hold blanks and brackets."""
    try:
        return int((process / "stat").read_bytes().rpartition(b")")[2].split()[3])
    except (OSError, ValueError, IndexError):
        return -1


def _pss_bytes(process: Path) -> int:
    try:
        found = _PSS.search((process / "smaps_rollup").read_bytes())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
