"""The first calls of a model: what it costs, and whether rows of several requests may be computed together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, thread_time

import numpy as np

from modelpool.core.codecs.base import InferenceRequest
from modelpool.core.errors import Invalid, ModelUnavailable
from modelpool.core.formats.base import Arrays, LoadedModel, TableArrays

_ROWS = ((0.02, 32), (0.2, 4), (float("inf"), 2))  # so many rows together where one takes less than so many seconds
_TOLERANCE = 1e-4  # relative; joining rows may round otherwise


@dataclass(frozen=True, slots=True)
class Trial:
    """``calls`` are rows and seconds of the calls that count; ``joins`` says that other rows change no row's answer."""

    calls: tuple[tuple[int, float], ...]
    joins: bool


def try_rows(model: LoadedModel, request_of: Callable[[int], InferenceRequest], *, is_own_thread: bool) -> Trial:
    """Predict one row twice, then many, every other one moved away from the example; raises what one row raises.

    ``is_own_thread`` says that the model computes in the thread that calls it: its cost is then the processor time of
    that, however busy the machine is with other loads.
    """
    clock = thread_time if is_own_thread else perf_counter
    one = request_of(1)
    model.predict(one.inputs, one.outputs)  # whatever is made at the first call is none of the next ones' costs
    alone, one_s = _timed(model, one, clock=clock)
    n_rows = next(count for limit_s, count in _ROWS if one_s < limit_s)
    many = request_of(n_rows)
    for inputs in (_varied(many.inputs), many.inputs):
        request = InferenceRequest(inputs, n_rows, many.outputs)
        try:
            together, many_s = _timed(model, request, clock=clock)
        except (Invalid, ModelUnavailable):
            continue  # the moved rows may be none that it takes
        joins = all(_is_alike(together.get(name), array, n_rows) for name, array in alone.items())
        return Trial(((1, one_s), (n_rows, many_s)), joins)
    return Trial(((1, one_s),), joins=False)


def _timed(
    model: LoadedModel, request: InferenceRequest, *, clock: Callable[[], float]
) -> tuple[dict[str, np.ndarray], float]:
    began = clock()
    answers = model.predict(request.inputs, request.outputs)
    return answers, clock() - began


def _varied(inputs: Arrays) -> Arrays:
    """Return other numbers in every other row, so that a model that looks across rows shows it."""
    if isinstance(inputs, TableArrays):
        return TableArrays(
            numbers=None if inputs.numbers is None else _moved(inputs.numbers),
            number_names=inputs.number_names,
            texts=inputs.texts,
            text_names=inputs.text_names,
        )
    return {name: _moved(array) for name, array in inputs.items()}


def _moved(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        return array
    moved = array.copy()
    moved[1::2] += 1
    return moved


def _is_alike(together: np.ndarray | None, alone: np.ndarray, n_rows: int) -> bool:
    """Whether the first row is answered as it was alone."""
    if together is None or together.ndim == 0 or len(together) != n_rows or together.shape[1:] != alone.shape[1:]:
        return False
    first = together[:1]
    if alone.dtype.kind == "f" and first.dtype.kind == "f":
        return bool(np.allclose(first, alone, rtol=_TOLERANCE, atol=1e-8, equal_nan=True))
    same: bool = first.tolist() == alone.tolist()
    return same
