"""Predictions a second beside the limit of the same server: ``bench_predict.py [--model forest] [--workers 1 2 3]``.

A bare ASGI callable and ``modelpool serve`` run side by side, with as many workers each, and answer for the same
compiled model, one row a request; runs are interleaved, and the median of each is compared. The claim: at least 0.8 of
the limit, at a 99th percentile of at most twice the limit's. A head that a connection repeats, as clients do, is read
faster, also where it differs in the request's id; beside these stand clients whose heads differ otherwise. Where other
programs use the machine, the processor time is the better witness.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from installation import free_port, running, serving, temporary_installation
from load import LoadResult, Request, apply_load, generator
from processes import cpu_seconds
from report import print_table, write_results

_NAMES = ("bare ASGI (the limit)", "modelpool", "modelpool, with request ids", "modelpool, no two heads alike")
_HEADINGS = ["server", "workers", "per second", "of the limit", "scaling", "p50 ms", "p99 ms", "CPU µs each", "errors"]
_SETTLE_S = 4.0  # what begins in the background with a server is not to be measured
HERE = Path(__file__).resolve().parent
_PROGRAM = [
    "--no-proxy-headers",
    "--no-server-header",
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--no-access-log",
    "--log-level",
    "error",
    "--lifespan",
    "off",
]


@dataclass(frozen=True, slots=True)
class Target:
    """A server's process, and what it is asked."""

    request: Request
    pid: int


def main() -> None:
    """Measure, print and write."""
    options = _read_options()
    with temporary_installation() as installation:
        file = installation.home / "compiled.onnx"
        made = installation.run_script("register_model.py", options.model, str(file))
        env = installation.environment(ONNX_FILE=str(file), MODEL_NAME=options.model, PYTHONPATH=str(HERE))
        pairs = {}
        for workers in options.workers:
            port = free_port()
            bare = [sys.executable, "-m", "uvicorn", "bare_asgi:app", "--port", str(port), *_PROGRAM]
            with (
                running(
                    [*bare, "--workers", str(workers)], url=f"http://127.0.0.1:{port}", probe="/", env=env
                ) as limit,
                serving(installation, workers=workers) as ours,
            ):
                request = Request.for_row(ours.url, options.model, made)
                targets = [
                    Target(replace(request, url=f"{limit.url}/"), limit.process.pid),
                    Target(request, ours.process.pid),
                    Target(replace(request, varied="X-Request-Id"), ours.process.pid),
                    Target(replace(request, varied="X-Anything"), ours.process.pid),
                ]
                assert len({fetch(target.request) for target in targets}) == 1
                time.sleep(_SETTLE_S)
                pairs[workers] = _measure(targets, options)
    _report(pairs, options)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["logistic", "forest"], default="logistic")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="such as 1 2 3, to see how it scales")
    return parser.parse_args()


def fetch(request: Request) -> bytes:
    """Send it once and return the body of its answer; an error raises."""
    call = urllib.request.Request(request.url, request.body, request.headers, method="POST")
    with urllib.request.urlopen(call, timeout=30) as response:
        answer: bytes = response.read()
        return answer


@dataclass(frozen=True, slots=True)
class Run:
    """One run against one server; ``cpu_us`` is the processor time of its whole tree for each answer."""

    load: LoadResult
    cpu_us: float


Pair = list[list[Run]]
"""The runs of each of :data:`_NAMES`."""


def _measure(targets: list[Target], options: argparse.Namespace) -> Pair:
    runs: Pair = [[] for _ in targets]
    for target in targets:
        apply_load(target.request, connections=options.connections, seconds=1)
    for _ in range(options.rounds):
        for target, found in zip(targets, runs, strict=True):
            before = cpu_seconds(target.pid)
            load = apply_load(target.request, connections=options.connections, seconds=options.seconds)
            used = cpu_seconds(target.pid) - before
            found.append(Run(load, used * 1e6 / (load.per_second * options.seconds)))
    return runs


def _report(pairs: dict[int, Pair], options: argparse.Namespace) -> None:
    rows: list[list[Any]] = []
    for workers, pair in pairs.items():
        rates = [statistics.median(run.load.per_second for run in found) for found in pair]
        firsts = [statistics.median(run.load.per_second for run in found) for found in next(iter(pairs.values()))]
        for at, (name, found) in enumerate(zip(_NAMES, pair, strict=True)):
            p50, p99, cpu = (
                round(statistics.median(values), 2)
                for values in (
                    [run.load.p50_ms for run in found],
                    [run.load.p99_ms for run in found],
                    [run.cpu_us for run in found],
                )
            )
            shares = [round(rates[at] / rates[0], 3), round(rates[at] / firsts[at], 2)]
            rows.append(
                [name, workers, round(rates[at]), *shares, p50, p99, cpu, sum(run.load.errors for run in found)]
            )
    print(f"{options.model}, 1 row a request, {options.connections} connections, load by {generator()}")
    print_table(_HEADINGS, rows)
    results = {
        "options": vars(options),
        "load": generator(),
        "ratio": rows[1][3],
        "cpu_ratio": round(rows[0][7] / rows[1][7], 3),
        "table": [dict(zip(_HEADINGS, row, strict=True)) for row in rows],
        "runs": {
            f"{name}, {workers} worker{'s' * (workers > 1)}": [asdict(run) for run in found]
            for workers, pair in pairs.items()
            for name, found in zip(_NAMES, pair, strict=True)
        },
    }
    suffix = "" if options.workers == [1] else "_workers"
    print(write_results(f"predict_{options.model}_{options.connections}{suffix}", results))


if __name__ == "__main__":
    main()
