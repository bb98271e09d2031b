"""A model that is not compiled, at 1 to 64 connections: ``python benchmarks/bench_batching.py``.

A forest of 100 trees, served as the estimator it is: by ``modelpool serve --workers 1``, which joins the requests that
arrive while it computes, and by a bare ASGI callable that calls the estimator in its event loop. Runs are interleaved.
The claims: at 16 connections six times what the best peer does (164 to 190 a second), at one connection no more than
1.15 times the bare callable's time. Then requests come on their own account, at shares of what was answered with the
most connections: whoever does not come back at once must not wait for those who do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import joblib
from bench_predict import _PROGRAM, HERE, fetch
from installation import free_port, running, serving, temporary_installation
from load import LoadResult, Request, apply_load, generator
from open_load import apply_open_load
from register_model import fit
from report import print_table, write_results

CONNECTIONS = (1, 4, 16, 64)
SHARES = (0.3, 0.6, 0.9)
OURS = "modelpool, 1 worker"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with temporary_installation() as installation:
        made = installation.run_script("register_estimator.py", "forest")
        file = installation.home / "forest.joblib"
        joblib.dump(fit("forest")[0], file)
        port = free_port()
        environment = installation.environment(MODEL_FILE=str(file), PYTHONPATH=str(HERE))
        bare = [sys.executable, "-m", "uvicorn", "bare_estimator:app", "--port", str(port), *_PROGRAM]
        with (
            running(bare, url=f"http://127.0.0.1:{port}", probe="/", env=environment) as limit,
            serving(installation, workers=1) as ours,
        ):
            request = Request.for_row(ours.url, "forest", made)
            targets = {"bare ASGI, estimator": replace(request, url=f"{limit.url}/"), OURS: request}
            for target in targets.values():
                fetch(target)
            found = _measure(targets, options)
            most = statistics.median(load.per_second for load in found[OURS, max(CONNECTIONS)])
            arriving = _measure_arrivals(request, most, options)
    _report(found, arriving, options)


Found = dict[tuple[str, int], list[LoadResult]]


def _measure(targets: dict[str, Request], options: argparse.Namespace) -> Found:
    found: Found = {(name, count): [] for count in CONNECTIONS for name in targets}
    for _ in range(options.rounds):
        for count in CONNECTIONS:
            for name, request in targets.items():
                load = apply_load(request, connections=count, seconds=options.seconds)
                found[name, count].append(load)
    return found


def _measure_arrivals(request: Request, most: float, options: argparse.Namespace) -> list[list[Any]]:
    """Load that does not depend on the answers: what share of the most, how many came a second, and their times."""
    rows: list[list[Any]] = []
    for share in SHARES:
        load = apply_open_load(request, per_second=share * most, seconds=options.seconds)
        rows.append([share, *(round(value, 2) for value in astuple(load))])
    return rows


def _report(found: Found, arriving: list[list[Any]], options: argparse.Namespace) -> Path:
    rows: list[list[Any]] = []
    for (name, count), loads in found.items():
        middle = {key: statistics.median(asdict(load)[key] for load in loads) for key in asdict(loads[0])}
        rows.append([name, count, *(round(middle[key], 2) for key in ("per_second", "p50_ms", "p99_ms", "errors"))])
    columns = ["server", "connections", "per second", "p50 ms", "p99 ms", "errors"]
    print(f"forest of 100 trees as an estimator, 1 row a request, load by {generator()}")
    print_table(columns, rows)
    open_columns = ["share of the most", "per second", "p50 ms", "p99 ms", "errors"]
    print("independent requests, load by Python")
    print_table(open_columns, arriving)
    rates = {(row[0], row[1]): row for row in rows}
    bare, ours = ({count: rates[name, count] for count in CONNECTIONS} for name in ("bare ASGI, estimator", OURS))
    ratios = {
        "time_at_1_connection": round(ours[1][3] / bare[1][3], 3),
        "rate_at_16_connections": round(ours[16][2] / bare[16][2], 2),
        "rate_at_64_connections": round(ours[64][2] / bare[64][2], 2),
    }
    print(ratios)
    results = {
        "options": vars(options),
        "load": generator(),
        "tables": [
            {"title": "clients that ask again at once", "columns": columns, "rows": rows},
            {"title": "independent requests, load by Python", "columns": open_columns, "rows": arriving},
        ],
        "ratios": ratios,
    }
    path = write_results("batching", results)
    print(path)
    return path


if __name__ == "__main__":
    main()
