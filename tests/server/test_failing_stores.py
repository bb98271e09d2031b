"""A real server whose store goes away and comes back: operators are told of both."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.server.tus_site import run_command
from tests.servers.modelpool import serve_modelpool
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_store_that_goes_and_comes_back_is_recorded():
    home = fresh_path("failing-stores")
    home.mkdir(mode=0o700, parents=True)
    with serve_modelpool(home, "--workers", "2", "--job-workers", "1") as served:
        key = run_command(home, "key", "create", "--tenant", "default", "--role", "scientist")["key"]
        with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as api:
            versions = "/api/v1/tenants/default/models/one/versions"
            assert api.post(versions, files={"file": adds(1.0)}).status_code == 201
            assert _troubles(home) == []
            (home / "artifacts").rename(home / "away")
            assert api.get(f"{versions}/1/download").status_code == 503
            wait_until(lambda: _troubles(home), "the failure to be told", timeout_s=20)
            [(store, worked_at, detail)] = _troubles(home)
            assert (store, worked_at) == ("default", None)
            assert "artifact store" in detail
            (home / "away").rename(home / "artifacts")
            assert api.get(f"{versions}/1/download").status_code == 200
            wait_until(lambda: _troubles(home)[0][1] is not None, "that it works to be told", timeout_s=30)


def _troubles(home: Path) -> list[tuple[str, str | None, str]]:
    with closing(sqlite3.connect(home / "modelpool.sqlite3", timeout=30)) as database:
        return database.execute("select store, worked_at, detail from modelpool_store_trouble").fetchall()
