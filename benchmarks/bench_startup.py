"""How long ``modelpool serve`` takes until it answers, on an existing home: ``python benchmarks/bench_startup.py``.

The claim: at most 5 seconds, with two web workers and one job worker, from the command to a prediction.
"""

from __future__ import annotations

import argparse
import statistics
import time

from bench_predict import fetch
from installation import serving, temporary_installation
from load import Request
from report import print_table, write_results

ROUNDS = 3


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    ready, predicted = [], []
    with temporary_installation() as installation:
        made = installation.run_script("register_model.py", "logistic", str(installation.home / "compiled.onnx"))
        for _ in range(rounds):
            began = time.monotonic()
            with serving(installation, workers=2, job_workers=1) as server:
                ready.append(server.started_s)
                fetch(Request.for_row(server.url, "logistic", made))
                predicted.append(time.monotonic() - began)
    rows = [
        ["ready", statistics.median(ready), max(ready)],
        ["first prediction", statistics.median(predicted), max(predicted)],
    ]
    print_table(["from the command to", "median s", "slowest s"], rows)
    print(write_results("startup", {"ready_s": ready, "first_prediction_s": predicted, "claim_s": 5}))


if __name__ == "__main__":
    main()
