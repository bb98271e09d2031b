"""The proof that a compiled model answers like its estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.compile.base import Parity
from modelpool.core.compile.probes import probe_rows
from modelpool.core.formats.base import TableArrays
from modelpool.core.formats.onnx import OnnxFormat
from modelpool.core.signature import ModelSignature

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-5
"""Largest difference of a probability, or of a regression relative to the spread of its answers.

Compiled forms compute in float64 and round to float32 at most once, after summing trees (2^-24 = 6e-8 of the sum,
a quarter of it after a sigmoid), so 1e-6 is met by all of them. A row that takes another branch of one tree in a
hundred differs by 1e-2. 1e-5 lies between and is below what any metric of a model resolves.
"""

TIE = 1e-9
"""Two classes whose probabilities are this close are a tie that the last bit decides, in scikit-learn as well."""

MAX_SAMPLE_ROWS = 2_000


def compare(estimator: Any, data: bytes, *, signature: ModelSignature, sample: pd.DataFrame | np.ndarray) -> Parity:
    """Return the comparison on up to :data:`MAX_SAMPLE_ROWS` rows of the sample and on the rows that probe it."""
    model = OnnxFormat().load(data, signature)
    kept = sample[:: max(1, len(sample) // MAX_SAMPLE_ROWS)]
    reference = None
    results = []
    for rows in (kept, probe_rows(kept, signature)):
        if not len(rows):
            continue
        expected = _answers(estimator, rows, signature)
        actual = model.predict(as_arrays(rows, signature), signature.methods)
        reference = expected if reference is None else reference
        results.append(_difference(expected, actual, reference, signature))
    model.close()
    return _judge(results)


def as_arrays(rows: pd.DataFrame | np.ndarray, signature: ModelSignature) -> TableArrays | dict[str, np.ndarray]:
    """Return rows as the estimator takes them in the form that a loaded model takes."""
    if not signature.is_tabular:
        return {signature.inputs[0].name: np.asarray(rows)}
    numbers = tuple(spec.name for spec in signature.inputs if spec.dtype != "string")
    texts = tuple(spec.name for spec in signature.inputs if spec.dtype == "string")
    columns = _columns(rows, signature)
    return TableArrays(
        numbers=np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in numbers]) if numbers else None,
        number_names=numbers,
        texts=np.column_stack([np.asarray(columns[name], dtype=object) for name in texts]) if texts else None,
        text_names=texts,
    )


def _columns(rows: Any, signature: ModelSignature) -> Any:
    if hasattr(rows, "columns"):
        return rows
    return {spec.name: rows[:, index] for index, spec in enumerate(signature.inputs)}


def _answers(estimator: Any, rows: Any, signature: ModelSignature) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(estimator, name)(rows)) for name in signature.methods}


def _difference(
    expected: dict[str, np.ndarray],
    actual: dict[str, np.ndarray],
    reference: dict[str, np.ndarray],
    signature: ModelSignature,
) -> tuple[int, int | None, int | None, float | None]:
    """Return rows, equal labels, equal labels when ties count as equal, and the largest difference."""
    rows = len(expected["predict"])
    probabilities = expected.get("predict_proba")
    worst = None
    if probabilities is not None:
        worst = _largest(_distance(probabilities, actual["predict_proba"]))
    if signature.classes is not None or probabilities is not None or expected["predict"].dtype.kind != "f":
        equal = expected["predict"].astype(object) == actual["predict"].astype(object)
        return rows, int(equal.sum()), int((equal | _ties(probabilities, rows)).sum()), worst
    finite = reference["predict"][np.isfinite(reference["predict"])]
    scale = max(float(np.std(finite)) if finite.size else 0.0, float(np.finfo(np.float32).tiny))
    relative = _distance(expected["predict"], actual["predict"]) / np.fmax(scale, np.abs(expected["predict"]))
    return rows, None, None, _largest(relative)


def _distance(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return the absolute differences; answers that are both NaN, or the same infinity, are equal."""
    is_same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    with np.errstate(invalid="ignore"):
        distance: np.ndarray = np.where(is_same, 0.0, np.abs(expected - actual))
    return distance


def _largest(differences: np.ndarray) -> float:
    """Return the maximum; a NaN on one side alone is a difference of infinity."""
    return float(np.max(np.where(np.isnan(differences), np.inf, differences), initial=0.0))


def _ties(probabilities: np.ndarray | None, rows: int) -> np.ndarray:
    if probabilities is None or probabilities.shape[1] < 2:
        return np.zeros(rows, dtype=bool)
    best = np.sort(probabilities, axis=1)
    tied: np.ndarray = best[:, -1] - best[:, -2] < TIE
    return tied


def _judge(results: list[tuple[int, int | None, int | None, float | None]]) -> Parity:
    rows = sum(result[0] for result in results)
    labels = [result for result in results if result[1] is not None]
    equal_labels = sum(result[1] or 0 for result in labels) / rows if labels else None
    agreeing = all(result[2] == result[0] for result in labels)
    differences = [result[3] for result in results if result[3] is not None]
    worst = max(differences) if differences else None
    reason = None
    if worst is not None and not worst <= TOLERANCE:
        reason = f"The compiled model differs by {worst:.3g} from the estimator, more than {TOLERANCE:g}."
    if not agreeing:
        reason = f"The compiled model gives other labels in {1 - (equal_labels or 0):.3%} of {rows} rows."
    finite = None if worst is None else float(min(worst, np.finfo(np.float64).max))
    return Parity(
        equal=reason is None,
        rows=rows,
        labels_equal=equal_labels,
        max_abs_diff=finite,
        tolerance=TOLERANCE,
        reason=reason,
    )
