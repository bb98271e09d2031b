"""Which columns a model learns from, and how each is treated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.errors import BadTrainingData, FieldError
from modelpool.core.signature import TensorSpec

if TYPE_CHECKING:
    import pandas as pd

IDENTIFIER_SHARE = 0.95
IDENTIFIER_MIN_ROWS = 20
"""A text column of at least 20 rows of which 95 % are different is a name or a number of something, not a category."""


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """The columns that a model takes, in the table's order, by treatment.

    ``categories`` are for each text column the values that are told apart, ``""`` (missing) among them where it
    occurred. ``notes`` are sentences for the job's log.
    """

    names: tuple[str, ...]
    numbers: tuple[str, ...]
    datetimes: tuple[str, ...]
    booleans: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def nullable(self) -> tuple[str, ...]:
        """The columns that may be missing in a prediction: all whose gaps are filled or are a category."""
        return tuple(name for name in self.names if name not in self.booleans)

    def to_specs(self) -> tuple[TensorSpec, ...]:
        """Return the inputs of the model's signature; whole numbers are float64: later ones may have decimals."""
        kinds = dict.fromkeys(self.names, "float64")
        kinds |= dict.fromkeys(self.datetimes, "datetime") | dict.fromkeys(self.booleans, "bool")
        kinds |= dict.fromkeys(self.categories, "string")
        return tuple(
            TensorSpec(name, kinds[name], nullable=name in self.nullable)  # type: ignore[arg-type]
            for name in self.names
        )


def plan_features(
    data: pd.DataFrame, *, specs: Sequence[TensorSpec], dropped: Sequence[str], max_categories: int
) -> FeaturePlan:
    """Decide for every column of ``data`` (without the target); raise :class:`BadTrainingData` when none is left."""
    _check_dropped(dropped, columns=list(data.columns))
    notes: list[str] = []
    columns = data.drop(columns=list(dropped))
    kept = [str(name) for name in columns if _is_useful(columns[name], notes)]
    if not kept:
        raise BadTrainingData(" ".join(["No column is left to learn from besides the target.", *notes]))
    frame = to_features(columns, names=kept)
    _check_finite(frame)
    dated = {spec.name for spec in specs if spec.dtype == "datetime"}
    numbers = [name for name in kept if frame[name].dtype == np.float64]
    texts = [name for name in kept if frame[name].dtype == object]
    return FeaturePlan(
        names=tuple(kept),
        numbers=tuple(name for name in numbers if name not in dated),
        datetimes=tuple(name for name in numbers if name in dated),
        booleans=tuple(name for name in kept if frame[name].dtype == np.bool_),
        categories={name: _categories(frame[name], max_categories=max_categories, notes=notes) for name in texts},
        notes=tuple(notes),
    )


def to_features(data: pd.DataFrame, *, names: Sequence[str]) -> pd.DataFrame:
    """Return the named columns as float64, bool, or objects with ``""`` for missing: what the pipeline is fitted on."""
    import pandas as pd

    return pd.DataFrame({name: _to_plain(data[name]) for name in names}, index=data.index)


def _to_plain(column: pd.Series[Any]) -> pd.Series[Any]:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_bool_dtype(column.dtype) and not column.hasnans:
        return column.astype(np.bool_)
    if is_numeric_dtype(column.dtype):
        return column.astype(np.float64)
    values = column.astype(object)
    return values.where(values.notna(), "").map(str).astype(object)


def _check_dropped(dropped: Sequence[str], *, columns: Sequence[str]) -> None:
    unknown = [name for name in dropped if name not in columns]
    if unknown:
        detail = (
            f"drop_columns names {unknown[0]!r}, which is not a feature column; they are {', '.join(columns[:30])}."
        )
        raise BadTrainingData(detail, errors=[FieldError("params.drop_columns", detail, "unknown_column")])


def _is_useful(column: pd.Series[Any], notes: list[str]) -> bool:
    present = _to_plain(column)
    present = present[(present != "") if present.dtype == object else present.notna()]
    if present.empty:
        notes.append(f"Column {column.name!r} has no values and is not used.")
        return False
    distinct = present.nunique()
    if present.dtype == object and len(present) >= IDENTIFIER_MIN_ROWS and distinct >= IDENTIFIER_SHARE * len(present):
        notes.append(
            f"Column {column.name!r} is not used: its texts are almost all different, like names or identifiers."
        )
        return False
    if distinct == 1 and len(present) == len(column) > 1:
        notes.append(f"Column {column.name!r} holds the same value in every row; the model learns nothing from it.")
    return True


def _check_finite(frame: pd.DataFrame) -> None:
    """Refuse what does not fit float32, the precision of trees and of compiled models."""
    limit = float(np.finfo(np.float32).max)
    for name in frame.columns[frame.dtypes == np.float64]:
        too_large = int((frame[name].abs() > limit).sum())
        if too_large:
            raise BadTrainingData(
                f"Column {name!r} has {too_large} values that are infinite or beyond {limit:.1e}; "
                f"correct them, leave the cells empty, or leave the column out with drop_columns."
            )


def _categories(column: pd.Series[Any], *, max_categories: int, notes: list[str]) -> tuple[str, ...]:
    counts = column.value_counts()
    ranked = sorted(counts.index, key=lambda value: (-int(counts[value]), value))
    if len(ranked) > max_categories:
        notes.append(
            f"Column {column.name!r} has {len(ranked)} different texts; the {max_categories} most frequent are told "
            "apart (max_categories), the others count as one."
        )
    return tuple(sorted(ranked[:max_categories]))
