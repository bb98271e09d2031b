"""What compilation gives: the faster form of a model, and the proof that it answers alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec


class Parity(msgspec.Struct, frozen=True):
    """The comparison of a compiled model with its estimator on ``rows`` rows of the training sample.

    ``labels_equal`` is the fraction of equal labels (classifiers); ``max_abs_diff`` the largest difference of a
    probability (classifiers) or of a prediction (regressors, relative to ``scale``); ``tolerance`` what was allowed.
    ``equal`` says whether the compiled model may serve; ``reason`` says in a sentence why not.
    """

    equal: bool
    rows: int
    labels_equal: float | None
    max_abs_diff: float | None
    tolerance: float
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, as stored and shown in the version's ``parity``."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


@dataclass(frozen=True, slots=True)
class Compilation:
    """``data`` is the compiled file, or ``None`` where the estimator does not convert or its answers differ."""

    data: bytes | None
    parity: Parity
