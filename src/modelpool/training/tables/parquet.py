"""Parquet files: the types are the file's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables.chunks import ColumnChunk, TableChunk, TableSource, check_names
from modelpool.training.tables.opening import check_unpacked, unpack
from modelpool.training.tables.text_kinds import text_to_chunk

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as arrow_parquet

_CHUNK_ROWS = 1 << 16


def open_parquet(path: Path) -> TableSource:
    """Check the schema and return the rows to come; columns of lists, objects or bytes are skipped, and named."""
    import pyarrow as pa
    import pyarrow.parquet as arrow_parquet

    try:
        file = arrow_parquet.ParquetFile(unpack(path))
    except (pa.ArrowException, OSError) as error:
        raise BadTrainingData(f"The file is not a Parquet file, or is damaged: {error}") from error
    _check_size(file.metadata)
    usable, skipped = usable_columns(file.schema_arrow, place="the Parquet schema")
    return TableSource(tuple(usable.values()), _rows(file, usable), skipped)


def usable_columns(schema: pa.Schema, *, place: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the columns that are read, by the name in the file, and for each of the others a sentence why not."""
    fields = [field for field in schema if not field.name.startswith("__index_level_")]
    names = check_names([field.name for field in fields], place=place)
    usable = {
        field.name: name for field, name in zip(fields, names, strict=True) if _storage_type(field.type) is not None
    }
    skipped = tuple(
        f"Column {field.name!r} is not used: it holds {str(field.type)[:200]}, not one value per cell."
        for field in fields
        if field.name not in usable
    )
    return usable, skipped


def _check_size(metadata: arrow_parquet.FileMetaData) -> None:
    """Refuse by what the file says of itself: pages of one repeated value take next to nothing until they are read."""
    pages = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    check_unpacked(max(pages, metadata.num_rows))


def _rows(file: arrow_parquet.ParquetFile, usable: dict[str, str]) -> Iterator[TableChunk]:
    import pyarrow as pa

    try:
        for batch in file.iter_batches(batch_size=_CHUNK_ROWS, columns=list(usable)):
            columns = {usable[name]: typed_to_chunk(batch.column(name)) for name in usable}
            yield TableChunk(batch.num_rows, columns)
    except (pa.ArrowException, OSError) as error:
        raise BadTrainingData(f"The Parquet file is damaged: {error}") from error


def _storage_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type that a column is read as, or ``None`` when it does not hold one value per cell."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return _storage_type(kind.value_type)
    if types.is_boolean(kind) or types.is_null(kind):
        return pa.bool_()
    if types.is_uint64(kind):
        return pa.uint64()
    if types.is_integer(kind):
        return pa.int64()
    if types.is_floating(kind) or types.is_decimal(kind):
        return pa.float64()
    if types.is_timestamp(kind) or types.is_date(kind):
        return pa.timestamp("us", tz="UTC")
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    return None


def typed_to_chunk(column: pa.Array) -> ColumnChunk:
    """Read values that have an Arrow type of one value per cell."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = _storage_type(column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == pa.string():
        return text_to_chunk(column.cast(kind))
    if kind == pa.uint64():
        return _unsigned_to_chunk(column)
    if kind == pa.timestamp("us", tz="UTC"):
        return ColumnChunk(_to_utc(column), frozenset({"datetime"}))
    values = column.cast(kind)
    if kind == pa.float64():
        return ColumnChunk(pc.if_else(pc.is_nan(values), None, values), frozenset({"float64"}))
    return ColumnChunk(values, frozenset({"bool"} if kind == pa.bool_() else {"int64", "float64"}))


def _unsigned_to_chunk(column: pa.Array) -> ColumnChunk:
    import pyarrow as pa

    try:
        return ColumnChunk(column.cast(pa.int64()), frozenset({"int64", "float64"}))
    except pa.ArrowInvalid:
        return ColumnChunk(column.cast(pa.string()), frozenset())


def _to_utc(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False)
    return moment if moment.type.tz else pc.assume_timezone(moment, "UTC")
