"""A file of any format, packed or not, trains the same as its Parquet copy; hostile ones are refused."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables import TableFormat, profile_table, read_table
from modelpool.training.tables.detect import detect_format
from modelpool.training.tables.distribution import MAX_SAMPLE
from modelpool.training.tables.opening import MAX_UNPACKED_BYTES, limit_unpacked
from modelpool.training.tables.to_parquet import write_parquet

ROWS = 300


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"n": random.integers(-9, 9, ROWS), "x": random.normal(size=ROWS)})
    frame["day"] = pd.date_range("2024-01-01T00:00:00.123456", periods=ROWS, freq="h").strftime("%Y-%m-%dT%H:%M:%S.%f")
    frame["code"] = [f"{number:05}" for number in range(ROWS)]
    frame["gap"] = [None if number % 3 else "True" for number in range(ROWS)]
    frame["ok"] = [number % 2 == 0 for number in range(ROWS)]
    frame["none"] = None
    frame.loc[::5, "x"] = np.nan
    return frame


def _arrow(frame: pd.DataFrame, opened: Callable[..., pa.RecordBatchFileWriter]) -> bytes:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = io.BytesIO()
    with opened(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return sink.getvalue()


def _parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return sink.getvalue()


BYTES: dict[str, tuple[TableFormat, Callable[[pd.DataFrame], bytes]]] = {
    "csv": ("csv", lambda frame: frame.to_csv(index=False).encode()),
    "jsonl": ("jsonl", lambda frame: frame.to_json(orient="records", lines=True).encode()),
    "parquet": ("parquet", _parquet),
    "arrow-file": ("arrow", lambda frame: _arrow(frame, pa.ipc.new_file)),
    "arrow-stream": ("arrow", lambda frame: _arrow(frame, pa.ipc.new_stream)),
}
PACKS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("kind", BYTES)
def test_content_tells_the_format_and_parquet_trains_the_same(tmp_path: Path, kind: str, pack: str) -> None:
    expected, write = BYTES[kind]
    path, table = tmp_path / "data", tmp_path / "table"
    path.write_bytes(PACKS[pack](write(_frame())))
    assert detect_format(path, named="csv") == expected
    profile = profile_table(path, format=expected)
    write_parquet(path, format=expected, profile=profile, target=table)
    original, copy = read_table(path, format=expected), read_table(table, format="parquet")
    pd.testing.assert_frame_equal(copy.frame, original.frame)
    assert copy.columns == original.columns
    assert profile.n_rows == ROWS
    assert len(profile.preview.rows) == 50


@pytest.mark.parametrize(
    ("data", "what"),
    [(b"PK\x03\x04rest", "Excel"), (b"ORC..", "ORC"), (b"BZh91AY", "bzip2"), (b"SQLite format 3\0", "SQLite")],
)
def test_other_files_are_named(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    with pytest.raises(BadTrainingData, match=what):
        detect_format(path, named="csv")


@pytest.fixture
def bound() -> Iterator[int]:
    limit_unpacked(1 << 20)
    yield 1 << 20
    limit_unpacked(MAX_UNPACKED_BYTES)


@pytest.mark.parametrize("kind", BYTES)
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str, bound: int) -> None:
    expected, write = BYTES[kind]
    frame = pd.DataFrame({"x": np.zeros(bound, dtype=np.int64)})
    path = tmp_path / "data"
    path.write_bytes(gzip.compress(write(frame)))
    if expected == "parquet":
        path.write_bytes(gzip.compress(_parquet(pd.DataFrame({"x": np.zeros(2 * bound, dtype=np.int8)}))))
    with pytest.raises(BadTrainingData, match=r"datasets\.max_unpacked"):
        profile_table(path, format=expected)
    left = tmp_path / "data.unpacked"
    assert not left.exists() or left.stat().st_size <= bound


@pytest.mark.parametrize("kind", BYTES)
def test_damaged_files_are_refused_in_words(tmp_path: Path, kind: str) -> None:
    expected, write = BYTES[kind]
    whole = gzip.compress(write(_frame()))
    path = tmp_path / "data"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadTrainingData, match="damaged or cut off"):
        profile_table(path, format=expected)


def test_a_cut_arrow_stream_is_refused(tmp_path: Path) -> None:
    whole = _arrow(_frame(), pa.ipc.new_stream)
    path = tmp_path / "data"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BadTrainingData, match="damaged"):
        profile_table(path, format="arrow")


def test_nested_columns_are_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "data"
    pq.write_table(pa.table({"x": [1, 2], "tags": [["a"], ["b"]]}), path)
    profile = profile_table(path, format="parquet")
    assert [column.name for column in profile.columns] == ["x"]
    assert "'tags' is not used" in profile.skipped[0]


def test_the_spread_is_that_of_numpy(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(1e6, 1.0, 3 * MAX_SAMPLE)
    path = tmp_path / "data.csv"
    path.write_text("x\n" + "\n".join(map(repr, values.tolist())))
    (column,) = profile_table(path, format="csv").columns
    assert column.std == pytest.approx(values.std(ddof=1))
    found = column.distribution
    assert found is not None
    assert found.is_sampled
    assert sum(found.counts) == pytest.approx(values.size, abs=len(found.counts))
    assert np.allclose(found.quantiles, np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)), atol=0.1)
