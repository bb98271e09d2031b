"""``modelpool serve --demo``: a real table is trained through the REST API, activated, and asked once.

Runs beside the server as ``python -m modelpool.server.demo --url URL --parent PID``. Whatever is there already is
left as it is, so that a second start prints the same within a moment; after a kill in the middle the next start goes
on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from modelpool import conf
from modelpool.core.errors import ModelpoolError
from modelpool.core.lifetime import die_with_parent
from modelpool.server.cli.client.connection import Connection
from modelpool.server.cli.client.credentials import Credentials
from modelpool.server.cli.client.failures import JobFailed, Refused
from modelpool.server.cli.client.jobs import follow
from modelpool.server.demo.access import TENANT, Access, load_access, make_access

MODEL = "breast-cancer"
_TARGET = "diagnosis"
_UNFINISHED = ("queued", "running")


def main() -> None:
    """Run the demonstration and print how to use it; an error is said, and the server goes on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    try:
        sys.stdout.write(run_demo(arguments.url, home=conf.home()))
    except ModelpoolError as error:
        sys.stderr.write(f"modelpool: the demo did not come to its end: {error}\n")
        sys.exit(1)


def run_demo(url: str, *, home: conf.Home) -> str:
    """Make what is missing of the demo and return what people need to know."""
    access = _working_access(url, home)
    row_file = home.path / "demo-row.json"
    with Connection(Credentials(url=url, key=access.scientist_key, tenant=TENANT)) as connection:
        if not row_file.exists() or _active_version(connection) is None:
            _train(connection, row_file)
    with Connection(Credentials(url=url, key=access.predictor_key, tenant=TENANT)) as connection:
        path = connection.path("models", MODEL, "predict")
        answer = connection.post(path, content=row_file.read_bytes(), headers={"Content-Type": "application/json"})
    return _explain(url, access, row_file=row_file, answer=answer)


def _working_access(url: str, home: conf.Home) -> Access:
    access = load_access(home)
    if access is not None and _is_accepted(url, access.scientist_key) and _is_accepted(url, access.predictor_key):
        return access
    return make_access(home)


def _is_accepted(url: str, key: str) -> bool:
    try:
        with Connection(Credentials(url=url, key=key, tenant=TENANT)) as connection:
            connection.get("me")
    except Refused:
        return False
    return True


def _active_version(connection: Connection) -> int | None:
    try:
        number: int | None = connection.get(connection.path("models", MODEL))["active_version"]
    except Refused:
        return None
    return number


def _train(connection: Connection, row_file: Path) -> None:
    sys.stdout.write("Demo: training a random forest on 569 examinations of breast tumours (Wisconsin, 1995) …\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="modelpool-demo-") as folder:
        table = Path(folder) / "breast-cancer.csv"
        command = [sys.executable, "-P", "-m", "modelpool.server.demo.data", str(table), str(row_file)]
        subprocess.run(command, check=True)
        job = follow(connection, _job(connection, table)["id"])
    if job["state"] != "succeeded":
        raise JobFailed(f"the training {job['state']}: {(job['error'] or {}).get('detail', '')}")
    connection.post(connection.path("models", MODEL, "versions", job["version"], "activate"), {})
    sys.stdout.write(
        f"Demo: version {job['version']} is active, accuracy {job['metrics']['accuracy']:.3f} on held-out rows.\n"
    )


def _job(connection: Connection, table: Path) -> dict[str, Any]:
    """Return the job of an earlier start that is still at it, or a new one."""
    for row in connection.rows(connection.path("jobs"), limit=1, model=MODEL):
        if row["state"] in _UNFINISHED:
            return row
    params = {"algorithm": "random_forest", "n_estimators": 100}
    request = {"trainer": "tabular_classifier", "target": _TARGET, "params": params, "activate": "always"}
    form = {"request": msgspec.json.encode(request).decode()}
    with table.open("rb") as file:
        files = {"data": (table.name, file, "text/csv")}
        job: dict[str, Any] = connection.post(
            connection.path("models", MODEL, "train"), once=True, data=form, files=files
        )
    return job


def _explain(url: str, access: Access, *, row_file: Path, answer: dict[str, Any]) -> str:
    prediction = answer["predictions"][0]
    return (
        f"\nConsole     {url}/console/\n"
        f"Login       {access.user} / {access.password}\n"
        f"Prediction  {MODEL} version {answer['version']} says {prediction!r} for the row in {row_file}\n"
        f"Try it      curl -s {url}/api/v1/tenants/{TENANT}/models/{MODEL}/predict \\\n"
        f"              -H 'Authorization: Bearer {access.predictor_key}' \\\n"
        f"              -H 'Content-Type: application/json' -d @{row_file}\n"
        f"Client      modelpool login {url} --key {access.scientist_key}\n"
        f"API         {url}/api/docs\n\n"
    )


if __name__ == "__main__":
    main()
