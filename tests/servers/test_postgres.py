"""The PostgreSQL of the tests is real, unprivileged, and gone when its test process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.house.source import ROOT
from tests.servers.postgres import start_postgres

pytestmark = pytest.mark.postgres

_START = """
import sys, time
from pathlib import Path
from tests.servers.postgres import start_postgres
server = start_postgres(Path(sys.argv[1]))
print(server._process.pid, server.url(), flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_the_tests_role_owns_databases_and_nothing_else(postgres_server):
    url = postgres_server.create_database("plain_role")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (x int)")
        assert connection.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = user").fetchone() == (
            False,
            False,
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER SYSTEM SET work_mem = '1MB'")


def test_a_wrong_password_is_refused(postgres_url):
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres_url.replace(":modelpool-tests@", ":guessed@"))


@pytest.mark.slow
def test_a_killed_server_keeps_what_was_committed(postgres_server):
    server = start_postgres(postgres_server.folder.parent / "to-be-killed")
    try:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS x")
            server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url(), connect_timeout=2)
        server.start(port=server.port)
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT x FROM kept").fetchone() == (42,)
    finally:
        server.stop()


@pytest.mark.slow
def test_it_ends_with_the_process_that_started_it(postgres_server, tmp_path_factory):
    folder = postgres_server.folder.parent / "second"
    starter = subprocess.Popen([sys.executable, "-c", _START, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert starter.stdout is not None
        pid, url = starter.stdout.readline().split()
        psycopg.connect(url).close()
    finally:
        starter.kill()
        starter.communicate()
    deadline = time.monotonic() + 20
    while _is_running(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_running(int(pid))


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_without_a_server_tests_are_skipped_here_and_fail_in_ci(ci, outcome, tmp_path):
    environment = {
        **os.environ,
        "CI": ci,
        "MODELPOOL_TEST_POSTGRES_BIN": str(tmp_path),
        "MODELPOOL_TEST_DATABASE": "sqlite",
    }
    test = f"{Path(__file__).relative_to(ROOT)}::{test_a_wrong_password_is_refused.__name__}"
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "no PostgreSQL found" in done.stdout


def test_databases_can_be_dropped_under_open_connections(postgres_server):
    url = postgres_server.create_database("short_lived")
    with psycopg.connect(url) as connection:
        postgres_server.execute(sql.SQL("DROP DATABASE short_lived WITH (FORCE)"))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_helper_sees_the_living_and_the_dead():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    assert _is_running(child.pid)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not _is_running(child.pid)
