"""Places where a test can kill the process, to prove that nothing half-done is ever seen.

``MODELPOOL_FAILPOINT=artifact.stored`` kills (``SIGKILL``, as a power cut would) when that place is reached, and
``artifact.chunk:3`` at the third time. A path, such as ``/tmp/traps``, is a folder: whoever reaches a step
of which there is a file there takes the file away and is killed. Nothing happens when the variable is not set at start.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

STEPS = (
    "artifact.reserved",  # the pending row is committed, no byte is stored
    "artifact.chunk",  # some bytes are in a private file or in rows
    "file.synced",  # the private file is durable, not yet visible
    "file.linked",  # visible under its key, the private name still there
    "artifact.stored",  # the store has the object, the row has neither size nor digest
    "artifact.verified",  # the row knows size and digest, and is still pending
    "version.numbered",  # inside the transaction: the number is taken
    "version.inserted",  # inside the transaction: the row is inserted, its artifacts are ready
    "version.registered",  # the transaction is committed, nobody was told yet
    "version.tombstoned",  # inside the transaction: the version is marked deleted
    "artifacts.released",  # the deletion is committed, the bytes are still there
    "artifact.removed",  # the bytes are gone, the row still says deleted
)
"""The steps of store, register and delete, in this order."""

MOVE_STEPS = (
    "replica.begun",  # the copy's row is committed, no byte is stored
    "replica.stored",  # the other store has the object, nobody has read it back
    "replica.proven",  # it was read back, its row still says copying
    "replica.ready",  # the copy is ready, the artifact is where it was
    "replica.placing",  # inside the transaction: the artifact is at its new place
    "replica.placed",  # the transaction is committed, the old copy is still there
    "replica.removed",  # the old copy's bytes are gone, its row is still there
)
"""The steps of copy and move, in this order."""

UPLOAD_STEPS = (
    "upload.stored",  # the part is in the store, the upload does not know it
    "upload.moved",  # inside the transaction: the part is ready, the offset behind it
    "upload.kept",  # the transaction is committed, nobody was told yet
)
"""The steps of one part of an upload in pieces, in this order, behind those of its artifact."""


@dataclass(slots=True)
class _Trap:
    step: str = ""
    folder: str = ""
    remaining: int = 1


_trap = _Trap()


def arm(spec: str) -> None:
    """Arm a step, ``name`` or ``name:times``, or those that a folder has files of; an empty text disarms."""
    _trap.folder = spec if spec.startswith("/") else ""
    step, _, times = ("" if _trap.folder else spec).partition(":")
    _trap.step, _trap.remaining = step, int(times or 1)


def reach(step: str) -> None:
    """Say that ``step`` is reached; the process ends here when it is an armed one."""
    if _trap.folder and _take(Path(_trap.folder, step)):
        os.kill(os.getpid(), signal.SIGKILL)
    if step != _trap.step:
        return
    _trap.remaining -= 1
    if _trap.remaining == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def _take(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


arm(os.environ.get("MODELPOOL_FAILPOINT", ""))
