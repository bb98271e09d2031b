"""``modelpool serve`` as a process tree: it starts, heals, drains and ends as promised."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox import fresh_path
from tests.server.processes import children_running, descendants_of, is_alive
from tests.servers.modelpool import inherited_environment, serve_modelpool
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
WEB = "modelpool.server.web"


def _modelpool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "modelpool", *arguments]
    return subprocess.run(command, env=inherited_environment(), capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def served():
    with serve_modelpool(fresh_path("serve-home"), "--workers", "2", "--job-workers", "0") as served:
        yield served


def test_healthy_ready_and_measured_for_anybody_under_any_name(served):
    assert httpx.get(f"{served.url}/api/v1/me").status_code == 401  # one to be counted
    with httpx.Client(base_url=served.url, headers={"Host": "10.1.2.3"}) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.post("/readyz").status_code == 405
        assert client.get("/api/v1/me").json()["code"] == "unknown_host"
        metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "modelpool_http_request_seconds" in metrics.text


def test_ids_of_requests_are_sent_back_on_every_lane(served):
    with httpx.Client(base_url=served.url, headers={"X-Request-Id": "my.id-1"}) as client:
        for path in ("/api/v1/me", "/api/v1/tenants/default/models/x/predict", "/nowhere"):
            assert client.post(path).headers["x-request-id"] == "my.id-1"


def test_console_has_its_styles_and_safe_headers(served):
    with httpx.Client(base_url=served.url, follow_redirects=True) as client:
        page = client.get("/console/")
        assert page.status_code == 200
        assert (page.headers["x-frame-options"], page.headers["x-content-type-options"]) == ("DENY", "nosniff")
        style = client.get(
            page.text.partition('rel="stylesheet"')[0].rpartition('href="')[2].partition('"')[0]
            or "/static/unfold/css/styles.css"
        )
        assert style.status_code == 200
        assert style.headers["content-type"].startswith("text/css")


def test_second_server_of_a_home_is_refused(served):
    done = _modelpool("serve", "--home", str(served.home), "--port", "0")
    assert done.returncode == 1
    assert f"is served already, by process {served.process.pid} at {served.url}" in done.stderr


def test_taken_port_is_said(served, tmp_path):
    port = urlsplit(served.url).port
    done = _modelpool("serve", "--home", str(tmp_path), "--port", str(port))
    assert done.returncode == 78
    assert f"127.0.0.1:{port} is in use" in done.stderr


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nportt = 1\n", "portt"),
        ("[server\n", "modelpool.toml"),
        ('[database]\nurl = "mysql://x/y"\n', "database.url"),
        ('[database]\nurl = "sqlite:////no/such/folder/x.sqlite3"\n', "database.url"),
        ('[server]\nallowed_hosts = ["*"]\n', "server.allowed_hosts"),
    ],
)
def test_wrong_setting_ends_the_start_and_is_named(tmp_path, text, named):
    (tmp_path / "modelpool.toml").write_text(text)
    done = _modelpool("serve", "--home", str(tmp_path), "--port", "0", "--workers", "1")
    assert done.returncode == 78
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_weak_secret_ends_the_start(tmp_path):
    secret = tmp_path / "secret_key"
    secret.write_text("short")
    secret.chmod(0o600)
    done = _modelpool("serve", "--home", str(tmp_path), "--port", "0", "--workers", "1")
    assert done.returncode == 78
    assert "weak secret" in done.stderr


def test_killed_web_process_is_replaced_and_others_go_on(served):
    before = children_running(served.process.pid, WEB)
    os.kill(before[0], signal.SIGKILL)
    with httpx.Client(base_url=served.url) as client:
        wait_until(lambda: before[0] not in children_running(served.process.pid, WEB), "the death")
        assert client.get("/readyz").status_code == 200
    wait_until(lambda: len(children_running(served.process.pid, WEB)) == 2, "another web process")
    wait_until(lambda: "web 1 ended (killed by SIGKILL)" in served.log() or "web 2 ended" in served.log(), "the log")


def test_hangup_replaces_the_web_processes_and_no_request_fails(served):
    before = set(children_running(served.process.pid, WEB))
    failures, answered, stop = [], [0], threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url) as client:
            while not stop.is_set():
                try:
                    answered[0] += client.get("/api/v1/me").status_code == 401
                except httpx.HTTPError as error:
                    failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    served.process.send_signal(signal.SIGHUP)
    try:
        wait_until(lambda: not before & set(children_running(served.process.pid, WEB)), "all to be new", timeout_s=60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(children_running(served.process.pid, WEB)) == 2
    assert failures == []
    assert answered[0] > 10


def test_upload_that_breaks_off_leaves_no_file(served):
    key = _modelpool("key", "create", "--operator", "--home", str(served.home)).stdout.strip()
    tmp = served.home / "tmp"
    with _connect(served.url) as connection:
        head = f"POST /api/v1/tenants/default/datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        connection.sendall(f"{head}Content-Type: text/csv\r\nContent-Length: 50000000\r\n\r\n".encode())
        connection.sendall(b"a,b\n" * 1_000_000)
    wait_until(lambda: not list(tmp.iterdir()), "temporary files to be gone")
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.get("/api/v1/tenants/default/datasets").json()["results"] == []


def test_sigterm_lets_a_request_finish_and_ends_everything(tmp_path):
    with serve_modelpool(tmp_path / "home", "--workers", "1", "--job-workers", "0") as served:
        family = descendants_of(served.process.pid)
        with _connect(served.url) as connection:
            connection.sendall(b"POST /api/v1/me HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nab")
            assert httpx.get(f"{served.url}/healthz").status_code == 200  # the server has seen the other one by now
            served.process.terminate()
            wait_until(lambda: not _accepts(served.url), "no more connections")
            assert served.process.poll() is None
            connection.sendall(b"cd")
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
        assert served.process.wait(20) == 0
    wait_until(lambda: not any(map(is_alive, family)), "all processes to end")


def test_killed_supervisor_takes_its_children_along_and_the_next_start_works(tmp_path):
    home = tmp_path / "home"
    with serve_modelpool(home, "--workers", "1", "--job-workers", "1") as served:
        wait_until(lambda: children_running(served.process.pid, "modelpool.server.jobs"), "the job process")
        family = descendants_of(served.process.pid)
        served.process.kill()
        served.process.wait(10)
        wait_until(lambda: not any(map(is_alive, family)), "all processes to end")
    with serve_modelpool(home, "--workers", "1", "--job-workers", "0") as served:
        assert httpx.get(f"{served.url}/readyz").status_code == 200


def test_start_on_a_home_without_its_volume_is_not_ready_and_says_why(tmp_path):
    home = tmp_path / "home"
    with serve_modelpool(home, "--workers", "1", "--job-workers", "0") as served:
        (home / "artifacts").rename(tmp_path / "elsewhere")
        (home / "artifacts").write_text("not a folder")
        wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 503, "the store to be missed")
        answer = httpx.get(f"{served.url}/readyz")
        assert answer.json() == {"status": "unavailable", "reasons": ["store"]}
        assert answer.headers["retry-after"]
        assert httpx.get(f"{served.url}/healthz").status_code == 200
        done = _modelpool("doctor", "--home", str(home))
        assert done.returncode == 1
        assert "fail store default" in done.stdout
        (home / "artifacts").unlink()
        (tmp_path / "elsewhere").rename(home / "artifacts")
        wait_until(lambda: httpx.get(f"{served.url}/readyz").status_code == 200, "recovery")


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def _accepts(url: str) -> bool:
    try:
        _connect(url).close()
    except ConnectionRefusedError:
        return False
    return True


def test_home_is_closed_to_others(served):
    assert served.home.stat().st_mode & 0o077 == 0
    assert (served.home / "secret_key").stat().st_mode & 0o177 == 0
    assert Path(served.home / "run").stat().st_mode & 0o077 == 0


@pytest.mark.postgres
def test_the_same_on_postgresql(tmp_path, postgres_server):
    url = postgres_server.create_database("served")
    home = tmp_path / "home"
    for _ in range(2):  # the second start finds everything there
        with serve_modelpool(
            home, "--workers", "1", "--job-workers", "0", database_url=None if home.exists() else url
        ) as served:
            assert httpx.get(f"{served.url}/readyz").json() == {"status": "ready"}
    assert "ok   database  postgres, migrated" in _modelpool("doctor", "--home", str(home)).stdout
