"""A backup that is made as docs/howto/backup.md says, while uploads go on, and restored in an empty place."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connections

from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.servers.modelpool import inherited_environment, serve_modelpool
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.database]

Copy = Callable[[Path, Path], None]


def run(home: Path, *arguments: str) -> Any:
    command = [sys.executable, "-P", "-m", "modelpool", *arguments, "--home", str(home), "--json"]
    done = subprocess.run(command, env=inherited_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


class Uploads:
    """A client that registers one version after another; ``acknowledged`` is how many it was told are kept."""

    def __init__(self, url: str, key: str) -> None:
        self._where = {"base_url": f"{url}/api/v1/tenants/default", "headers": {"Authorization": f"Bearer {key}"}}
        self.acknowledged = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Uploads:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _go_on(self) -> None:
        with httpx.Client(**self._where, timeout=60) as api:  # type: ignore[arg-type]
            while not self._stop.is_set():
                number = self.acknowledged + 1
                files = {"file": ("model.onnx", adds(number))}
                made = api.post("/models/churn/versions", files=files, data={"metadata": '{"activate": "always"}'})
                if made.status_code != 201 or made.json()["number"] != number:
                    self.failures.append(made.text)
                    return
                self.acknowledged = number


def back_up_sqlite(home: Path, backup: Path) -> None:
    source, target = (sqlite3.connect(folder / "modelpool.sqlite3") for folder in (home, backup))
    with closing(source), closing(target):
        source.backup(target)


def restore_sqlite(backup: Path, home: Path) -> None:
    shutil.copy2(backup / "modelpool.sqlite3", home)


def copy_files(source: Path, target: Path) -> None:
    """Copy a folder in which files come and go."""

    def copy(old: str, new: str) -> None:
        with suppress(FileNotFoundError):
            shutil.copy2(old, new)

    shutil.copytree(source, target, copy_function=copy)


def copy_home(home: Path, target: Path) -> None:
    """Copy secrets, signing keys and settings, but neither the database nor artifacts."""
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("modelpool.sqlite3*", "artifacts", "cache", "run"))


@pytest.fixture
def databases(request: pytest.FixtureRequest) -> tuple[str, str, Copy, Copy]:
    """The addresses of the old and the new database, what backs up the one, and what restores into the other."""
    if connections["default"].vendor != "postgresql":
        url = "sqlite:///modelpool.sqlite3"
        return url, url, back_up_sqlite, restore_sqlite
    server = request.getfixturevalue("postgres_server")
    old, new = server.create_database("backup_old"), server.create_database("backup_new")

    def dump(_: Path, backup: Path) -> None:
        call(server.binaries / "pg_dump", "--format=custom", f"--file={backup / 'dump'}", old)

    def restore_dump(backup: Path, _: Path) -> None:
        call(server.binaries / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={new}", backup / "dump")

    return old, new, dump, restore_dump


def call(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_acknowledged_before_the_backup_answers_after_it(databases: Any) -> None:
    old_url, new_url, back_up, restore = databases
    home, backup, place = (fresh_path(name) for name in ("backed-up", "backup", "restored"))
    backup.mkdir()
    with serve_modelpool(home, "--workers", "1", "--job-workers", "0", database_url=old_url) as served:
        key = run(home, "key", "create", "--tenant", "default", "--role", "scientist")["key"]
        with Uploads(served.url, key) as uploads:
            wait_until(lambda: uploads.acknowledged >= 3 or uploads.failures, timeout_s=60)
            before = uploads.acknowledged
            back_up(home, backup)  # the database first
            between = uploads.acknowledged
            # one may have been committed before the dump and be counted after it, so that two at least are surplus
            wait_until(lambda: uploads.acknowledged >= between + 3 or uploads.failures, timeout_s=60)
            copy_files(home / "artifacts", backup / "artifacts")  # then the store
            copy_home(home, backup / "home")
        assert uploads.failures == []
    copy_home(backup / "home", place)
    settings = (place / "modelpool.toml").read_text()
    (place / "modelpool.toml").write_text(settings.replace(old_url, new_url))
    shutil.copytree(backup / "artifacts", place / "artifacts")
    restore(backup, place)
    verify_and_sweep(place)
    with serve_modelpool(place, "--workers", "1", "--job-workers", "0") as served:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{served.url}/api/v1/tenants/default/models/churn", headers=headers) as api:
            kept = api.get("/versions?page_size=100").json()["results"]
            assert max(version["number"] for version in kept) >= before
            for number in range(1, before + 1):
                answer = api.post(f"/versions/{number}/predict", json={"instances": [[1.0]]})
                assert answer.json().get("predictions") in ([1.0 + number], [[1.0 + number]]), answer.text
            assert api.post("/predict", json={"instances": [[1.0]]}).status_code == 200


def verify_and_sweep(place: Path) -> None:
    """Everything named is there; what came after the dump is surplus, and goes."""
    run(place, "store", "verify")
    swept = run(place, "store", "sweep", "--grace", "0s")
    assert swept["removed_objects"] >= 2
    assert swept["missing"] == []
    run(place, "store", "verify")
