"""A real server under load while versions are activated, rolled back and tried out: no prediction fails or is stale."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.server.processes import children_running
from tests.servers.modelpool import ServedModelpool, inherited_environment, serve_modelpool
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_PATH = "/api/v1/tenants/default/models/sums/predict"
_VERSIONS = (1, 2, 3)
_CLIENTS = 6
_SETTLE_S = 30.0
_INFINITY = float("inf")


@dataclass
class State:
    """A version that may answer: from the call that let it to when the next one had reached all workers."""

    version: int
    called_at: float
    answered_at: float = _INFINITY
    replaced_at: float = _INFINITY


@dataclass(frozen=True)
class Seen:
    """One answer."""

    began: float
    ended: float
    version: int


@dataclass
class Load:
    """Clients that predict without a pause, each over a connection of its own that is kept."""

    url: str
    key: str
    answers: list[list[Seen]] = field(default_factory=lambda: [[] for _ in range(_CLIENTS)])
    failures: list[str] = field(default_factory=list)
    lost: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, client: int) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                connection.request("POST", _PATH, body=b'{"instances": [[1.0]]}', headers=headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, HTTPException):
                self.lost += 1
                connection.close()
                time.sleep(0.02)
                continue
            self._check(client, began, response.status, body, response.headers)
        connection.close()

    def _check(self, client: int, began: float, status: int, body: bytes, headers: Any) -> None:
        if status != 200:
            self.failures.append(f"{status} {body[:300]!r}")
            return
        answer = json.loads(body)
        version = answer["version"]
        (value,) = answer["predictions"]
        said = value if isinstance(value, float) else value[0]
        if said != 1.0 + version or headers["x-modelpool-version"] != str(version):
            self.failures.append(f"version {version} answered {said}")
        self.answers[client].append(Seen(began, time.monotonic(), version))

    @contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self.ask_on, args=(client,)) for client in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(40)

    def settle(self, version: int) -> float:
        """Return when every client got ``version`` three times in a row."""

        def is_settled() -> bool:
            return all(
                len(seen) >= 3 and all(answer.version == version for answer in seen[-3:]) for seen in self.answers
            )

        wait_until(lambda: is_settled() or self.failures, f"version {version} everywhere", timeout_s=_SETTLE_S)
        return time.monotonic()

    def wrong(self, states: list[State]) -> list[Seen]:
        """Return the answers of versions that were not to answer between request and answer."""
        return [seen for client in self.answers for seen in client if not _was_right(seen, states)]


def _was_right(seen: Seen, states: list[State]) -> bool:
    return any(
        state.version == seen.version and state.called_at <= seen.ended and seen.began <= state.replaced_at
        for state in states
    )


@dataclass
class Site:
    served: ServedModelpool
    key: str
    api: httpx.Client

    def load(self) -> Load:
        return Load(self.served.url, self.key)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    home = fresh_path("swaps")
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as served:
        key = _key(home)
        base = f"{served.url}/api/v1/tenants/default"
        with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=60) as api:
            for version in _VERSIONS:
                metadata = {"activate": "always" if version == 1 else "never"}
                files = {"file": ("model.onnx", adds(version))}
                made = api.post("/models/sums/versions", files=files, data={"metadata": json.dumps(metadata)})
                assert made.status_code == 201, made.text
            yield Site(served, key, api)


def _key(home: Path) -> str:
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", "--tenant", "default", "--role", "scientist"]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])


Step = tuple[str, str, Any, int]
"""Method, address, body, and the version that answers from then on."""


def _activate(version: int) -> Step:
    return "POST", f"/models/sums/versions/{version}/activate", {}, version


def _steps() -> list[Step]:
    """Twenty-six changes; each has one version that answers everything after it."""
    canary = {"canary": {"version": 3, "percent": 100}, "shadow": {"version": 2, "percent": 100}}
    split = {"split": [{"version": 1, "percent": 0}, {"version": 2, "percent": 100}]}
    round_trip: list[Step] = [
        _activate(2),
        _activate(3),
        ("POST", "/models/sums/rollback", {}, 2),
        ("POST", "/models/sums/rollback", {}, 1),
        ("PUT", "/models/sums/traffic", canary, 3),
        ("DELETE", "/models/sums/traffic", None, 1),
        ("PUT", "/models/sums/traffic", split, 2),
        ("DELETE", "/models/sums/traffic", None, 1),
    ]
    promotion: list[Step] = [("PUT", "/models/sums/traffic", {"canary": canary["canary"]}, 3), _activate(3)]
    return [*round_trip * 3, *promotion]


def test_no_prediction_fails_or_is_stale_over_many_changes(site: Site, record_property: Any):
    states, took = [State(1, 0.0)], []
    with site.load().running() as load:
        load.settle(1)
        for method, address, body, version in _steps():
            state = State(version, time.monotonic())
            states.append(state)
            answer = site.api.request(method, address, json=body)
            assert answer.is_success, answer.text
            state.answered_at = time.monotonic()
            settled = load.settle(version)
            states[-2].replaced_at = settled
            took.append(settled - state.answered_at)
    took.sort()
    record_property("seconds_until_all_workers_answer", took)
    assert load.failures == []
    assert load.lost == 0
    assert load.wrong(states) == []
    assert {seen.version for client in load.answers for seen in client} == set(_VERSIONS)


def _activate_in_spite(site: Site, version: int) -> None:
    """Activate over a fresh connection: the one that is kept may have led to the worker that was killed."""
    with httpx.Client(base_url=site.api.base_url, headers=site.api.headers, timeout=60) as api:
        for attempt in range(3):
            try:
                assert api.post(f"/models/sums/versions/{version}/activate", json={}).status_code == 200
            except httpx.TransportError:
                assert attempt < 2
            else:
                return


def test_a_killed_worker_comes_back_with_the_right_version(site: Site):
    parent = site.served.process.pid
    assert site.api.post("/models/sums/versions/1/activate", json={}).status_code == 200
    with site.load().running() as load:
        load.settle(1)
        victim = children_running(parent, "modelpool.server.web")[0]
        os.kill(victim, signal.SIGKILL)
        _activate_in_spite(site, 2)
        load.settle(2)
        wait_until(lambda: len(set(children_running(parent, "modelpool.server.web")) - {victim}) == 2, "a new worker")
        assert site.api.post("/models/sums/versions/3/activate", json={}).status_code == 200
        load.settle(3)
    assert load.failures == []  # connections to the one that was killed break; nobody gets an error or a wrong answer
    assert load.lost <= _CLIENTS
