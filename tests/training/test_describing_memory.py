"""A packed file that unpacks to far more than a describing child may hold is described and converted all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from modelpool.training.child_tasks import collect
from modelpool.training.forkserver import ForkServer
from modelpool.training.messages import ProfileRequest, ProfileResult, Task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MIB = 1 << 20
UNPACKED = 400 * MIB
LIMIT = 448 * MIB
"""Of data alone, libraries included: less than the text, and than its columns in memory."""
_ROWS = "".join(f"{n},{n * 0.5},{'wide' * 20}{n % 50},2024-01-{n % 28 + 1:02}\n" for n in range(10_000)).encode()
_BLOCKS = UNPACKED // len(_ROWS) + 1


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with closing(ForkServer(is_warm=False)) as server:
        yield server


def test_a_file_larger_than_the_memory_is_described_and_converted(forks: ForkServer, tmp_path: Path) -> None:
    with pa.CompressedOutputStream(str(tmp_path / "data"), "zstd") as sink:
        sink.write(b"n,half,text,day\n")
        for _ in range(_BLOCKS):
            sink.write(_ROWS)
    request = ProfileRequest(data=str(tmp_path / "data"), format="csv", max_unpacked_bytes=2 * UNPACKED, table="t")
    task = Task(entry="profile", folder=str(tmp_path), memory_limit_bytes=LIMIT)
    found = collect(forks, task, request=request, result=ProfileResult, timeout_s=120)
    assert (found.n_rows, found.has_table, found.warning) == (_BLOCKS * 10_000, True, "")
    table = pq.ParquetFile(tmp_path / "t")
    assert table.metadata.num_rows == _BLOCKS * 10_000
    assert pc.sum(table.read(columns=["n"])["n"]).as_py() == _BLOCKS * sum(range(10_000))
