from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.servers.modelpool import serve_modelpool
from tests.waiting import wait_until

_FILES = ("modelpool.sqlite3", "modelpool.sqlite3-wal", "modelpool.sqlite3-shm")


@pytest.mark.slow
def test_a_database_that_is_moved_away_is_missed_not_replaced_and_found_again_when_it_is_back(tmp_path: Path):
    home, away = tmp_path / "home", tmp_path / "away"
    away.mkdir()
    with serve_modelpool(home, "--workers", "1", "--job-workers", "1") as served:
        wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 200)
        _move(home, away)

        wait_until(lambda: "database" in httpx.get(f"{served.url}/readyz").json().get("reasons", []))
        httpx.get(f"{served.url}/api/v1/tenants/nobody/models/none")  # asks the database
        assert not any((home / name).exists() for name in _FILES)

        _move(away, home)
        wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 200)


def _move(source: Path, target: Path) -> None:
    for name in _FILES:
        if (source / name).exists():
            (source / name).rename(target / name)
