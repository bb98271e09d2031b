"""Modelpool beside other model servers: ``python benchmarks/bench_peers.py [--seconds 3] [--rounds 3] [--peers …]``.

The same fitted estimator, the same table (breast cancer, 30 features), one row a request, 1 and 16 connections, one
worker each, in one run on one machine. All servers are up at once and are loaded in turns; every server's answers are
checked before and after. Peers serve what their users give them, the pickled estimator; Modelpool serves the form it
compiled, which is what is claimed. A further row is the same forest not compiled, and MLflow with our compiled file.

The first run installs the peers into ``.bench/`` (minutes, 1.1 GB); later runs find them there.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from contest import COLUMNS, Contender, Figures, as_json, check_answers, hold
from installation import Installation, serving, temporary_installation
from load import Request, generator
from peers.environments import scripts_of
from peers.fitted import Fitted, bare_server, contender, fit_plain
from peers.servers import PEERS, Peer, serving_peer
from report import print_table, write_results

HERE = Path(__file__).resolve().parent
_PACKAGES = sorted({peer.package for peer in PEERS})
OURS, NOT_COMPILED = "Modelpool", "Modelpool, not compiled"
LIMIT, LIMIT_ESTIMATOR = "bare ASGI, compiled (the limit)", "bare ASGI, estimator"
MODELS = {"logistic": "logistic regression", "forest": "random forest, 100 trees"}


def main() -> None:
    """Measure, print and write."""
    options = _read_options()
    peers = [peer for peer in PEERS if peer.package in options.peers]
    for package in {peer.package for peer in peers}:
        scripts_of(package)
    with temporary_installation() as installation:
        tables = {kind: _measure(installation, kind, peers, options) for kind in options.models}
    results = {
        "options": vars(options),
        "load": generator(),
        "tables": [
            {"title": f"{MODELS[kind]}, {n} connections", "columns": COLUMNS, "rows": [each.row for each in found]}
            for kind, table in tables.items()
            for n, found in table.items()
        ],
        "figures": {kind: {n: as_json(found) for n, found in table.items()} for kind, table in tables.items()},
        "ratios": {kind: _ratios(kind, table[max(table)]) for kind, table in tables.items()},
        "how": {peer.title: peer.how for peer in peers},
    }
    print(write_results("peers", results))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="of each run (3)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server, of which the median counts (3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--models", choices=list(MODELS), nargs="+", default=list(MODELS))
    parser.add_argument("--peers", choices=_PACKAGES, nargs="*", default=_PACKAGES, help="only these packages")
    return parser.parse_args()


def _measure(
    installation: Installation, kind: str, peers: list[Peer], options: argparse.Namespace
) -> dict[int, list[Figures]]:
    fitted = fit_plain(kind, installation.home.parent / kind)
    found = {}
    with ExitStack() as stack:
        contenders = _start_ours(stack, installation, kind, fitted)
        for peer in peers:
            server = stack.enter_context(serving_peer(peer, fitted))
            contenders.append(Contender(peer.title, (server.process.pid,), _asking(peer, server.url), peer.read))
        check_answers(contenders, fitted.rows, fitted.expected)
        for connections in options.connections:
            found[connections] = hold(
                contenders, fitted.rows[0], connections=connections, seconds=options.seconds, rounds=options.rounds
            )
            print(f"\n{MODELS[kind]}, 1 row a request, {connections} connections, load by {generator()}")
            print_table(COLUMNS, [figures.row for figures in found[connections]])
        check_answers(contenders, fitted.rows, fitted.expected)
    return found


def _start_ours(stack: ExitStack, installation: Installation, kind: str, fitted: Fitted) -> list[Contender]:
    made = installation.run_script("register_model.py", kind, str(fitted.compiled))
    names = {OURS: kind}
    if kind == "forest":
        installation.run_script("register_estimator.py", "plain")
        names[NOT_COMPILED] = "plain"
    env = installation.environment(PYTHONPATH=str(HERE), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    found = []
    for title, app in ((LIMIT, "bare_asgi:app"), (LIMIT_ESTIMATOR, "bare_estimator:app")):
        bare = stack.enter_context(bare_server(app, fitted, env=env))
        found.append(contender(title, [bare], f"{bare.url}/"))
    ours = stack.enter_context(serving(installation, workers=1))
    for title, model in names.items():
        found.append(contender(title, [ours], f"{ours.url}/api/v1/tenants/bench/models/{model}/predict", made["key"]))
    return found


def _asking(peer: Peer, url: str) -> Any:
    headers = {"Content-Type": "application/json"}
    return lambda row: Request(url + peer.path, json.dumps(peer.body(row)).encode(), headers)


def _ratios(kind: str, found: list[Figures]) -> dict[str, float]:
    """How many times the answers a second of the limit and of the best and each peer."""
    rates = {figures.name: figures.per_second for figures in found}
    own = {OURS, NOT_COMPILED, LIMIT, LIMIT_ESTIMATOR}
    peers = {name: rate for name, rate in rates.items() if name not in own}
    pickled = {name: rate for name, rate in peers.items() if "ONNX" not in name}
    ratios = {f"of {LIMIT}": rates[OURS] / rates[LIMIT]}
    single = {name: rate for name, rate in pickled.items() if "batching" not in name}
    if pickled:
        ratios["times the best peer"] = rates[OURS] / max(pickled.values())
        if kind == "forest":
            ratios["not compiled, times the best peer"] = rates[NOT_COMPILED] / max(pickled.values())
            ratios["not compiled, times the best without batching"] = rates[NOT_COMPILED] / max(single.values())
        ratios["times the best without batching"] = rates[OURS] / max(single.values())
    ratios |= {f"times {name}": rates[OURS] / rate for name, rate in peers.items()}
    return {name: round(value, 2) for name, value in ratios.items()}


if __name__ == "__main__":
    main()
