"""The column to predict: what a classifier and a regressor accept, and advice when it will not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.errors import BadTrainingData, FieldError

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 100


def is_present(labels: pd.Series[Any]) -> np.ndarray[Any, Any]:
    """Return ``(n_rows,)`` booleans: whether the row has a label; ``""`` and NaN are none."""
    return np.asarray(labels.notna() & (labels.astype(object) != ""), dtype=np.bool_)


def read_classes(labels: pd.Series[Any], *, is_datetime: bool) -> np.ndarray[Any, Any]:
    """Return the class of each row, ``(n_rows,)``: bool, int64, or objects that are text.

    ``labels`` has no missing ones any more. Whole floats are integers that had gaps beside them, and the texts "true"
    and "false" alone are truth values. Raises :class:`~modelpool.core.errors.BadTrainingData` for dates, quantities,
    one class, more than :data:`MAX_CLASSES`, and classes of one row.
    """
    if is_datetime:
        raise _bad_target(labels, "holds dates; predict a category, or make a number of it and use tabular_regressor")
    classes = _to_classes(labels)
    _check_counts(labels, classes)
    return classes


def read_quantities(labels: pd.Series[Any], *, is_datetime: bool) -> np.ndarray[Any, Any]:
    """Return the number of each row, ``(n_rows,)`` float64.

    ``labels`` has no missing ones any more. Raises :class:`~modelpool.core.errors.BadTrainingData` for text, truth
    values, dates, infinite values and a column that never changes.
    """
    if is_datetime:
        raise _bad_target(labels, "holds dates; make a number of it, such as days since a start")
    if labels.dtype.kind not in "iuf":
        example = str(labels.iloc[0])[:40]
        raise _bad_target(
            labels, f"holds text or truth values such as {example!r}; use tabular_classifier for categories"
        )
    values = np.asarray(labels, dtype=np.float64)
    if not np.isfinite(values).all():
        raise _bad_target(
            labels, f"has {np.count_nonzero(~np.isfinite(values))} infinite values; correct or remove these rows"
        )
    if (values == values[0]).all():
        raise _bad_target(labels, f"is {values[0]:g} in every row; there is nothing to predict")
    return values


def _to_classes(labels: pd.Series[Any]) -> np.ndarray[Any, Any]:
    if labels.dtype.kind in "bi":
        return np.asarray(labels)
    if labels.dtype.kind == "f":
        values = np.asarray(labels, dtype=np.float64)
        if not (np.isfinite(values).all() and (values == np.round(values)).all() and (abs(values) < 2**53).all()):
            raise _bad_target(
                labels,
                f"holds decimal numbers, {len(np.unique(values))} different ones; use tabular_regressor for a "
                "quantity, or write the classes as text or whole numbers",
            )
        return values.astype(np.int64)
    texts = np.array([str(value) for value in labels], dtype=object)
    spelled = {str(text).lower() for text in np.unique(texts)}
    return np.array([text.lower() == "true" for text in texts]) if spelled <= {"true", "false"} else texts


def _check_counts(labels: pd.Series[Any], classes: np.ndarray[Any, Any]) -> None:
    values, counts = np.unique(classes, return_counts=True)
    is_number = classes.dtype.kind == "i"
    regressor = "; if it is a quantity, use tabular_regressor" if is_number else ""
    if len(values) == 1:
        raise _bad_target(labels, f"is {_shown(values)} in every row; a classifier needs two classes or more")
    if len(values) > MAX_CLASSES:
        raise _bad_target(labels, f"has {len(values)} classes; at most {MAX_CLASSES} can be told apart{regressor}")
    lonely = values[counts == 1]
    if len(lonely):
        raise _bad_target(
            labels,
            f"has classes with only one row: {_shown(lonely)}; add rows, merge them or remove them{regressor}",
        )


def _shown(values: np.ndarray[Any, Any]) -> str:
    return ", ".join(repr(value) for value in values[:5].tolist()) + (", …" if len(values) > 5 else "")


def _bad_target(labels: pd.Series[Any], problem: str) -> BadTrainingData:
    detail = f"Column {labels.name!r} {problem}."
    return BadTrainingData(detail, errors=[FieldError("target", detail, "bad_target")])
