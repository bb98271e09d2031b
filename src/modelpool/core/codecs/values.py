"""Plain values checked one by one against a column's type: slow, exact, and able to say what is wrong where."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from modelpool.core.errors import FieldError, SignatureMismatch
from modelpool.core.signature import TensorSpec

MAX_ERRORS = 20
"""So many fields are named; a table that is wrong in every row needs no longer list."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES = {
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


class ValueProblem(Exception):
    """One value does not fit; ``str()`` is the second half of a sentence."""

    def __init__(self, detail: str, code: str = "wrong_type") -> None:
        super().__init__(detail)
        self.code = code


class ErrorList:
    """Collects fields that are wrong, until there are enough to raise."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def add(self, field: str, detail: str, code: str) -> None:
        """Note one field; the twentieth raises."""
        self._errors.append(FieldError(field, detail, code))
        if len(self._errors) >= MAX_ERRORS:
            self.raise_if_any()

    def raise_if_any(self) -> None:
        """Raise :class:`~modelpool.core.errors.SignatureMismatch` when a field was noted."""
        if not self._errors:
            return
        first, *more = self._errors
        others = f" (and {len(more)} more)" if more else ""
        raise SignatureMismatch(f"{first.field}: {first.detail}{others}.", errors=self._errors)


def array_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """The dtype of the array: the signature's, but float64 for nullable integers and booleans, which have no NaN."""
    dtype = spec.numpy_dtype
    return np.dtype(np.float64) if spec.nullable and dtype.kind in "iub" else dtype


def parse_datetime(text: str) -> float:
    """Return seconds since 1970-01-01 UTC of an ISO 8601 text; one without a zone is UTC. Raises ``ValueError``."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH).total_seconds()


def describe(value: Any) -> str:
    """Return a few words that say what a value is, short enough for an error message."""
    if value is None:
        return "null"
    if isinstance(value, list | dict):
        return f"{_NAMES[type(value)]} of {len(value)}"
    shown = repr(value) if isinstance(value, str) else str(value)
    return f"{_NAMES.get(type(value), 'a value')} ({shown[:40]}{'…' if len(shown) > 40 else ''})"


def value_checker(spec: TensorSpec) -> Callable[[Any], Any]:
    """Return a function that gives the value for the array, or raises :class:`ValueProblem`."""
    check = _checker_of_type(spec)
    missing: Any = "" if spec.dtype == "string" else math.nan

    def check_nullable(value: Any) -> Any:
        return missing if value is None else check(value)

    def check_present(value: Any) -> Any:
        if value is None:
            raise ValueProblem("is null, and this input may not be missing", "null_not_allowed")
        return check(value)

    return check_nullable if spec.nullable else check_present


def build_array(
    spec: TensorSpec,
    values: Sequence[Any],
    *,
    field_of: Callable[[int], str],
    errors: ErrorList,
) -> np.ndarray[Any, Any]:
    """Check every value of a column or matrix and return the array ``(n_rows, …)``; ``field_of(row)`` is its path."""
    check, inner = value_checker(spec), spec.shape[1:]
    rows: list[Any] = []
    for number, value in enumerate(values):
        rows.append(_check_nested(value, inner, check, field=field_of(number), spec=spec, errors=errors))
    errors.raise_if_any()
    return _as_array(spec, rows, field_of=field_of)


def _as_array(spec: TensorSpec, rows: list[Any], *, field_of: Callable[[int], str]) -> np.ndarray[Any, Any]:
    inner = spec.shape[1:]
    if not rows:
        return np.empty((0, *(max(size, 0) for size in inner)), array_dtype(spec))
    try:
        array = np.array(rows, array_dtype(spec))
    except (ValueError, TypeError) as error:
        detail = f"{spec.name!r} is ragged: its rows differ in shape"
        raise SignatureMismatch(f"{detail}.", errors=[FieldError(field_of(0), detail, "wrong_shape")]) from error
    if array.ndim != 1 + len(inner):
        detail = f"{spec.name!r} is ragged: its rows differ in shape"
        raise SignatureMismatch(f"{detail}.", errors=[FieldError(field_of(0), detail, "wrong_shape")])
    return array


def _check_nested(
    value: Any,
    inner: tuple[int, ...],
    check: Callable[[Any], Any],
    *,
    field: str,
    spec: TensorSpec,
    errors: ErrorList,
) -> Any:
    if not inner:
        try:
            return check(value)
        except ValueProblem as problem:
            errors.add(field, f"{spec.name!r} {problem}", problem.code)
            return None
    size = inner[0]
    if not isinstance(value, list) or (size >= 0 and len(value) != size):
        wanted = f"a list of {size} values" if size >= 0 else "a list"
        errors.add(
            field,
            f"{spec.name!r} takes {wanted} here, not {describe(value)}",
            "wrong_shape",
        )
        return None
    return [
        _check_nested(item, inner[1:], check, field=f"{field}[{at}]", spec=spec, errors=errors)
        for at, item in enumerate(value)
    ]


def _checker_of_type(spec: TensorSpec) -> Callable[[Any], Any]:
    if spec.dtype == "string":
        return _check_string
    if spec.dtype == "datetime":
        return _check_datetime
    if spec.dtype == "bool":
        return _check_bool
    dtype = np.dtype(spec.dtype)
    return _float_checker(dtype) if dtype.kind == "f" else _int_checker(dtype)


def _check_string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueProblem(f"takes a text, not {describe(value)}")
    return value


def _check_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueProblem(f"takes true or false, not {describe(value)}")
    return value


def _check_datetime(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueProblem(f"takes a date and time as ISO 8601 text, not {describe(value)}")
    try:
        return parse_datetime(value)
    except (ValueError, OverflowError) as error:
        raise ValueProblem(
            f"takes a date and time as ISO 8601 text, not {describe(value)}",
            "wrong_value",
        ) from error


def _float_checker(dtype: np.dtype[Any]) -> Callable[[Any], float]:
    largest = float(np.finfo(dtype).max)

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueProblem(f"takes a number, not {describe(value)}")
        if not -largest <= value <= largest:
            raise ValueProblem(
                f"takes a {dtype.name} number, and {str(value)[:40]} is out of its range",
                "out_of_range",
            )
        return float(value)

    return check


def _int_checker(dtype: np.dtype[Any]) -> Callable[[Any], int]:
    least, largest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueProblem(f"takes a whole number, not {describe(value)}")
        if not isinstance(value, int) and not value.is_integer():
            raise ValueProblem(f"takes a whole number, not {describe(value)}")
        if not least <= value <= largest:
            raise ValueProblem(
                f"takes {dtype.name}, {least} to {largest}, not {str(value)[:40]}",
                "out_of_range",
            )
        return int(value)

    return check
