"""A pool too big for memory: ``python benchmarks/bench_pool.py [--models N] [--requests N]``.

Distinct compiled models, a tenth of them forests, are asked for one after the other, which is the worst order there is,
through a budget of 64 MiB over two web processes; then at random. Every answer is checked against that model's value.
The claim: the memory of the node grows by at most 1.25 × the budget, and 100,000 further requests make it no larger.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from checked_load import Outcome, PoolRequests, ask_all, cycling
from installation import Server, serving, temporary_installation
from processes import memory_of, tree_of
from report import print_table, write_results

_BUDGET_MIB = 64
_WORKERS = 2
_CONNECTIONS = 16
_FORESTS_IN_TEN = 1
_SETTLE_S = 2.0
_WARM_UPS = 50
_SELF_TEST_S = 90.0


class Watch(threading.Thread):
    """Looks twice a second at the memory of the tree, and remembers the most."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._pid = server.process.pid
        self._stopped = threading.Event()
        self.most_mib = self.now()

    def now(self) -> float:
        """Return the anonymous memory of all processes in MiB: what they allocated, and share with no other program."""
        return sum(anonymous_mib(pid) for pid in tree_of(self._pid))

    def run(self) -> None:
        """Watch until stopped."""
        while not self._stopped.wait(0.5):
            self.most_mib = max(self.most_mib, self.now())

    def stop(self) -> float:
        """Return the most that was seen."""
        self._stopped.set()
        self.join()
        return self.most_mib


def anonymous_mib(pid: int) -> float:
    """Return the resident anonymous memory of a process; 0 for one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


def wait_for_self_test(server: Server) -> None:
    """Wait until the jail has been tried out: that happens once, in processes of its own."""
    end = time.monotonic() + _SELF_TEST_S
    while any("selftest" in found.command for found in memory_of(server.process.pid)) and time.monotonic() < end:
        time.sleep(0.2)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=100_000)
    arguments = parser.parse_args()
    with temporary_installation() as installation:
        counts = [str(arguments.models), str(_FORESTS_IN_TEN), str(installation.home / "forest.onnx")]
        made = installation.run_script("register_pool.py", *counts)
        budget = {"MODELPOOL_SERVING_MEMORY_BUDGET": f"{_BUDGET_MIB}MiB", "MODELPOOL_SERVING_PRELOAD": ""}
        with serving(installation, workers=_WORKERS, **budget) as server:
            results = _measure(server, PoolRequests.at(server.url, made), arguments)
    rows = [[name, phase["seconds"], phase["per_second"], phase["right"], phase["wrong"], phase["most_mib"],
             phase["growth"]] for name, phase in results["phases"].items()]  # fmt: skip
    print_table(["phase", "s", "requests/s", "right", "wrong", "most MiB", "growth ÷ budget"], rows)
    print(f"{results['loads']:,.0f} loads, {results['evictions']:,.0f} evictions")
    print(write_results("pool", results))


def _measure(server: Server, requests: PoolRequests, arguments: argparse.Namespace) -> dict[str, Any]:
    count, chance = arguments.models, random.Random(11)
    _warm_up(server, requests)
    wait_for_self_test(server)
    time.sleep(_SETTLE_S)
    base_mib = Watch(server).now()
    # some models are in memory already: what they hold belongs to the growth
    held_mib = _metrics(server)["modelpool_pool_bytes"] / 2**20
    phases = {}
    for name, numbers in (
        ("one after the other", cycling(count, total=5 * count)),
        ("at random", cycling(count, total=5 * count, pick=lambda _: chance.randrange(count))),
        ("on and on", cycling(count, total=arguments.requests, pick=lambda _: int(chance.betavariate(1, 20) * count))),
    ):
        watch = Watch(server)
        watch.start()
        began = time.monotonic()
        outcome = _ask(requests, numbers)
        seconds = time.monotonic() - began
        most_mib = watch.stop()
        phases[name] = {
            "seconds": seconds,
            "per_second": outcome.right / seconds,
            "right": outcome.right,
            "wrong": len(outcome.wrong),
            "examples": outcome.wrong,
            "most_mib": most_mib,
            "end_mib": watch.now(),
            "growth": (most_mib - base_mib + held_mib) / _BUDGET_MIB,
        }
    found = _metrics(server)
    about = {"models": count, "budget_mib": _BUDGET_MIB, "workers": _WORKERS, "claim": 1.25, "base_mib": base_mib}
    return {
        **about,
        "loads": found["modelpool_pool_loads_total"],
        "evictions": found["modelpool_pool_evictions_total"],
        "held_mib": found["modelpool_pool_bytes"] / 2**20,
        "phases": phases,
    }


def _warm_up(server: Server, requests: PoolRequests) -> None:
    """Have both kinds loaded in each process: libraries, threads and connections are there."""
    for _ in range(_WARM_UPS):
        _ask(requests, cycling(20, total=400))
        if _metrics(server).get("modelpool_pool_models", 0) >= 20 * _WORKERS:
            return
    raise RuntimeError("not every process got requests")


def _ask(requests: PoolRequests, numbers: Any) -> Outcome:
    return asyncio.run(ask_all(requests, numbers, connections=_CONNECTIONS))


def _metrics(server: Server) -> dict[str, float]:
    """Return the metrics without labels."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return {words[0]: float(words[1]) for line in lines if len(words := line.split()) == 2 and line[0] != "#"}


if __name__ == "__main__":
    main()
