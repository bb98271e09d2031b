"""Memory of the whole tree when idle: ``python benchmarks/bench_memory.py``.

Two web workers and one job worker, after one prediction by each web worker. The claim: at most 600 MiB. The sum of
proportional sizes is what the machine gives; the sum of resident sizes counts shared pages once for each process.
"""

from __future__ import annotations

import argparse
import time

from bench_predict import fetch
from installation import serving, temporary_installation
from load import Request
from processes import memory_of
from report import print_table, write_results

_REQUESTS = 40  # enough that each worker gets some
_SETTLE_S = 8.0  # until the job worker has loaded its libraries


def main() -> None:
    """Measure, print and write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with temporary_installation() as installation:
        made = installation.run_script("register_model.py", "logistic", str(installation.home / "compiled.onnx"))
        with serving(installation, workers=2, job_workers=1) as server:
            for _ in range(_REQUESTS):
                fetch(Request.for_row(server.url, "logistic", made))
            time.sleep(_SETTLE_S)
            processes = memory_of(server.process.pid)
    rows = [[found.command[-70:], found.rss_mib, found.pss_mib] for found in processes]
    totals = [sum(found.rss_mib for found in processes), sum(found.pss_mib for found in processes)]
    print_table(["process", "RSS MiB", "PSS MiB"], [*rows, ["total", *totals]])
    parts = [{"command": found.command, "rss_mib": found.rss_mib, "pss_mib": found.pss_mib} for found in processes]
    print(write_results("memory", {"rss_mib": totals[0], "pss_mib": totals[1], "claim_mib": 600, "processes": parts}))


if __name__ == "__main__":
    main()
