"""Keys and manifests in a real installation: made at the first start, and an older one's versions signed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.core.formats import hostile
from tests.servers.modelpool import ServedModelpool, inherited_environment, serve_modelpool

pytestmark = pytest.mark.slow


def modelpool(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "modelpool", *arguments]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def execute(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "modelpool.sqlite3", timeout=30) as database:
        database.execute(statement)
    database.close()


def client_of(served: ServedModelpool, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"{served.url}/api/v1/tenants/default/models", headers={"Authorization": f"Bearer {key}"}, timeout=60
    )


def upload(api: httpx.Client, name: str) -> None:
    made = api.post(
        f"/{name}/versions", files={"file": hostile.identity()}, data={"metadata": '{"activate": "always"}'}
    )
    assert made.status_code == 201, made.text


def predict(api: httpx.Client, name: str) -> httpx.Response:
    return api.post(f"/{name}/predict", json={"instances": [[1.0, 2.0]]})


def test_versions_from_before_are_signed_once_and_web_processes_open_no_private_key_of_workers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    arguments = ("--workers", "2", "--job-workers", "0")
    with serve_modelpool(home, *arguments) as served:
        key = json.loads(modelpool(home, "key", "create", "--tenant", "default", "--role", "admin", "--json"))["key"]
        (home / "keys/worker.key").unlink()  # a process that asked for it would make it again
        with client_of(served, key) as api:
            upload(api, "m")
            assert predict(api, "m").status_code == 200
        assert not (home / "keys/worker.key").exists()
    execute(home, "UPDATE modelpool_model_version SET manifest = NULL, manifest_signature = NULL, manifest_key = ''")
    shutil.rmtree(home / "keys")  # now it is an installation of before
    with serve_modelpool(home, *arguments) as served:
        with client_of(served, key) as api:
            assert predict(api, "m").status_code == 200
            execute(home, "UPDATE modelpool_model_version SET trust = 'trained'")
            upload(api, "other")  # the feed tells everybody to look at other models, not at this one
        assert "signed all 1 versions" in served.log()
    with serve_modelpool(home, *arguments) as served, client_of(served, key) as api:
        refused: dict[str, Any] = predict(api, "m").json()
        assert (refused["status"], refused["code"]) == (503, "quarantined")
        assert "its trust is not what was signed" in refused["detail"]
        assert predict(api, "other").status_code == 200
        assert api.get("/m/versions/1").json()["quarantine"]["cause"] == "manifest"
        execute(home, "UPDATE modelpool_model_version SET trust = 'uploaded-data'")
        assert api.post("/m/versions/1/release").status_code == 200
    listed = modelpool(home, "manage", "signing_keys", "list")
    assert "in use   2 versions  ingest:" in listed


def test_a_node_that_may_not_sign_does_not_train(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "modelpool.toml").write_text('[signing]\nworker_key_file = ""\n')
    with serve_modelpool(home, "--workers", "1", "--job-workers", "0") as served:
        assert httpx.get(f"{served.url}/healthz").status_code == 200
    assert not (home / "keys/worker.key").exists()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "modelpool", "worker", "--home", str(home)],
        env=inherited_environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "signing.worker_key_file is empty" in done.stderr
