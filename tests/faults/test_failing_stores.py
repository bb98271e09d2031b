"""Stores and disks fail under a real server at work: nothing acknowledged is lost, and neighbours do not notice."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from modelpool.storage.failpoints import STEPS
from tests.faults.mischief import DATABASE_LOCKED, OF_DISKS, OF_STORES, WORKERS_KILLED, Mischief, killed_at
from tests.faults.site import DISK, SHARE, Remote, Site, open_site
from tests.faults.trial import begin_trial
from tests.sandbox import fresh_path

pytestmark = [pytest.mark.slow, pytest.mark.database, pytest.mark.timeout(300)]

MISCHIEFS = [*OF_STORES, *OF_DISKS, WORKERS_KILLED, DATABASE_LOCKED]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, remote: Remote) -> Iterator[Site]:
    """A server with two web processes, on the kind of database that is being tested."""
    url = ""
    if connections["default"].vendor == "postgresql":
        url = request.getfixturevalue("postgres_server").create_database(f"faults_{uuid.uuid4().hex[:12]}")
    with open_site(fresh_path("failing-stores"), remote, database_url=url) as site:
        yield site


@pytest.mark.parametrize("mischief", MISCHIEFS, ids=str)
def test_what_was_acknowledged_is_there_and_nothing_else(site: Site, mischief: Mischief, tmp_path: Path) -> None:
    if mischief is DATABASE_LOCKED and not site.database.is_sqlite:
        pytest.skip("PostgreSQL has no lock of the whole database; its faults are in test_failing_nodes.py")
    with begin_trial(site, tmp_path / "history.jsonl", models=1) as trial:
        with trial.load():
            trial.endure(mischief)
        assert trial.conclude() == []


def test_web_processes_killed_at_every_step(site: Site, tmp_path: Path) -> None:
    with begin_trial(site, tmp_path / "history.jsonl") as trial:
        with trial.load():
            for step in STEPS:
                trial.endure(killed_at(step))
        assert trial.conclude() == []
    assert site.leftovers() == []


def test_what_somebody_does_to_the_stores_is_seen(site: Site, tmp_path: Path) -> None:
    """These tests could fail."""
    with begin_trial(site, tmp_path / "history.jsonl", stores=[DISK, SHARE], models=1) as trial:
        mine = max((path for path in site.disk.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime)
        kept = mine.read_bytes()
        mine.write_bytes(kept[:-1] + b"?")
        assert any("is not what it says" in fault for fault in trial.compared())
        mine.write_bytes(kept)
        mine.rename(mine.with_name("0" * 32))
        found = site.unaccounted()
        assert any("which no row names" in fault for fault in found)
        assert any("lacks" in fault for fault in found)
        mine.with_name("0" * 32).rename(mine)
        trial.history.of("register", trial.tenants[0].name, trial.models[0])[0].sha256 = "0" * 64
        assert any("has changed" in fault for fault in trial.compared())
