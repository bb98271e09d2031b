"""Predictions a second beside the limit of the same server: ``python benchmarks/bench_predict.py [--model forest]``.

A bare ASGI callable and ``modelpool serve --workers 1`` run side by side and answer for the same compiled model, one row a
request; runs are interleaved, and the median of each is compared. The claim: at least 0.8 of the limit, at a 99th
percentile of at most twice the limit's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import urllib.request
from dataclasses import asdict
from pathlib import Path

from installation import free_port, running, serving, temporary_installation
from load import LoadResult, Request, apply_load, generator
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


def main() -> None:
    """Measure, print and write."""
    options = _read_options()
    with temporary_installation() as installation:
        file = installation.home / "compiled.onnx"
        made = installation.run_script("register_model.py", options.model, str(file))
        bare_port = free_port()
        bare_env = installation.environment(ONNX_FILE=str(file), MODEL_NAME=options.model, PYTHONPATH=str(HERE))
        bare = [sys.executable, "-m", "uvicorn", "bare_asgi:app", "--port", str(bare_port), *_PROGRAM]
        body = json.dumps({"instances": [made["row"]]}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {made['key']}"}
        with (
            running(bare, url=f"http://127.0.0.1:{bare_port}", probe="/", env=bare_env) as limit,
            serving(installation, workers=1) as ours,
        ):
            path = f"/api/v1/tenants/bench/models/{options.model}/predict"
            requests = {
                "bare ASGI (the limit)": Request(f"{limit.url}/", body, headers),
                "modelpool, 1 worker": Request(ours.url + path, body, headers),
            }
            answers = {_fetch(request) for request in requests.values()}
            assert len(answers) == 1, answers
            runs = _measure(requests, options)
    _report(runs, options)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["logistic", "forest"], default="logistic")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def _fetch(request: Request) -> bytes:
    call = urllib.request.Request(request.url, request.body, request.headers, method="POST")
    with urllib.request.urlopen(call, timeout=30) as response:
        answer: bytes = response.read()
        return answer


def _measure(requests: dict[str, Request], options: argparse.Namespace) -> dict[str, list[LoadResult]]:
    runs: dict[str, list[LoadResult]] = {name: [] for name in requests}
    for request in requests.values():
        apply_load(request, connections=options.connections, seconds=1)
    for _ in range(options.rounds):
        for name, request in requests.items():
            runs[name].append(apply_load(request, connections=options.connections, seconds=options.seconds))
    return runs


def _report(runs: dict[str, list[LoadResult]], options: argparse.Namespace) -> None:
    limit = statistics.median(run.per_second for run in next(iter(runs.values())))
    rows = []
    for name, found in runs.items():
        rate = statistics.median(run.per_second for run in found)
        p50, p99 = (statistics.median(getattr(run, field) for run in found) for field in ("p50_ms", "p99_ms"))
        rows.append([name, round(rate), round(rate / limit, 3), p50, p99, sum(run.errors for run in found)])
    print(
        f"{options.model}, 1 row a request, {options.connections} connections, {options.rounds} rounds, load by {generator()}"
    )
    print_table(["server", "per second", "of the limit", "p50 ms", "p99 ms", "errors"], rows)
    results = {
        "options": vars(options),
        "load": generator(),
        "ratio": rows[1][2],
        "runs": {name: [asdict(run) for run in found] for name, found in runs.items()},
    }
    print(write_results(f"predict_{options.model}_{options.connections}", results))


if __name__ == "__main__":
    main()
