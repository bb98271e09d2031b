"""The policy ``pinned``: a version becomes active by hand only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modelpool.core.policies.base import ActivationPolicy, Candidate


class Pinned(ActivationPolicy):
    """Leaves everything as it is."""

    name: ClassVar[str] = "pinned"

    def choose(self, candidates: Sequence[Candidate], *, active: int | None) -> int | None:
        """Return the active one."""
        return active

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": "pinned"}``."""
        return {"name": self.name}
