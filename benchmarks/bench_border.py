"""The price of the language border: ``python benchmarks/bench_border.py [--seconds 3] [--rounds 3] [--caller java]``.

A service needs a prediction by a model that was trained in Python. The same model, the same row, the same load:

* asked directly over HTTP from Modelpool, which runs the model in the process that answers;
* asked from a service in another language, which starts Python for each request (JSON over its input and output);
* asked from that service, which asks a Python process that lives on, by a raw socket, by HTTP, or asks Modelpool.

The service is a small one in Java where ``java`` (11 or newer) is found, else a stand-in in Python, labelled as such.
The same prediction as a mere call of a function, nobody asking over a network, is measured too.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime
from contest import COLUMNS, Contender, Figures, as_json, check_answers, hold
from installation import Server, free_port, running, serving, temporary_installation
from load import generator
from peers.fitted import Fitted, bare_server, contender, fit_plain
from report import print_table, write_results

HERE = Path(__file__).resolve().parent
BORDER = HERE / "border"
CALLERS = {"java": "Java", "python": "stand-in for Java"}
_CALLS = 2000
DIRECT = "Modelpool, asked directly"


def main() -> None:
    """Measure, print and write."""
    options = _read_options()
    with temporary_installation() as installation:
        fitted = fit_plain(options.model, installation.home.parent / "border")
        made = installation.run_script("register_model.py", options.model, str(fitted.compiled))
        functions = _time_functions(fitted)
        print_table(["a call of the function", "p50 µs", "p99 µs"], functions)
        with ExitStack() as stack:
            contenders = _start(stack, installation, fitted, made["key"], options)
            check_answers(contenders, fitted.rows, fitted.expected)
            tables = {count: _measure(contenders, fitted, count, options) for count in options.connections}
            check_answers(contenders, fitted.rows, fitted.expected)
    print(write_results("border", _results(tables, functions, options)))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["logistic", "forest"], default="logistic")
    parser.add_argument(
        "--seconds",
        type=float,
        default=3,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    found = "java" if shutil.which("java") else "python"
    parser.add_argument("--caller", choices=["java", "python"], default=found, help="the foreign service (%(default)s)")
    return parser.parse_args()


def _start(stack: ExitStack, installation: Any, fitted: Fitted, key: str, options: Any) -> list[Contender]:
    ours = stack.enter_context(serving(installation, workers=1))
    url = f"{ours.url}/api/v1/tenants/bench/models/{options.model}/predict"
    env = installation.environment(PYTHONPATH=str(HERE), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    bare = stack.enter_context(bare_server("bare_asgi:app", fitted, env=env))
    raw = stack.enter_context(_raw_server(fitted, env))
    host, port = raw.url.removeprefix("tcp://").split(":")
    found = [contender(DIRECT, [ours], url, key)]
    ways: list[tuple[str, list[Server], list[str]]] = [
        ("a process per request, estimator", [], ["process", *_once("predict_once.py", fitted.estimator)]),
        ("a process per request, compiled", [], ["process", *_once("predict_once_onnx.py", fitted.compiled)]),
        ("raw socket to a Python process", [raw], ["socket", host, port]),
        ("HTTP to a bare Python server", [bare], ["http", f"{bare.url}/"]),
        ("HTTP to Modelpool", [ours], ["http", url, f"Bearer {key}"]),
    ]
    for name, servers, way in ways:
        caller = stack.enter_context(_caller(options.caller, way, env))
        found.append(
            contender(
                f"{CALLERS[options.caller]}, {name}", [caller, *servers], f"{caller.url}/", slow=way[0] == "process"
            )
        )
    return found


def _raw_server(fitted: Fitted, env: dict[str, str]) -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, str(BORDER / "raw_socket.py"), str(fitted.compiled), str(port)]
    return running(command, url=f"tcp://127.0.0.1:{port}", probe="", env=env)


def _once(script: str, model: Path) -> list[str]:
    return [sys.executable, str(BORDER / script), str(model)]


def _caller(kind: str, way: list[str], env: dict[str, str]) -> AbstractContextManager[Server]:
    port = free_port()
    program = ["java", str(BORDER / "Caller.java")] if kind == "java" else [sys.executable, str(BORDER / "caller.py")]
    return running([*program, str(port), *way], url=f"http://127.0.0.1:{port}", probe="/", env=env)


def _measure(contenders: list[Contender], fitted: Fitted, connections: int, options: Any) -> list[Figures]:
    found = hold(contenders, fitted.rows[0], connections=connections, seconds=options.seconds, rounds=options.rounds)
    print(f"\n{options.model}, 1 row a request, {connections} connections, load by {generator()}")
    print_table(COLUMNS, [figures.row for figures in found])
    return found


def _time_functions(fitted: Fitted) -> list[list[Any]]:
    """The prediction alone, in this process: what every way above pays at least."""
    row = np.array(fitted.rows[:1], np.float64)
    estimator = joblib.load(fitted.estimator)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(fitted.compiled), settings, providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    return [
        ["the estimator", *_timed(lambda: estimator.predict(row))],
        ["the compiled model", *_timed(lambda: session.run([output], {name: row}))],
    ]


def _timed(call: Any) -> tuple[float, float]:
    times = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(times), 1), round(sorted(times)[int(_CALLS * 0.99)], 1)


def _results(tables: dict[int, list[Figures]], functions: list[list[Any]], options: Any) -> dict[str, Any]:
    titled = [
        {"title": f"{count} connections", "columns": COLUMNS, "rows": [figures.row for figures in found]}
        for count, found in tables.items()
    ]
    call = {"title": "The prediction alone, as a call", "columns": ["", "p50 µs", "p99 µs"], "rows": functions}
    return {
        "options": vars(options),
        "load": generator(),
        "tables": [*titled, call],
        "figures": {str(count): as_json(found) for count, found in tables.items()},
    }


if __name__ == "__main__":
    main()
