"""Arrow IPC: files (Feather 2 as well) and streams, one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables.chunks import TableChunk, TableSource
from modelpool.training.tables.opening import check_unpacked, unpack
from modelpool.training.tables.parquet import typed_to_chunk, usable_columns

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK_ROWS = 1 << 16
_FILE_MAGIC = b"ARROW1"


def open_arrow(path: Path) -> TableSource:
    """Check the schema and return the rows to come; columns of lists, objects or bytes are skipped, and named."""
    import pyarrow as pa

    plain = unpack(path)
    try:
        schema, batches = _open(plain)
    except (pa.ArrowException, OSError) as error:
        raise BadTrainingData(f"The file is not an Arrow file or stream, or is damaged: {error}") from error
    usable, skipped = usable_columns(schema, place="the Arrow schema")
    return TableSource(tuple(usable.values()), _rows(batches, usable), skipped)


def _open(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    import pyarrow as pa

    with path.open("rb") as file:
        is_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    source = pa.OSFile(str(path))
    if not is_file:
        stream = pa.ipc.open_stream(source)
        return stream.schema, iter(stream)
    reader = pa.ipc.open_file(source)
    return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))


def _rows(batches: Iterator[pa.RecordBatch], usable: dict[str, str]) -> Iterator[TableChunk]:
    import pyarrow as pa

    number = size = 0
    try:
        for batch in batches:
            number += 1
            batch.validate(full=True)
            size += max(batch.nbytes, batch.num_rows)
            check_unpacked(size)
            for start in range(0, batch.num_rows, _CHUNK_ROWS):
                part = batch.slice(start, _CHUNK_ROWS)
                columns = {usable[name]: typed_to_chunk(part.column(name)) for name in usable}
                yield TableChunk(part.num_rows, columns)
    except (pa.ArrowException, OSError) as error:
        raise BadTrainingData(f"The Arrow data is damaged in or after batch {number + 1}: {error}") from error
