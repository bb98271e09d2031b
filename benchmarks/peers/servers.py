"""How each peer is started, asked and read; ``how`` is what the page on performance says about it.

Every peer runs one worker, without debugging and without access logs, in its fastest documented way on processors
alone. Where its documentation offers batching, it runs once without and once with it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installation import Server, free_port, running
from peers.environments import HERE, scripts_of, version_of
from peers.fitted import Fitted

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_MAX_BATCH = 16  # as many as ask at once


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that serves on a port, and the path that answers with 200 once it is ready."""

    command: list[str]
    port: int
    probe: str
    cwd: Path
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """One row of the table. ``body`` makes a request of a row, ``read`` finds the prediction in the answer."""

    name: str
    package: str
    how: str
    path: str
    launch: Callable[[Fitted], Launch]
    body: Callable[[list[float]], Any]
    read: Callable[[Any], Any]

    @property
    def title(self) -> str:
        """Name and version."""
        first, _, rest = self.name.partition(",")
        return f"{first} {version_of(self.package)}" + (f",{rest}" if rest else "")


@contextmanager
def serving_peer(peer: Peer, fitted: Fitted) -> Iterator[Server]:
    """Run a peer until the block ends; what it writes is shown when it does not start."""
    launch = peer.launch(fitted)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MODELPOOL_", "PYTHON"))}
    env |= {**_ONE_THREAD, **launch.variables, "PATH": f"{scripts_of(peer.package)}:{env.get('PATH', '')}"}
    url = f"http://127.0.0.1:{launch.port}"
    log = fitted.scratch / f"{peer.name.replace(' ', '_')}.log"
    with running(launch.command, url=url, probe=launch.probe, env=env, log=log, cwd=launch.cwd) as server:
        yield server


def _mlserver(workers: int, batch: int) -> Callable[[Fitted], Launch]:
    def launch(fitted: Fitted) -> Launch:
        folder = _folder(fitted, f"mlserver-{workers}-{batch}")
        ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
        settings = {"debug": False, "parallel_workers": workers, "host": "127.0.0.1", **ports}
        model: dict[str, Any] = {"name": "model", "implementation": "mlserver_sklearn.SKLearnModel"}
        model["parameters"] = {"uri": str(fitted.estimator)}
        if batch:
            model |= {"max_batch_size": batch, "max_batch_time": 0.001}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        command = [str(scripts_of("mlserver") / "mlserver"), "start", str(folder)]
        return Launch(command, ports["http_port"], "/v2/models/model/ready", folder)

    return launch


def _ask_mlserver(row: list[float]) -> Any:
    content = {"content_type": "np"}
    return {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": row, "parameters": content}]}


def _mlflow(flavour: str) -> Callable[[Fitted], Launch]:
    def launch(fitted: Fitted) -> Launch:
        scripts = scripts_of("mlflow")
        folder = _folder(fitted, f"mlflow-{flavour}")
        file = fitted.compiled if flavour == "onnx" else fitted.estimator
        save = [str(scripts / "python"), str(HERE / "mlflow" / "save.py"), flavour, str(file), str(folder / "model")]
        done = subprocess.run(save, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"MLflow does not save the model:\n{done.stderr}")
        port = free_port()
        command = [str(scripts / "mlflow"), "models", "serve", "--model-uri", str(folder / "model"), "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--env-manager", "local"]
        variables = {"MLFLOW_DISABLE_TELEMETRY": "true", "UVICORN_ACCESS_LOG": "0", "UVICORN_LOG_LEVEL": "error"}
        return Launch(command, port, "/ping", folder, variables)

    return launch


def _bentoml(service: str) -> Callable[[Fitted], Launch]:
    def launch(fitted: Fitted) -> Launch:
        folder = _folder(fitted, f"bentoml-{service}")
        port = free_port()
        command = [str(scripts_of("bentoml") / "bentoml"), "serve", f"service:{service}"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(HERE / "bentoml")]
        variables = {"MODEL_FILE": str(fitted.estimator), "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
        return Launch(command, port, "/readyz", folder, {**variables, "PYTHONDONTWRITEBYTECODE": "1"})

    return launch


def _litserve(batch: int) -> Callable[[Fitted], Launch]:
    def launch(fitted: Fitted) -> Launch:
        port = free_port()
        command = [str(scripts_of("litserve") / "python"), str(HERE / "litserve" / "serve.py"), str(port), str(batch)]
        folder = _folder(fitted, f"litserve-{batch}")
        return Launch(command, port, "/health", folder, {"MODEL_FILE": str(fitted.estimator)})

    return launch


def _folder(fitted: Fitted, name: str) -> Path:
    folder = fitted.scratch / name
    folder.mkdir(parents=True)
    return folder


def _first(path: str) -> Callable[[Any], Any]:
    return lambda answer: answer[path][0]


PEERS = (
    Peer(
        name="MLServer",
        package="mlserver",
        how="`mlserver start`, `debug: false`, `parallel_workers: 0`, so that no second process is asked; NumPy codec",
        path="/v2/models/model/infer",
        launch=_mlserver(0, 0),
        body=_ask_mlserver,
        read=lambda answer: answer["outputs"][0]["data"][0],
    ),
    Peer(
        name="MLServer, adaptive batching",
        package="mlserver",
        how=f"and `max_batch_size: {_MAX_BATCH}`, `max_batch_time: 0.001`, `parallel_workers: 1` (its default)",
        path="/v2/models/model/infer",
        launch=_mlserver(1, _MAX_BATCH),
        body=_ask_mlserver,
        read=lambda answer: answer["outputs"][0]["data"][0],
    ),
    Peer(
        name="MLflow",
        package="mlflow",
        how="`mlflow models serve --env-manager local --workers 1`, sklearn flavour, no signature to check",
        path="/invocations",
        launch=_mlflow("sklearn"),
        body=lambda row: {"inputs": [row]},
        read=_first("predictions"),
    ),
    Peer(
        name="MLflow, ONNX flavour",
        package="mlflow",
        how="the same with our compiled file, one thread each, as MLflow serves ONNX as easily",
        path="/invocations",
        launch=_mlflow("onnx"),
        body=lambda row: {"inputs": [row]},
        read=lambda answer: next(iter(answer["predictions"].values()))[0],
    ),
    Peer(
        name="BentoML",
        package="bentoml",
        how="`bentoml serve`, a service with `workers=1`, NumPy types, access log off",
        path="/predict",
        launch=_bentoml("Plain"),
        body=lambda row: {"rows": [row]},
        read=lambda answer: answer[0],
    ),
    Peer(
        name="BentoML, adaptive batching",
        package="bentoml",
        how="and `batchable=True`, `max_batch_size=32`, `max_latency_ms=1000`",
        path="/predict",
        launch=_bentoml("Batching"),
        body=lambda row: {"rows": [row]},
        read=lambda answer: answer[0],
    ),
    Peer(
        name="LitServe",
        package="litserve",
        how='`accelerator="cpu"`, one worker and one API server, log level error',
        path="/predict",
        launch=_litserve(1),
        body=lambda row: {"row": row},
        read=lambda answer: answer["prediction"],
    ),
    Peer(
        name="LitServe, batching",
        package="litserve",
        how=f"and `max_batch_size={_MAX_BATCH}`, `batch_timeout=0.001`",
        path="/predict",
        launch=_litserve(_MAX_BATCH),
        body=lambda row: {"row": row},
        read=lambda answer: answer["prediction"],
    ),
)
