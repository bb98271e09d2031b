"""What a data file holds, column by column, read as a stream: memory is bounded whatever the file's size."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables.chunks import ALL_KINDS, ColumnChunk, Kind, pick_kind
from modelpool.training.tables.convert import to_array
from modelpool.training.tables.detect import TableFormat
from modelpool.training.tables.distribution import Distribution, Sample, sample_size
from modelpool.training.tables.preview import Preview, PreviewBuilder
from modelpool.training.tables.read import OPENERS

if TYPE_CHECKING:
    import pyarrow as pa

MAX_DISTINCT = 10_000
"""Different values that are counted in each column; more are not told apart."""

_COUNTED_VALUES = 2_000_000
_TOP_VALUES = 10
_MAX_VALUE_CHARACTERS = 100


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One column.

    ``dtype`` is the type in the table: bool, int64, float64, datetime or string; ``null`` when no value is there.
    ``distinct`` counts different values without the missing, and is a lower bound when ``is_distinct_capped``.
    ``min``, ``max`` and ``mean`` are of numbers (finite ones) and of datetimes (ISO 8601); ``top`` the most frequent
    values with their counts; ``std`` is the standard deviation of the finite numbers, divided by n - 1.
    """

    name: str
    dtype: str
    missing: int
    distinct: int
    is_distinct_capped: bool = False
    min: float | str | None = None
    max: float | str | None = None
    mean: float | str | None = None
    std: float | None = None
    distribution: Distribution | None = None
    top: tuple[tuple[str, int], ...] = ()


class TableProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole table; ``columns`` in the file's order; ``skipped`` says for those that cannot be used, why."""

    n_rows: int
    columns: tuple[ColumnProfile, ...]
    preview: Preview
    skipped: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, as kept with the dataset."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def profile_table(path: Path, *, format: TableFormat) -> TableProfile:
    """Stream through the file and describe its columns.

    Raises :class:`~modelpool.core.errors.BadTrainingData` for a file that holds no table, as ``read_table`` does.
    """
    source = OPENERS[format](path)
    columns = {name: _Statistics() for name in source.names}
    n_rows = 0
    preview = PreviewBuilder()
    for chunk in source.chunks:
        for name, column in chunk.columns.items():
            columns.setdefault(name, _Statistics()).add(column, n_columns=len(columns))
        preview.add(chunk)
        n_rows += chunk.n_rows
    if not n_rows:
        raise BadTrainingData("The table has no rows; add rows.")
    described = tuple(item.describe(name, n_rows) for name, item in columns.items())
    return TableProfile(n_rows=n_rows, columns=described, preview=preview.build(), skipped=source.skipped)


class _Statistics:
    """Running figures of one column; numbers are summed for as long as all values allow it."""

    def __init__(self) -> None:
        self.kinds: frozenset[Kind] = ALL_KINDS
        self.present = 0
        self.counts: Counter[str] = Counter()
        self.is_capped = False
        self._known: pa.Array | None = None
        self.low, self.high, self.total, self.finite = math.inf, -math.inf, 0.0, 0
        self.mean, self.squares = 0.0, 0.0
        self.sample = Sample()

    def add(self, chunk: ColumnChunk, *, n_columns: int) -> None:
        import pyarrow.compute as pc

        values = pc.drop_null(chunk.values)
        if not len(values):
            return
        self.present += len(values)
        self.kinds &= chunk.kinds
        self._count(values, most=min(MAX_DISTINCT, _COUNTED_VALUES // n_columns))
        kind = pick_kind(self.kinds)
        if kind not in ("string", "bool"):
            self._sum(to_array(values, kind=kind), n_columns=n_columns)

    def _count(self, values: pa.Array, *, most: int) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pc.value_counts(values)
        keys = pc.utf8_slice_codeunits(found.field("values").cast(pa.string()), 0, _MAX_VALUE_CHARACTERS)
        counts = found.field("counts")
        if len(self.counts) >= most:
            keys, counts = self._only_known(keys, counts)
        for key, count in zip(keys.to_pylist(), counts.to_pylist(), strict=True):
            if key in self.counts or len(self.counts) < most:
                self.counts[key] += count
            else:
                self.is_capped = True

    def _only_known(self, keys: pa.Array, counts: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Drop the values that will not be counted any more before Python sees each of them: there may be billions."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._known is None:
            self._known = pa.array(self.counts, pa.string())
        is_known = pc.is_in(keys, value_set=self._known)
        self.is_capped = self.is_capped or not pc.all(is_known).as_py()
        return keys.filter(is_known), counts.filter(is_known)

    def _sum(self, numbers: np.ndarray[Any, Any], *, n_columns: int) -> None:
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
            self.total += float(finite.sum(dtype=np.float64))
            self._spread(finite.astype(np.float64))
            self.finite += finite.size
            self.sample.add(finite, size=sample_size(n_columns))

    def _spread(self, numbers: np.ndarray[Any, Any]) -> None:
        """Add squares around the mean, by the formula of Chan for two parts, which does not cancel."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(numbers.mean())
            difference = mean - self.mean
            total = self.finite + numbers.size
            between = difference * difference * self.finite * numbers.size / total
            self.squares += float(np.square(numbers - mean).sum()) + between
            self.mean += difference * numbers.size / total

    def describe(self, name: str, n_rows: int) -> ColumnProfile:
        kind = pick_kind(self.kinds) if self.present else "null"
        is_numeric = kind in ("int64", "float64", "datetime") and self.finite > 0
        figures = (self.low, self.high, self.total / self.finite) if is_numeric else (None, None, None)
        low, high, mean = (_to_wire(figure, kind=kind) for figure in figures)
        return ColumnProfile(
            name=name, dtype=kind, missing=n_rows - self.present, distinct=len(self.counts),
            is_distinct_capped=self.is_capped, min=low, max=high, mean=mean, std=self._deviation(is_numeric),
            distribution=self.sample.describe() if is_numeric else None,
            top=tuple(heapq.nsmallest(_TOP_VALUES, self.counts.items(), key=lambda item: (-item[1], item[0]))),
        )  # fmt: skip

    def _deviation(self, is_numeric: bool) -> float | None:
        found = math.sqrt(self.squares / (self.finite - 1)) if is_numeric and self.finite > 1 else math.nan
        return found if math.isfinite(found) else None


def _to_wire(figure: float | None, *, kind: str) -> float | str | None:
    if figure is None or not math.isfinite(figure):
        return None
    if kind != "datetime":
        return figure
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=figure)
    return moment.isoformat().replace("+00:00", "Z")
