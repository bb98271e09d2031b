"""Rows made from a sample to find where a compiled model could differ from its estimator.

Each probe changes one column of a row of the sample: to the middle between two neighbouring values (where trees
split) and one step of the last bit to either side, to values that float32 cannot hold, to extremes, to missing, to an
unknown category. More rows change all numbers at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.signature import ModelSignature, TensorSpec

if TYPE_CHECKING:
    import pandas as pd

MAX_COLUMNS = 60
MIDDLES = 12
UNKNOWN = "\u2020 no such category"


def probe_rows(sample: pd.DataFrame | np.ndarray, signature: ModelSignature) -> Any:
    """Return at most some 3,000 rows of the sample's own form; none for an empty sample."""
    if not len(sample):
        return sample
    if isinstance(sample, np.ndarray):
        return _probe_matrix(sample, signature)
    return _probe_frame(sample, signature)


def _probe_matrix(sample: np.ndarray, signature: ModelSignature) -> np.ndarray:
    spec = TensorSpec(name="x", dtype="float64", nullable=signature.inputs[0].nullable)
    generator = np.random.default_rng(0)
    changes = [
        (column, value)
        for column in _chosen(sample.shape[1], generator)
        for value in _numbers(np.asarray(sample[:, column], dtype=np.float64), spec)
    ]
    rows = sample[generator.integers(0, len(sample), len(changes))].astype(np.float64)
    for row, (column, value) in enumerate(changes):
        rows[row, column] = value
    return np.concatenate([rows, rows * (1.0 + 1e-9)]) if len(rows) else rows


def _probe_frame(sample: pd.DataFrame, signature: ModelSignature) -> pd.DataFrame:
    import pandas as pd

    generator = np.random.default_rng(0)
    specs = {spec.name: spec for spec in signature.inputs}
    names = [name for name in sample.columns if name in specs]
    chosen = [names[index] for index in _chosen(len(names), generator)]
    parts = []
    for name in chosen:
        values = _values(sample[name], specs[name])
        part = sample.iloc[generator.integers(0, len(sample), len(values))].copy()
        part[name] = _like(values, sample[name])
        parts.append(part)
    joined = pd.concat([*parts, *_shaken(sample, specs, names)], ignore_index=True)
    return joined[list(sample.columns)]


def _values(column: Any, spec: TensorSpec) -> list[Any]:
    if spec.dtype == "string":
        return [UNKNOWN, str(column.iloc[0]) + " ", *([""] if spec.nullable else [])]
    if spec.dtype == "bool":
        return [True, False, *([np.nan] if spec.nullable else [])]
    return list(_numbers(np.asarray(column, dtype=np.float64), spec))


def _like(values: list[Any], column: Any) -> Any:
    """Return the values in the column's own type, or in a wider one where a missing value needs it."""
    import pandas as pd

    if any(isinstance(value, float) and np.isnan(value) for value in values) and column.dtype.kind in "biu":
        return np.asarray(values, dtype=np.float64)
    return pd.array(values, dtype=column.dtype)


def _numbers(column: np.ndarray, spec: TensorSpec) -> Iterator[float]:
    known = np.unique(column[np.isfinite(column)])
    if len(known):
        low, high = float(known[0]), float(known[-1])
        spread = high - low or 1.0
        middles = (known[:-1] + known[1:]) / 2 if len(known) > 1 else known
        for middle in middles[:: max(1, len(middles) // MIDDLES)][:MIDDLES].tolist():
            yield from (middle, float(np.nextafter(middle, np.inf)), float(np.nextafter(middle, -np.inf)))
        yield from _rounded_middles(known)
        yield from (low - spread, high + spread, low - 1e3 * spread, high + 1e3 * spread, low, high)
        yield from (0.0, float(known[len(known) // 2]) * (1 + 1e-9), low + spread / 3)
    if spec.nullable:
        yield float("nan")


def _rounded_middles(known: np.ndarray) -> Iterator[float]:
    """Values between neighbours that scikit-learn's trees have rounded to float32: their very thresholds."""
    rounded = np.unique(known[np.abs(known) < np.finfo(np.float32).max].astype(np.float32)).astype(np.float64)
    middles = (rounded[:-1] + rounded[1:]) / 2
    for middle in middles[:: max(1, len(middles) // MIDDLES)][:MIDDLES].tolist():
        yield from (middle, middle * (1 + 1e-9), middle * (1 - 1e-9))


def _shaken(sample: pd.DataFrame, specs: dict[str, TensorSpec], names: list[str]) -> list[pd.DataFrame]:
    """Return rows of the sample with every float moved by one part in 10^9, and rows with everything missing."""
    rows = sample.iloc[:: max(1, len(sample) // 200)][:200].copy()
    floats = [name for name in names if specs[name].dtype in ("float64", "datetime") and sample[name].dtype.kind == "f"]
    if floats:
        rows[floats] = rows[floats] * (1.0 + 1e-9)
    missing = sample.iloc[:2].copy()
    for name in names:
        if specs[name].nullable:
            missing[name] = "" if specs[name].dtype == "string" else np.nan
    return [rows, missing]


def _chosen(count: int, generator: np.random.Generator) -> list[int]:
    return sorted(generator.permutation(count)[:MAX_COLUMNS].tolist())
