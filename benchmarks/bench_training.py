"""What a training job takes beyond the bare ``fit`` in a script: ``python benchmarks/bench_training.py``.

A logistic regression on the breast-cancer table, by ``POST …/train`` until the job has succeeded, beside the same
estimator in a script that has its libraries loaded. The job also cross-validates, compiles, proves, stores and
registers. The claim: at most 2.5 seconds over the bare fit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.request
from typing import Any

from installation import Installation, Server, serving, temporary_installation
from report import print_table, write_results
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROUNDS = 5
_FINISHED = ("succeeded", "failed", "cancelled")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    table = load_breast_cancer(as_frame=True).frame
    bare = [_fit_bare(table) for _ in range(rounds)]
    with temporary_installation() as installation:
        key = _make_key(installation)
        with serving(installation, workers=1, job_workers=1) as server:
            jobs = [_train(server, key, table) for _ in range(rounds)]
    overhead = statistics.median(jobs) - statistics.median(bare)
    rows = [["bare fit", statistics.median(bare), max(bare)], ["job", statistics.median(jobs), max(jobs)]]
    print_table(["", "median s", "slowest s"], [*rows, ["overhead", overhead, max(jobs) - min(bare)]])
    print(write_results("training", {"bare_s": bare, "jobs_s": jobs, "overhead_s": overhead, "claim_s": 2.5}))


def _fit_bare(table: Any) -> float:
    began = time.perf_counter()
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(
        table.drop(columns="target"), table["target"]
    )
    return time.perf_counter() - began


def _make_key(installation: Installation) -> str:
    installation.run("tenant", "create", "bench")
    made = json.loads(installation.run("key", "create", "--tenant", "bench", "--role", "scientist", "--json"))
    secret: str = made["key"]
    return secret


def _train(server: Server, key: str, table: Any) -> float:
    data = {"columns": list(table.columns), "rows": table.to_numpy().tolist()}
    params = {"algorithm": "logistic_regression"}
    body = {"trainer": "tabular_classifier", "target": "target", "data": data, "params": params}
    began = time.perf_counter()
    path = "/api/v1/tenants/bench"
    job = _call(server.url + f"{path}/models/bench/train", key, json.dumps(body).encode())
    while job["state"] not in _FINISHED:
        time.sleep(0.02)
        job = _call(server.url + f"{path}/jobs/{job['id']}", key)
    if job["state"] != "succeeded":
        raise RuntimeError(job["error"])
    return time.perf_counter() - began


def _call(url: str, key: str, body: bytes | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as response:
        return json.load(response)


if __name__ == "__main__":
    main()
