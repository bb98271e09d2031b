"""A PostgreSQL with fewer connections than the servers would keep: some answers are 503, none hangs or is a 500."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from psycopg import sql

from tests.servers.modelpool import inherited_environment, serve_modelpool
from tests.servers.postgres import PostgresServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

_ALLOWED = 11
"""Of two web processes: each has one that listens, one that looks for changes, and one for each of its threads."""
_AT_ONCE = 40


@pytest.mark.parametrize("pool", [0, 1, 2])
def test_requests_wait_in_a_pool_and_are_told_to_come_again_without(
    postgres_server: PostgresServer, tmp_path: Path, pool: int
) -> None:
    name = f"crowded_{pool}"
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "modelpool.toml").write_text(
        f'[database]\nurl = "{postgres_server.create_database(name)}"\npool = {pool}\n'
    )
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as served:
        wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 200)
        headers = {"Authorization": f"Bearer {_make_key(home)}"}
        _allow(postgres_server, name, _ALLOWED)
        with httpx.Client(base_url=served.url, timeout=60, headers=headers) as client:

            def ask(number: int) -> httpx.Response:
                return client.get(f"/api/v1/tenants/default/models?page_size={number % 100 + 1}")

            with ThreadPoolExecutor(_AT_ONCE) as callers:
                answers = list(callers.map(ask, range(400)))
            counted = Counter(answer.status_code for answer in answers)
            assert set(counted) == ({200} if pool else {200, 503}), counted
            assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 503)
            _allow(postgres_server, name, -1)
            wait_until(lambda: all(ask(number).status_code == 200 for number in range(20)))


def _make_key(home: Path) -> str:
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", "--tenant", "default", "--role", "viewer"]
    done = subprocess.run(
        [*command, "--json", "--home", str(home)], check=True, capture_output=True, env=inherited_environment()
    )
    key: str = json.loads(done.stdout)["key"]
    return key


def _allow(server: PostgresServer, name: str, count: int) -> None:
    statement = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(sql.Identifier(name), sql.Literal(count))
    server.execute(statement, user="postgres")
