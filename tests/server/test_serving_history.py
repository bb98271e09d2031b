"""Two real servers with two web processes each on one database: the history tells what their client counted."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from modelpool.inference.observation.journal import read_journal
from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.server.processes import children_running
from tests.server.test_counted_traffic import _ask, _key
from tests.servers.modelpool import inherited_environment, serve_modelpool
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WEB = "modelpool.server.web"
_SETTINGS = """
[database]
url = "sqlite:///{shared}/shared.sqlite3"
[stores.default]
kind = "filesystem"
path = "{shared}/artifacts"
"""


def _home(name: str, shared: Path) -> Path:
    home = fresh_path(name)
    home.mkdir(parents=True)
    (home / "modelpool.toml").write_text(_SETTINGS.format(shared=shared))
    return home


def _told(shared: Path, seconds: int, name: str = "shared.sqlite3") -> tuple[int, int]:
    """Return requests and those refused, as the database has them."""
    with closing(sqlite3.connect(shared / name, timeout=30)) as database:
        query = (
            "select coalesce(sum(requests), 0), coalesce(sum(refused), 0) from modelpool_served_span where seconds=?"
        )
        found = database.execute(query, [seconds]).fetchone()
    return int(found[0]), int(found[1])


def _in_journals(*homes: Path) -> int:
    paths = [path for home in homes for path in (home / "history").glob("*.samples")]
    return sum(int(counts[0]) for path in paths for span, counts in read_journal(path) if span.seconds == 3600)


def test_history_is_what_the_client_counted_over_nodes_kills_and_restarts():
    shared = fresh_path("history-shared")
    shared.mkdir(parents=True)
    homes = [_home(name, shared) for name in ("history-north", "history-south")]
    options = ("--workers", "2", "--job-workers", "0")
    with ExitStack() as stack:
        nodes = [stack.enter_context(serve_modelpool(homes[0], *options))]
        shutil.copy(homes[0] / "secret_key", homes[1] / "secret_key")
        shutil.copytree(homes[0] / "keys", homes[1] / "keys")
        nodes.append(stack.enter_context(serve_modelpool(homes[1], *options)))
        key = _key(homes[0], "--tenant", "default", "--role", "scientist")
        with httpx.Client(base_url=nodes[0].url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as api:
            path = "/api/v1/tenants/default/models/one"
            made = api.post(f"{path}/versions", files={"file": adds(1.0)}, data={"metadata": '{"activate": "always"}'})
            assert made.status_code == 201, made.text
            assert api.post(f"{path}/predict", json={"instances": [["no number"]]}).status_code == 422
        for node in nodes:
            assert set(_ask(node.url, key, 20)) == {200}
        wait_until(lambda: _in_journals(*homes) == 41, "all to be counted")
        for pid in children_running(nodes[0].process.pid, WEB):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _is_ready(nodes[0].url, nodes[0].process.pid), "others in their place", timeout_s=60)
        assert set(_ask(nodes[0].url, key, 15)) == {200}
        wait_until(lambda: _told(shared, 60)[0] >= 41, "one of the living to write", timeout_s=60)
    assert _told(shared, 60) == _told(shared, 3600) == (56, 1)
    with serve_modelpool(homes[0], *options) as again:
        assert set(_ask(again.url, key, 4)) == {200}
    assert _told(shared, 60) == _told(shared, 3600) == (60, 1)


def test_what_people_try_on_a_versions_page_is_counted_like_what_programs_ask():
    home = fresh_path("history-tried")
    home.mkdir(parents=True)
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as served:
        key = _key(home, "--tenant", "default", "--role", "scientist")
        with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as api:
            path = "/api/v1/tenants/default/models/one/versions"
            assert api.post(path, files={"file": adds(1.0)}).status_code == 201
        with _signed_in(served.url, home) as person:
            page = "/console/tenants/default/models/one/versions/1/"
            for typed, told in (("[[1.0]]", "2"), ("[[2.0]]", "3"), ('[["no number"]]', "instances[0]")):
                assert told in person.post(f"{page}try/", data={"mode": "json", "json": typed}).text
            answer = person.post(f"{path}/1/predict", json={"instances": [[1.0]]})
            assert answer.status_code == 200, answer.text
    told = (_told(home, 60, "modelpool.sqlite3"), _told(home, 3600, "modelpool.sqlite3"))
    assert told == ((4, 1), (4, 1))


@contextmanager
def _signed_in(url: str, home: Path) -> Iterator[httpx.Client]:
    command = [sys.executable, "-P", "-m", "modelpool", "user", "create", "ada", "--password-stdin"]
    subprocess.run(
        [*command, "--tenant", "default", "--role", "scientist", "--home", str(home)],
        env=inherited_environment(), input="correct horse battery", text=True, check=True, capture_output=True,
    )  # fmt: skip
    with httpx.Client(base_url=url, headers={"Referer": url}, timeout=60) as browser:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get("/console/login/").text)[1]
        form = {"login": "ada", "password": "correct horse battery", "csrfmiddlewaretoken": token}
        assert browser.post("/console/login/", data=form).status_code == 302
        browser.headers["X-CSRFToken"] = browser.cookies["csrftoken"]
        yield browser


def _is_ready(url: str, pid: int) -> bool:
    try:
        return len(children_running(pid, WEB)) == 2 and httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False
