"""Predictions a second beside the limit of the same server: ``python benchmarks/bench_predict.py [--model forest]``.

A bare ASGI callable and ``modelpool serve --workers 1`` run side by side and answer for the same compiled model, one
row a request; runs are interleaved, and the median of each is compared. The claim: at least 0.8 of the limit, at a 99th
percentile of at most twice the limit's. Where other programs use the machine, the processor time is the better witness.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import urllib.request
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from installation import free_port, running, serving, temporary_installation
from load import LoadResult, Request, apply_load, generator
from processes import cpu_seconds
from report import print_table, write_results

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
        bare_port = free_port()
        bare_env = installation.environment(ONNX_FILE=str(file), MODEL_NAME=options.model, PYTHONPATH=str(HERE))
        bare = [sys.executable, "-m", "uvicorn", "bare_asgi:app", "--port", str(bare_port), *_PROGRAM]
        with (
            running(bare, url=f"http://127.0.0.1:{bare_port}", probe="/", env=bare_env) as limit,
            serving(installation, workers=1) as ours,
        ):
            request = Request.for_row(ours.url, options.model, made)
            targets = {
                "bare ASGI (the limit)": Target(replace(request, url=f"{limit.url}/"), limit.process.pid),
                "modelpool, 1 worker": Target(request, ours.process.pid),
            }
            answers = {fetch(target.request) for target in targets.values()}
            assert len(answers) == 1, answers
            runs = _measure(targets, options)
    _report(runs, options)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["logistic", "forest"], default="logistic")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
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


def _measure(targets: dict[str, Target], options: argparse.Namespace) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in targets}
    for target in targets.values():
        apply_load(target.request, connections=options.connections, seconds=1)
    for _ in range(options.rounds):
        for name, target in targets.items():
            before = cpu_seconds(target.pid)
            load = apply_load(target.request, connections=options.connections, seconds=options.seconds)
            used = cpu_seconds(target.pid) - before
            runs[name].append(Run(load, used * 1e6 / (load.per_second * options.seconds)))
    return runs


def _report(runs: dict[str, list[Run]], options: argparse.Namespace) -> None:
    limit = statistics.median(run.load.per_second for run in next(iter(runs.values())))
    rows = []
    for name, found in runs.items():
        rate = statistics.median(run.load.per_second for run in found)
        p50, p99 = (statistics.median(getattr(run.load, field) for run in found) for field in ("p50_ms", "p99_ms"))
        cpu = statistics.median(run.cpu_us for run in found)
        errors = sum(run.load.errors for run in found)
        rows.append([name, round(rate), round(rate / limit, 3), p50, p99, round(cpu, 1), errors])
    print(f"{options.model}, 1 row a request, {options.connections} connections, load by {generator()}")
    print_table(["server", "per second", "of the limit", "p50 ms", "p99 ms", "CPU µs each", "errors"], rows)
    results = {
        "options": vars(options),
        "load": generator(),
        "ratio": rows[1][2],
        "cpu_ratio": round(rows[0][5] / rows[1][5], 3),
        "runs": {name: [asdict(run) for run in found] for name, found in runs.items()},
    }
    print(write_results(f"predict_{options.model}_{options.connections}", results))


if __name__ == "__main__":
    main()
