"""Looking at the processes of a running server."""

from __future__ import annotations

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the children of a process, whichever of its threads started them."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in listing.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants_of(pid: int) -> list[int]:
    """Return all processes below one."""
    found = children_of(pid)
    for child in list(found):
        found += descendants_of(child)
    return found


def module_of(pid: int) -> str:
    """Return what ``python -m`` runs in a process, such as ``modelpool.server.web``; empty when it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return words[words.index("-m") + 1] if "-m" in words else ""


def is_alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_running(pid: int, module: str) -> list[int]:
    """Return the living children that run a module."""
    return [child for child in children_of(pid) if module_of(child) == module and is_alive(child)]
