"""Two nodes on one PostgreSQL and one store behind the real HAProxy: nodes go and come, and no prediction fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox import fresh_path
from tests.server.processes import children_running
from tests.servers.haproxy import HAProxy, HAProxyUnavailable, balance, find_haproxy
from tests.servers.modelpool import ServedModelpool, inherited_environment, serve_modelpool
from tests.servers.postgres import PostgresServer, start_postgres
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(300)]

WEB = "modelpool.server.web"
_SETTINGS = """
[server]
drain_delay = "2s"
trusted_proxies = ["127.0.0.1"]
[serving]
preload = "active"
[stores.default]
kind = "filesystem"
path = "{store}"
[database]
url = "{database}"
"""
_PATH = "/api/v1/tenants/default/models/sums/predict"
_THREADS = 6


class Node:
    """One ``modelpool serve`` that can be ended and started again at the same address."""

    def __init__(self, home: Path, *, job_workers: int) -> None:
        self.home = home
        self.port = 0
        self._job_workers = job_workers
        self._stack = ExitStack()
        self.served: ServedModelpool | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.served is not None
        return self.served.process.pid

    def start(self) -> None:
        options = ["--workers", "2", "--job-workers", str(self._job_workers), "--port", str(self.port)]
        self.served = self._stack.enter_context(serve_modelpool(self.home, *options))
        self.port = urlsplit(self.served.url).port or 0

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self._stack.close()

    def kill(self) -> None:
        assert self.served is not None
        self.served.process.kill()
        self.served.process.wait(10)
        self._stack.close()


@dataclass
class Load:
    """Threads that predict without a pause over connections that are kept, and look at every answer."""

    url: str
    key: str
    expected: object
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask_on(self) -> None:
        connection = None
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        while not self._stop.is_set():
            connection = connection or HTTPConnection(urlsplit(self.url).netloc, timeout=30)
            try:
                connection.request("POST", _PATH, body=b'{"instances": [[1.0, 2.0]]}', headers=headers)
                response = connection.getresponse()
                body = response.read()
                problem = self._problem_with(response.status, body)
            except (OSError, HTTPException) as error:
                problem = repr(error)
                connection.close()
                connection = None
            with self._lock:
                if problem:
                    self.failures.append(f"{time.monotonic():.2f} {problem}")
                else:
                    self.answered += 1
        if connection is not None:
            connection.close()

    def _problem_with(self, status: int, body: bytes) -> str:
        if status != 200:
            return f"{status} {body[:300]!r}"
        predictions = json.loads(body)["predictions"]
        return "" if predictions == self.expected else f"wrong answer {predictions}"

    @contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self.ask_on) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(40)

    def wait_for(self, more: int) -> None:
        """Wait until so many more were answered."""
        goal = self.answered + more
        wait_until(lambda: self.answered >= goal or self.failures, f"{more} more answers", timeout_s=60)


@dataclass
class Cluster:
    nodes: list[Node]
    balancer: HAProxy
    key: str
    expected: object

    def load(self) -> Load:
        return Load(self.balancer.url, self.key, self.expected)

    def wait_until_up(self) -> None:
        for name in ("one", "two"):
            wait_until(lambda name=name: self.balancer.state_of(name) == "UP", f"{name} to be up", timeout_s=60)


@pytest.fixture(scope="module")
def own_postgres(postgres_server) -> Iterator[PostgresServer]:
    """A server that may be stopped: other tests of this process use the other one."""
    server = start_postgres(fresh_path("two-nodes-postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster(own_postgres) -> Iterator[Cluster]:
    try:
        find_haproxy()
    except HAProxyUnavailable as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have every server: {error}", pytrace=False)
        pytest.skip(str(error))
    folder = fresh_path("two-nodes")
    settings = _SETTINGS.format(store=folder / "store", database=own_postgres.create_database("two_nodes"))
    nodes = [Node(folder / "one", job_workers=1), Node(folder / "two", job_workers=0)]
    for node in nodes:
        node.home.mkdir(mode=0o700, parents=True)
        (node.home / "modelpool.toml").write_text(settings)
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.stop)
            node.start()
            _share_secrets(nodes)
        key = _key(nodes[0].home)
        _train(f"http://{nodes[0].address}", key)
        balancer = stack.enter_context(balance(*(node.address for node in nodes), folder=folder))
        answers = [_predict(f"http://{node.address}", key) for node in nodes]
        assert answers[0] == answers[1]
        yield Cluster(nodes, balancer, key, answers[0])


def _share_secrets(nodes: list[Node]) -> None:
    """The second node begins with what the first one made: its secret, and the keys that sign."""
    source, target = nodes[0].home, nodes[1].home
    if nodes[1].served is None:
        subprocess.run(["cp", "-a", str(source / "secret_key"), str(target)], check=True)
        if (source / "keys").exists():
            subprocess.run(["cp", "-a", str(source / "keys"), str(target)], check=True)


def _key(home: Path) -> str:
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", "--tenant", "default", "--role", "scientist"]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])


def _train(url: str, key: str) -> None:
    rows = "a,b,sum\n" + "".join(f"{a},{b},{2 * a + b}\n" for a in range(20) for b in range(5))
    wish = {"trainer": "tabular_regressor", "target": "sum", "params": {"algorithm": "linear"}, "activate": "always"}
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{url}/api/v1/tenants/default", headers=headers, timeout=60) as api:
        trained = api.post("/models/sums/train", files={"data": ("t.csv", rows)}, data={"request": json.dumps(wish)})
        assert trained.status_code == 202, trained.text
        job = f"/jobs/{trained.json()['id']}"
        wait_until(lambda: api.get(job).json()["state"] not in ("queued", "running"), "the job", timeout_s=60)
        assert api.get(job).json()["state"] == "succeeded", api.get(job).text


def _predict(url: str, key: str) -> object:
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{url}{_PATH}", json={"instances": [[1.0, 2.0]]}, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_rolling_restart_loses_no_prediction(cluster):
    cluster.wait_until_up()
    with cluster.load().running() as load:
        for node in cluster.nodes:
            load.wait_for(500)
            node.stop()
            load.wait_for(500)
            node.start()
            cluster.wait_until_up()
        load.wait_for(500)
    assert load.failures == []
    assert load.answered > 2500


def test_new_web_processes_lose_no_prediction(cluster):
    cluster.wait_until_up()
    with cluster.load().running() as load:
        for node in cluster.nodes:
            _renew(node)
            load.wait_for(500)
    assert load.failures == []
    assert load.answered > 1000


def _renew(node: Node) -> None:
    """Put new web processes in the place of the old ones."""
    before = set(children_running(node.pid, WEB))
    os.kill(node.pid, signal.SIGHUP)
    wait_until(lambda: not before & set(children_running(node.pid, WEB)), "all to be new", timeout_s=60)


def test_killed_node_loses_no_prediction(cluster):
    cluster.wait_until_up()
    with cluster.load().running() as load:
        load.wait_for(500)
        cluster.nodes[1].kill()
        load.wait_for(1000)
        cluster.nodes[1].start()
        cluster.wait_until_up()
        load.wait_for(500)
    assert load.failures == []


def test_node_that_leaves_says_so_before_it_refuses_connections(cluster):
    cluster.wait_until_up()
    node = cluster.nodes[1]
    os.kill(node.pid, signal.SIGTERM)
    url = f"http://{node.address}"
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 503, "the node to leave")
    assert httpx.get(f"{url}/readyz").json()["reasons"] == ["draining"]
    assert _predict(url, cluster.key) == cluster.expected
    wait_until(lambda: cluster.balancer.state_of("two") == "DOWN", "the balancer to see it")
    node.stop()
    node.start()
    cluster.wait_until_up()


def test_predictions_go_on_through_the_balancer_while_the_database_is_away(cluster, own_postgres):
    for node in cluster.nodes:
        _renew(node)  # these were not asked anything yet
    cluster.wait_until_up()
    with cluster.load().running() as load:
        own_postgres.stop()
        try:
            for name in ("one", "two"):
                wait_until(lambda name=name: cluster.balancer.state_of(name).startswith("DOWN"), "no node to be ready")
            load.wait_for(500)
        finally:
            own_postgres.start(port=own_postgres.port)
        cluster.wait_until_up()
        load.wait_for(500)
    assert load.failures == []
