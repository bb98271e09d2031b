"""How the folder of a file-system store is mounted, as far as it matters: over NFS."""

from __future__ import annotations

import os
from pathlib import Path

from modelpool.core.errors import StoreUnavailable

_MOUNTS = Path("/proc/self/mountinfo")


def check_mount(folder: int, *, mounts: Path = _MOUNTS) -> None:
    """Raise :class:`StoreUnavailable` where an open folder is on an NFS mount that hides new files.

    With ``nocto`` a client believes for half a minute and longer that a file is not there which another node has made.
    """
    if "nocto" in _nfs_options(folder, mounts):
        raise StoreUnavailable(
            "The artifact store's folder is mounted with the option nocto, which hides from one node for a while what "
            "another one stored; mount it without."
        )


def _nfs_options(folder: int, mounts: Path) -> frozenset[str]:
    """Return the options of the NFS mount, none of another file system, or where the kernel does not tell."""
    device = os.fstat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return frozenset()
    for line in lines:
        own, _, mounted = line.partition(" - ")  # numbers, device, paths and options; kind, source and its options
        kind, *_, options = (*mounted.split(), "", "")[:3]
        if own.split()[2:3] == [wanted] and kind.startswith("nfs"):
            return frozenset(options.split(","))
    return frozenset()
