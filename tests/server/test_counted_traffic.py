"""A real server with two web processes: one rate for a tenant, and metrics that are exact whoever is asked or dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.server.processes import children_running
from tests.servers.modelpool import ServedModelpool, inherited_environment, serve_modelpool
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

WEB = "modelpool.server.web"
_PREDICT = "/api/v1/tenants/default/models/one/predict"
_BODY = b'{"instances": [[1.0]]}'


@pytest.fixture(scope="module")
def served() -> Iterator[ServedModelpool]:
    with serve_modelpool(fresh_path("counted-home"), "--workers", "2", "--job-workers", "0") as served:
        key = _key(served.home, "--tenant", "default", "--role", "scientist")
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"{served.url}/api/v1/tenants/default/models", headers=headers, timeout=60) as api:
            made = api.post("/one/versions", files={"file": adds(1.0)}, data={"metadata": '{"activate": "always"}'})
            assert made.status_code == 201, made.text
        yield served


@pytest.fixture(scope="module")
def operator(served: ServedModelpool) -> str:
    return _key(served.home, "--operator")


@pytest.fixture(scope="module")
def predictor(served: ServedModelpool) -> str:
    return _key(served.home, "--tenant", "default", "--role", "predictor")


def _key(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", *arguments, "--json"]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])


def _ask(url: str, key: str, times: int, *, per_connection: int = 1) -> list[int]:
    """Return the statuses of predictions over many connections, so that both web processes get some."""
    statuses = []
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for at in range(times):
        if at % per_connection == 0:
            connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("POST", _PREDICT, body=_BODY, headers=headers)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        if (at + 1) % per_connection == 0:
            connection.close()
    return statuses


def _samples(url: str, key: str) -> dict[tuple[str, ...], float]:
    page = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {key}"}).text
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.values())] = sample.value
    return found


def test_counts_are_exact_over_all_processes_also_when_they_die(served, operator, predictor):
    counted = ("modelpool_predictions_total", *sorted(("v1", "200", "default", "one", "1")))
    timed = ("modelpool_prediction_seconds_count", *sorted(("default", "one", "1")))
    before = _samples(served.url, operator).get(counted, 0.0)
    with ThreadPoolExecutor(4) as threads:
        found = [status for some in threads.map(lambda _: _ask(served.url, predictor, 20), range(4)) for status in some]
    assert set(found) == {200}
    wait_until(lambda: _samples(served.url, operator).get(counted) == before + 80, "all to be counted")
    assert _samples(served.url, operator)[timed] == before + 80
    old = children_running(served.process.pid, WEB)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid not in children_running(served.process.pid, WEB), "the death")
        wait_until(lambda: len(children_running(served.process.pid, WEB)) == 2, "another web process")
        wait_until(lambda: _is_ready(served.url), "it to be ready", timeout_s=30)
    assert _samples(served.url, operator)[counted] == before + 80
    assert _ask(served.url, predictor, 3) == [200] * 3
    wait_until(lambda: _samples(served.url, operator).get(counted) == before + 83, "the new ones to count on")
    wait_until(lambda: _samples(served.url, operator).get(("modelpool_ready",)) == 1, "the vitals")
    assert not any("default" in labels for labels in _samples(served.url, predictor))


def test_rate_is_one_for_both_processes(served, operator, predictor):
    rate, burst, seconds = 40.0, 10, 3.0
    _limit(served, operator, {"predictions_per_second": rate, "burst": burst})
    deadline = time.monotonic() + 10
    while _ask(served.url, predictor, burst * 3)[-1] != 429:
        assert time.monotonic() < deadline
    time.sleep(burst / rate)  # the account is settled
    admitted = [0] * 8
    barrier = threading.Barrier(8)

    def hammer(at: int) -> float:
        barrier.wait()
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            found = _ask(served.url, predictor, 10, per_connection=10)
            assert set(found) <= {200, 429}
            admitted[at] += found.count(200)
        return time.monotonic() - start

    with ThreadPoolExecutor(8) as threads:
        took = max(threads.map(hammer, range(8)))
    _limit(served, operator, {"predictions_per_second": None, "burst": None})
    assert rate * seconds * 0.95 <= sum(admitted) <= (rate * took + burst) * 1.05


def _limit(served: ServedModelpool, operator: str, quota: dict[str, float | None]) -> None:
    headers = {"Authorization": f"Bearer {operator}"}
    changed = httpx.patch(f"{served.url}/api/v1/tenants/default", json=quota, headers=headers, timeout=30)
    assert changed.status_code == 200, changed.text


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False
