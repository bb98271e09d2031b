"""The model that everyone serves, and the servers that are ours to start, for benchmarks that compare."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from contest import Contender
from installation import Server, free_port, running
from load import Request
from register_model import fit
from sklearn.datasets import load_breast_cancer

_QUIET = ("--no-access-log", "--no-proxy-headers", "--log-level", "error")
_UVICORN = ("--loop", "uvloop", "--http", "httptools", "--lifespan", "off", *_QUIET)
_ROWS_CHECKED = 9


@dataclass(frozen=True, slots=True)
class Fitted:
    """Files that are served, a folder for what peers write, and rows with the predictions that everyone must give."""

    estimator: Path
    compiled: Path
    scratch: Path
    rows: list[list[float]]
    expected: list[int]


def fit_plain(kind: str, scratch: Path) -> Fitted:
    """Write the estimator, fitted without names of columns, which would cost peers a warning; ``compiled`` is not yet.

    ``register_model.py`` writes the compiled file when it registers the model.
    """
    scratch.mkdir()
    estimator, data = fit(kind)
    values, named = data.to_numpy(), estimator.predict(data)
    estimator.fit(values, load_breast_cancer().target)
    if (estimator.predict(values) != named).any():
        raise RuntimeError("the estimator fitted without names of columns differs from the one with them")
    file = scratch / "model.joblib"
    joblib.dump(estimator, file)
    chosen = values[:: len(values) // _ROWS_CHECKED]
    return Fitted(file, scratch / "model.onnx", scratch, chosen.tolist(), estimator.predict(chosen).tolist())


@contextmanager
def bare_server(app: str, fitted: Fitted, *, env: dict[str, str]) -> Iterator[Server]:
    """Run ``bare_asgi:app`` or ``bare_estimator:app`` with uvicorn until the block ends."""
    port = free_port()
    files = {"ONNX_FILE": str(fitted.compiled), "MODEL_FILE": str(fitted.estimator)}
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *_UVICORN]
    with running(command, url=f"http://127.0.0.1:{port}", probe="/", env={**env, **files}) as server:
        yield server


def contender(name: str, servers: list[Server], url: str, key: str = "", slow: bool = False) -> Contender:
    """One that takes ``instances`` and gives ``predictions``; all ``servers`` work for its answers."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def request_for(row: list[float]) -> Request:
        return Request(url, json.dumps({"instances": [row]}).encode(), headers)

    return Contender(name, tuple(server.process.pid for server in servers), request_for, _first_prediction, slow)


def _first_prediction(answer: Any) -> Any:
    return answer["predictions"][0]
