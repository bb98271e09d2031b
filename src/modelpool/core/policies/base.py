"""The contract of an activation policy: which version of a pool should be the active one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

Mode = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready version as a policy sees it; ``primary_metric`` is the one that its trainer is judged by."""

    number: int
    created_at: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
    primary_metric: str | None = None
    primary_mode: Mode = "max"


class ActivationPolicy(ABC):
    """Chooses the active version among the ready ones of one model."""

    name: ClassVar[str]

    @abstractmethod
    def choose(self, candidates: Sequence[Candidate], *, active: int | None) -> int | None:
        """Return the number to activate; ``active`` (perhaps ``None``) means: leave it as it is."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, ``{"name": …, …}``, as stored in the model's row."""
