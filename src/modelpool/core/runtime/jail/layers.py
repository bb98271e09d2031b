"""Which of the kernel's means of confining a process are there; asked by everyone who confines, refuses or reports.

Without root and without packages: Landlock (Linux 5.13 and later) and the filter of system calls (seccomp).
``MODELPOOL_FAILPOINT`` makes this function lie, in tests of what happens without them.
"""

from __future__ import annotations

import os

import msgspec

from modelpool.core.runtime.jail import landlock, seccomp

ENVIRONMENT = "MODELPOOL_FAILPOINT"
NO_LANDLOCK, NO_SECCOMP, LEAKING = "jail.no_landlock", "jail.no_seccomp", "jail.leaking"
"""Values of :data:`ENVIRONMENT`: a layer is not there; or both are said to be there and are not put on."""


class Layers(msgspec.Struct, frozen=True):
    """``landlock`` is the version of its interface, 0 for none."""

    landlock: int
    has_seccomp: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of what is not there."""
        there = {"Landlock": self.landlock > 0, "seccomp": self.has_seccomp}
        return tuple(name for name, is_there in there.items() if not is_there)

    @property
    def problem(self) -> str:
        """What is not there, in words; empty when nothing is missing."""
        return f"the kernel offers no {' and no '.join(self.missing)}" if self.missing else ""


def probe_layers() -> Layers:
    """Ask the kernel."""
    failpoint = os.environ.get(ENVIRONMENT, "")
    return Layers(
        landlock=0 if failpoint == NO_LANDLOCK else landlock.version(),
        has_seccomp=failpoint != NO_SECCOMP and seccomp.is_available(),
    )
