"""The first prediction of a model that is not in memory: ``python benchmarks/bench_cold.py``.

Once a model that nobody asked for before, and once a model that had to make room for others and is asked for again,
which is what a pool too big for memory lives with. Beside it a script that reads and loads the same bytes, and predicts
once. The claims: at most 1.3 times as long, and 100 first requests at the same time load a model once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from typing import Any

from checked_load import PoolRequests, ask_all
from installation import HERE, Installation, Server, serving, temporary_installation
from report import print_table, write_results

_MODELS = 120
_FORESTS_IN_TEN = 5
_WARM = 20
_TOGETHER = 100
_FOREST_BYTES = 50_000
_BUDGET = "12MiB"  # for a few of them
_PHASES = ("first", "again")


def main() -> None:
    """Measure, print and write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with temporary_installation() as installation:
        made = installation.run_script(
            "register_pool.py", str(_MODELS), str(_FORESTS_IN_TEN), str(installation.home / "forest.onnx")
        )
        bare = _bare_times(installation)
        with serving(installation, MODELPOOL_SERVING_PRELOAD="", MODELPOOL_SERVING_MEMORY_BUDGET=_BUDGET) as server:
            requests = PoolRequests.at(server.url, made)
            cold = {phase: _cold_times(requests) for phase in _PHASES}
            loaded = _loads(server)
            loads = _loads_of_many(server, requests)
    columns = ["model", "asked", "read + load ms", "prediction ms", "ratio"]
    rows = [
        [kind, phase, round(bare[kind], 2), round(cold[phase][kind], 2), round(cold[phase][kind] / bare[kind], 2)]
        for kind in bare
        for phase in _PHASES
    ]
    print_table(columns, rows)
    print(f"{loaded:.0f} loads for {2 * (_MODELS - 1)} requests, one after the other")
    print(f"{_TOGETHER} first requests at the same time: {loads:.0f} load")
    facts = {"claim": 1.3, "requests": 2 * (_MODELS - 1), "loads": loaded, "loads_of_100_requests": loads}
    print(write_results("cold", {"columns": columns, "rows": rows, **facts}))


def _bare_times(installation: Installation) -> dict[str, float]:
    files = [path for path in (installation.home / "artifacts").rglob("*") if path.is_file()]
    files = [path for path in files if path.stat().st_size > 1000]
    command = [sys.executable, str(HERE / "cold_script.py"), *map(str, files)]
    times = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    by_kind: dict[str, list[float]] = {"linear": [], "forest": []}
    for path, seconds in zip(files, times, strict=True):
        by_kind["forest" if path.stat().st_size > _FOREST_BYTES else "linear"].append(seconds * 1000)
    return {kind: statistics.median(found) for kind, found in by_kind.items()}


def _cold_times(requests: PoolRequests) -> dict[str, float]:
    """Return the median of first predictions, one at a time on one connection, of all models but the last."""

    async def ask() -> dict[str, float]:
        by_kind: dict[str, list[float]] = {"linear": [], "forest": []}
        reader, writer = await asyncio.open_connection(requests.host, requests.port)
        for number in range(_MODELS - 1):
            began = time.perf_counter()
            writer.write(requests.request(number))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
            assert b" 200 " in head.split(b"\r\n", 1)[0], head
            if number >= _WARM:
                kind = "forest" if number % 10 < _FORESTS_IN_TEN else "linear"
                by_kind[kind].append((time.perf_counter() - began) * 1000)
        writer.close()
        return {kind: statistics.median(found) for kind, found in by_kind.items()}

    return asyncio.run(ask())


def _loads_of_many(server: Server, requests: PoolRequests) -> float:
    before = _loads(server)
    numbers = iter([_MODELS - 1] * _TOGETHER)
    outcome: Any = asyncio.run(ask_all(requests, numbers, connections=_TOGETHER))
    assert outcome.right == _TOGETHER, outcome.wrong
    return _loads(server) - before


def _loads(server: Server) -> float:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("modelpool_pool_loads_total "))


if __name__ == "__main__":
    main()
