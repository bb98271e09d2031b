"""A tenant's files move between stores while a real server predicts, hands out downloads and takes uploads."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.servers.modelpool import inherited_environment, serve_modelpool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_SETTINGS = """
[stores.disk]
kind = "filesystem"
path = "second"
"""
_MODELS = 6


def _modelpool(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "modelpool", *arguments, "--home", str(home), "--json"]


def run(home: Path, *arguments: str, check: bool = True) -> Any:
    done = subprocess.run(
        _modelpool(home, *arguments), env=inherited_environment(), capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Site:
    """A server with models whose answers and digests are known."""

    home: Path
    api: httpx.Client
    digests: dict[str, str]


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    home = fresh_path(request.node.name)
    home.mkdir(mode=0o700)
    (home / "modelpool.toml").write_text(_SETTINGS)
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as served:
        key = run(home, "key", "create", "--tenant", "default", "--role", "scientist")["key"]
        base, headers = f"{served.url}/api/v1/tenants/default", {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=base, headers=headers, timeout=60) as api:
            digests = {}
            for number in range(_MODELS):
                digests[f"m{number}"] = upload(api, f"m{number}", number)
            yield Site(home, api, digests)


def upload(api: httpx.Client, model: str, number: int) -> str:
    data = adds(number)
    made = api.post(
        f"/models/{model}/versions",
        files={"file": ("model.onnx", data)},
        data={"metadata": json.dumps({"activate": "always"})},
    )
    assert made.status_code == 201, made.text
    assert made.json()["sha256"] == hashlib.sha256(data).hexdigest()
    return hashlib.sha256(data).hexdigest()


@dataclass
class Clients:
    """Threads that use all models without a pause, and look at every answer."""

    site: Site
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Clients:
        self._threads = [threading.Thread(target=self._go_on, args=(start,)) for start in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _go_on(self, number: int) -> None:
        with httpx.Client(base_url=self.site.api.base_url, headers=self.site.api.headers, timeout=60) as api:
            while not self._stop.is_set():
                number = (number + 1) % _MODELS
                try:
                    self._use(api, number)
                except (AssertionError, httpx.HTTPError) as error:
                    self.failures.append(f"m{number}: {error!r}")

    def _use(self, api: httpx.Client, number: int) -> None:
        answer = api.post(f"/models/m{number}/predict", json={"instances": [[1.0]]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] in ([1.0 + number], [[1.0 + number]])
        file = api.get(f"/models/m{number}/versions/1/download")
        assert file.status_code == 200, file.text
        assert hashlib.sha256(file.content).hexdigest() == self.site.digests[f"m{number}"]
        self.answered += 1


def test_nothing_fails_while_files_move_there_and_back(site: Site) -> None:
    with Clients(site) as clients:
        for number, to in enumerate(("rows", "disk", "rows", "default")):
            before = clients.answered
            moved = run(site.home, "store", "move", "--tenant", "default", "--to", to, "--keep", "2s")
            assert [row["failed"] for row in moved] == [{}]
            assert moved[0]["files"] >= _MODELS
            upload(site.api, "new", number)
            assert clients.answered > before
    assert clients.failures == []
    report = run(site.home, "store", "verify")
    assert report["damages"] == []
    swept = run(site.home, "store", "sweep", "--grace", "0s")
    assert (swept["missing"], swept["removed_objects"]) == ([], 0)


def test_a_move_killed_again_and_again_comes_to_its_end(site: Site) -> None:
    """Of the steps, those after which nobody has to wait until a dead process's lease ends."""
    move = ("store", "move", "--tenant", "default", "--to", "rows", "--keep", "0s")
    with Clients(site) as clients:
        for step in ("replica.ready:2", "replica.placing:1", "replica.placed:2", "replica.removed:3"):
            environment = {**inherited_environment(), "MODELPOOL_FAILPOINT": step}
            done = subprocess.run(_modelpool(site.home, *move), env=environment, capture_output=True, check=False)
            assert done.returncode == -signal.SIGKILL, done.stderr
        (moved,) = run(site.home, *move)
    assert moved["failed"] == {}
    assert clients.failures == []
    assert clients.answered > 0
    assert run(site.home, "store", "verify", "--store", "rows")["files"] == _MODELS
    swept = run(site.home, "store", "sweep", "--grace", "0s")
    assert (swept["missing"], swept["skipped"]) == ([], {})
    assert [path for path in (site.home / "artifacts").glob("*/*") if path.is_file()] == []
