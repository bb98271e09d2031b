"""What a child process may answer: how much, and that it fits what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from modelpool.core.errors import ModelpoolError, PredictionFailed, UnloadableModel
from modelpool.core.runtime.process.wire import MAX_BODY_BYTES, MAX_HEADER_BYTES, Limits
from modelpool.core.signature import ModelSignature, TensorSpec

_FIXED_BYTES = 1 << 20
_TEXT_BYTES = 4096  # for one text
_UNKNOWN_BYTES = 1 << 20  # for a row of an output whose size the signature does not say


class WrongAnswer(Exception):
    """An answer that does not fit the question; the message continues "its process …"."""


class OutOfMemory(UnloadableModel):
    """A model process reached its limit of memory; the code is for the wire between processes alone."""

    code = "out_of_memory"


class Allowance(NamedTuple):
    """How much an answer may take for each row: bytes of its header, which holds texts, and of its body."""

    header_bytes: int
    body_bytes: int

    @classmethod
    def of(cls, signature: ModelSignature, outputs: Sequence[str]) -> Allowance:
        """Return that of some outputs of a signature."""
        specs = [spec for spec in signature.outputs if spec.name in outputs]
        return cls(
            sum(_row_bytes(spec, each=_TEXT_BYTES) for spec in specs), sum(_row_bytes(spec, each=8) for spec in specs)
        )

    def for_rows(self, n_rows: int) -> Limits:
        """Return the limits of an answer for so many rows."""
        header, body = _FIXED_BYTES + n_rows * self.header_bytes, _FIXED_BYTES + n_rows * self.body_bytes
        return Limits(min(header, MAX_HEADER_BYTES), min(body, MAX_BODY_BYTES))


def _row_bytes(spec: TensorSpec, *, each: int) -> int:
    count = 1
    for size in spec.shape[1:]:
        if size < 0:
            return _UNKNOWN_BYTES
        count *= size
    return count * each


def check_answer(
    facts: Mapping[str, Any],
    answers: Mapping[str, np.ndarray],
    *,
    signature: ModelSignature,
    outputs: Sequence[str],
    n_rows: int,
    call: int,
) -> None:
    """Raise :class:`WrongAnswer` unless each output is there as the signature has it, with a row for each row asked.

    A caller is never sent another shape or type than the version promises.
    """
    if facts.get("call") != call or list(answers) != list(outputs):
        raise WrongAnswer("gave another answer than was asked for")
    check_rows(answers, n_rows=n_rows)
    for spec in signature.outputs:
        problem = spec.misfit(answers[spec.name]) if spec.name in answers else None
        if problem is not None:
            raise WrongAnswer(f"gave an output {spec.name!r} that {problem}")


def check_rows(answers: Mapping[str, np.ndarray], *, n_rows: int) -> None:
    """Raise :class:`WrongAnswer` for an output that has not as many rows as were asked for."""
    for name, array in answers.items():
        if array.ndim == 0 or array.shape[0] != n_rows:
            found = array.shape[0] if array.ndim else "no"
            raise WrongAnswer(f"gave {found} rows of {name!r} for the {n_rows} that were asked for")


def error_of(error: ModelpoolError) -> ModelpoolError:
    """Return what a caller is told of the error that a child reported for a prediction."""
    return error if isinstance(error, PredictionFailed | OutOfMemory) else PredictionFailed(error.detail)
