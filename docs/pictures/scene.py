"""What the pictures of the console show: a clinic whose models are trained on real tables, and what happened to them.

The tables are those that scikit-learn brings: Breast Cancer Wisconsin (Wolberg et al. 1995), Diabetes (Efron et al.
2004), Wine (Forina et al. 1988).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from sklearn import datasets

from tests.servers.modelpool import ServedModelpool, inherited_environment

PASSWORD = "correct horse battery staple"  # noqa: S105  of nobody
PEOPLE = {
    "olga": ["--operator"],
    "ada": ["--tenant", "clinic", "--role", "admin"],
    "ann": ["--tenant", "clinic", "--role", "scientist"],
    "vic": ["--tenant", "clinic", "--role", "viewer"],
}
_ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Training:
    """A job of the scene: its table, and what is asked of the trainer."""

    model: str
    table: str
    target: str
    params: dict[str, Any]
    trainer: str = "tabular_classifier"


TRAININGS = (
    Training("tumours", "breast_cancer", "diagnosis", {"algorithm": "logistic"}),
    Training("tumours", "breast_cancer", "diagnosis", {"algorithm": "k_nearest_neighbors"}),
    Training("tumours", "breast_cancer", "diagnosis", {"algorithm": "random_forest", "n_estimators": 100}),
    Training("tumours", "breast_cancer", "diagnosis", {"algorithm": "hist_gradient_boosting"}),
    Training("progression", "diabetes", "progression", {"algorithm": "ridge"}, "tabular_regressor"),
    Training("progression", "diabetes", "progression", {"algorithm": "random_forest"}, "tabular_regressor"),
    Training("cultivars", "wine", "cultivar", {"algorithm": "random_forest"}),
    Training("cultivars", "wine", "alcohol", {"algorithm": "logistic"}),  # no classes: a job that fails
)


def read_table(name: str, target: str) -> dict[str, Any]:
    """Return a table of scikit-learn's as ``columns`` and ``rows``; names of classes stand for their numbers."""
    data = getattr(datasets, f"load_{name}")()
    columns = [str(column).replace(" ", "_").replace("/", "_") for column in data.feature_names]
    names = getattr(data, "target_names", None)
    answers = [str(names[value]) for value in data.target] if names is not None else data.target.tolist()
    label = {"breast_cancer": "diagnosis", "diabetes": "progression", "wine": "cultivar"}[name]
    rows = [[*values, answer] for values, answer in zip(data.data.tolist(), answers, strict=True)]
    return {"columns": [*columns, label], "rows": rows}


def set_scene(server: ServedModelpool) -> dict[str, str]:
    """Fill the server by its commands and its API; return what stands in the addresses of pages."""
    for tenant in ("clinic", "winery", "lighthouse"):
        run(server, "tenant", "create", tenant)
    for name, place in PEOPLE.items():
        run(server, "user", "create", name, "--password-stdin", *place, said=PASSWORD)
    key = json.loads(run(server, "key", "create", "--tenant", "clinic", "--role", "admin", "--json"))["key"]
    with httpx.Client(
        base_url=f"{server.url}/api/v1/tenants/clinic", headers={"Authorization": f"Bearer {key}"}, timeout=60
    ) as api:
        found = dict(_train(api))
        _ask(api)
    return found


def run(server: ServedModelpool, *arguments: str, said: str = "") -> str:
    """Run a command on the server's home and return what it prints."""
    command = [sys.executable, "-P", "-m", "modelpool", *arguments, "--home", str(server.home)]
    done = subprocess.run(command, check=True, input=said.encode(), capture_output=True, env=inherited_environment())
    return done.stdout.decode()


def _train(api: httpx.Client) -> Iterator[tuple[str, str]]:
    """Bring the tables, train on them, and choose what answers."""
    tables: dict[str, str] = {}
    for one in TRAININGS:
        if one.table not in tables:
            table = {**read_table(one.table, one.target), "name": f"{one.table.replace('_', '-')}.csv"}
            tables[one.table] = _sent(api.post("/datasets", json=table))["id"]
            yield f"dataset-{one.table}", tables[one.table]
    for number, one in enumerate(TRAININGS):
        asked = {"trainer": one.trainer, "target": one.target, "params": one.params, "dataset": tables[one.table]}
        job = _sent(api.post(f"/models/{one.model}/train", json={**asked, "activate": "never"}))
        while (job := _sent(api.get(f"/jobs/{job['id']}")))["state"] not in _ENDED:
            time.sleep(0.2)
        yield f"job-{number}", job["id"]
    for model, number in (("tumours", 2), ("tumours", 3), ("progression", 1), ("cultivars", 1)):
        _sent(api.post(f"/models/{model}/versions/{number}/activate", json={}))
    _sent(api.put("/models/tumours/aliases/champion", json={"version": 3}))
    _sent(api.put("/models/tumours/traffic", json={"canary": {"version": 4, "percent": 10}}))


def _ask(api: httpx.Client) -> None:
    """Some predictions, so that there are figures."""
    columns, *_ = (table := read_table("breast_cancer", "diagnosis"))["columns"], None
    rows = [dict(zip(columns[:-1], row[:-1], strict=True)) for row in table["rows"][:50]]
    for number in range(400):
        _sent(api.post("/models/tumours/predict", json={"instances": [rows[number % len(rows)]]}))


def _sent(answer: httpx.Response) -> Any:
    if answer.is_error:
        raise SystemExit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if answer.content else None
