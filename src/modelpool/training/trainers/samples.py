"""Rows that stand for what a model will be asked: to prove its compiled form, and the example in its signature."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.training.trainers.features import FeaturePlan

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 500
_ALTERED_ROWS = 50


def draw_sample(features: pd.DataFrame, *, plan: FeaturePlan, seed: int) -> pd.DataFrame:
    """Return up to 500 rows: drawn ones, and up to 50 copies in which one value is missing or a text unknown.

    A compiled model must answer those alike as well, even where the training data had no gaps.
    """
    import pandas as pd

    generator = np.random.default_rng(seed)
    altered = _alter(features, plan=plan, generator=generator)
    n_drawn = min(len(features), SAMPLE_ROWS - len(altered))
    drawn = features.iloc[np.sort(generator.choice(len(features), n_drawn, replace=False))]
    return pd.concat([drawn, altered], ignore_index=True)


def _alter(features: pd.DataFrame, *, plan: FeaturePlan, generator: np.random.Generator) -> pd.DataFrame:
    changes: list[tuple[str, Any]] = [(name, "" if name in plan.categories else np.nan) for name in plan.nullable]
    changes += [(name, "a text never seen") for name in plan.categories]
    changes = changes[:_ALTERED_ROWS]
    altered = features.iloc[generator.integers(len(features), size=len(changes))].reset_index(drop=True)
    for row, (name, value) in enumerate(changes):
        altered.loc[row, name] = value
    return altered


def to_example(features: pd.DataFrame, *, plan: FeaturePlan) -> dict[str, Any]:
    """Return the row with the fewest gaps as it is written on the wire: dates as ISO 8601, ``None`` for missing."""
    gaps = (features.isna() | (features == "")).sum(axis=1)
    row = features.iloc[int(np.argmin(gaps))]
    return {name: _to_wire(row[name], is_datetime=name in plan.datetimes) for name in plan.names}


def _to_wire(value: Any, *, is_datetime: bool) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if np.isnan(value):
        return None
    if is_datetime:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(value))
        return moment.isoformat().replace("+00:00", "Z")
    return float(value)
