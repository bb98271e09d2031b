"""The policy ``latest``: each new version becomes active as soon as it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modelpool.core.policies.base import ActivationPolicy, Candidate


class Latest(ActivationPolicy):
    """Chooses the highest number."""

    name: ClassVar[str] = "latest"

    def choose(self, candidates: Sequence[Candidate], *, active: int | None) -> int | None:
        """Return the highest number among the candidates; without any, the active one."""
        return max((candidate.number for candidate in candidates), default=active)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": "latest"}``."""
        return {"name": self.name}
