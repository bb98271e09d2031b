"""A server that is asked for more than it can answer says so at once, and does not leave its balancer for that."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.onnx_files import adds
from tests.servers.modelpool import inherited_environment, serve_modelpool
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

_THREADS = 16
_lock = threading.Lock()


def test_overload_is_refused_and_counted_and_is_no_reason_to_be_not_ready(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "modelpool.toml").write_text("[serving]\nmax_queue = 2\n")
    with serve_modelpool(home, "--workers", "1", "--job-workers", "0") as served:
        key = _key(home)
        with httpx.Client(base_url=f"{served.url}/api/v1/tenants/default/models", timeout=60) as api:
            api.headers["Authorization"] = f"Bearer {key}"
            form = {"metadata": '{"activate": "always"}'}
            assert api.post("/one/versions", files={"file": adds(1.0)}, data=form).status_code == 201
            assert api.post("/one/predict", json={"instances": [[1.0]]}).status_code == 200
        statuses, stop = Counter[int](), threading.Event()
        threads = [threading.Thread(target=_hammer, args=(served.url, key, statuses, stop)) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: statuses[503] > 200 and statuses[200] > 50, "refusals and answers")
            ready = [httpx.get(f"{served.url}/readyz").status_code for _ in range(20)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert ready == [200] * 20
        assert set(statuses) == {200, 503}
        wait_until(lambda: _rejected(served.url) == statuses[503], "the refusals to be counted")


def _hammer(url: str, key: str, statuses: Counter[int], stop: threading.Event) -> None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    while not stop.is_set():
        path = "/api/v1/tenants/default/models/one/predict"
        connection.request("POST", path, body=b'{"instances": [[1.0]]}', headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200 or answer.headers["Retry-After"]
        with _lock:
            statuses[answer.status] += 1
        time.sleep(0.001 * (answer.status == 503))
    connection.close()


def _rejected(url: str) -> float:
    families = {family.name: family for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text)}
    samples = families["modelpool_rejected"].samples
    return sum(sample.value for sample in samples if sample.labels["reason"] == "overloaded")


def _key(home: Path) -> str:
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", "--tenant", "default", "--role", "scientist"]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])
