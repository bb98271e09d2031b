"""Two nodes on one PostgreSQL and the same stores: they work on the same models, and they or the database fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpool.storage.failpoints import MOVE_STEPS
from tests.faults.mischief import NODE_KILLED, of_postgres
from tests.faults.site import BUCKETS, DISK, ROWS, SHARE, Remote, Site, open_site
from tests.faults.trial import begin_trial
from tests.sandbox import fresh_path
from tests.servers.postgres import PostgresServer, start_postgres

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def own_postgres(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped: other tests of this process use the other one."""
    server = start_postgres(fresh_path("faults-postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def site(own_postgres: PostgresServer, remote: Remote) -> Iterator[Site]:
    with open_site(
        fresh_path("failing-nodes"), remote, database_url=own_postgres.create_database("faults"), nodes=2
    ) as site:
        yield site


@pytest.mark.parametrize("number", range(3), ids=["stopped", "connections ended", "hangs"])
def test_the_database_fails(site: Site, own_postgres: PostgresServer, number: int, tmp_path: Path) -> None:
    with begin_trial(site, tmp_path / "history.jsonl", models=1) as trial:
        with trial.load():
            trial.endure(of_postgres(own_postgres)[number])
        assert trial.conclude() == []


def test_a_node_is_killed(site: Site, tmp_path: Path) -> None:
    with begin_trial(site, tmp_path / "history.jsonl", models=1) as trial:
        with trial.load():
            trial.endure(NODE_KILLED)
        assert trial.conclude() == []


def test_two_move_the_same_files_while_two_nodes_work_on_them(site: Site, tmp_path: Path) -> None:
    with begin_trial(site, tmp_path / "history.jsonl", stores=[DISK, BUCKETS], models=1) as trial:
        tenant = site.tenants[DISK]
        with trial.load(each=4):
            movers = [threading.Thread(target=trial.move, args=(tenant, SHARE)) for _ in range(2)]
            for mover in movers:
                mover.start()
            for mover in movers:
                mover.join()
        trial.finish_move(tenant, SHARE)
        assert trial.conclude() == []


def test_a_mover_is_killed_at_every_step_while_two_nodes_work(site: Site, tmp_path: Path) -> None:
    with begin_trial(site, tmp_path / "history.jsonl", stores=[BUCKETS], models=1) as trial:
        tenant = site.tenants[BUCKETS]
        with trial.load(each=4):
            for step, to in zip(MOVE_STEPS, (ROWS, SHARE, BUCKETS, DISK, ROWS, SHARE, BUCKETS), strict=True):
                assert trial.is_killed(tenant, to, step=step), f"{step} was not reached"
                site.database.age()
        trial.finish_move(tenant, BUCKETS)
        assert trial.conclude() == []
