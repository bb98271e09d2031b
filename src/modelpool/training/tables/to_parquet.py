"""A table of any format to Parquet, row group by row group: what training reads ever after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelpool.training.tables.chunks import ColumnChunk
from modelpool.training.tables.convert import to_array
from modelpool.training.tables.detect import TableFormat
from modelpool.training.tables.profile import TableProfile
from modelpool.training.tables.read import OPENERS

if TYPE_CHECKING:
    import pyarrow as pa


def write_parquet(path: Path, *, format: TableFormat, profile: TableProfile, target: Path) -> None:
    """Write the table with the types that ``profile`` found over all rows; memory is bounded as in profiling.

    Truth values with gaps stay text, as training reads them; a column without any value has Arrow's type ``null``.
    """
    import pyarrow as pa
    import pyarrow.parquet as arrow_parquet

    kinds = {
        column.name: "string" if column.dtype == "bool" and column.missing else column.dtype
        for column in profile.columns
    }
    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in kinds.items()])
    with arrow_parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for chunk in OPENERS[format](path).chunks:
            arrays = [_typed(chunk.columns.get(name), kind=kind, n_rows=chunk.n_rows) for name, kind in kinds.items()]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _arrow_type(kind: str) -> pa.DataType:
    import pyarrow as pa

    return {
        "bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64(), "datetime": pa.timestamp("us", tz="UTC"),
        "string": pa.string(), "null": pa.null(),
    }[kind]  # fmt: skip


def _typed(column: ColumnChunk | None, *, kind: str, n_rows: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    target = _arrow_type(kind)
    if column is None or kind == "null" or column.values.null_count == n_rows:
        return pa.nulls(n_rows, target)
    values = column.values
    is_text = values.type == pa.string()
    if kind == "datetime" and is_text:
        micros = np.round(to_array(values, kind="datetime") * 1e6)
        missing = np.isnan(micros)
        whole = np.where(missing, 0, micros).astype(np.int64)
        return pa.array(whole, mask=missing).cast(target)
    if kind == "bool" and is_text:
        return pc.equal(pc.utf8_lower(pc.utf8_trim_whitespace(values)), "true")
    if is_text and kind in ("int64", "float64"):
        values = pc.utf8_trim_whitespace(values)
    return values.cast(target, safe=False)
