"""``modelpool serve --demo``: what it prints works, again and again, and a stop in the middle does no harm."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess

import httpx
import pytest

from tests.server.processes import descendants_of, is_alive
from tests.servers.modelpool import ServedModelpool, serve_modelpool
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
_OPTIONS = ("--workers", "1", "--job-workers", "1", "--demo")


def _printed(served: ServedModelpool) -> str:
    wait_until(lambda: "/api/docs\n" in served.log() or "did not come" in served.log(), "the demo", timeout_s=90)
    return served.log()


def _curl(log: str) -> list[str]:
    found = re.search(r"(curl -s .*?)\nClient", log, flags=re.DOTALL)
    assert found, log
    return shlex.split(found[1].replace("\\\n", " "))


def test_demo_works_twice_and_changes_nothing_the_second_time(tmp_path):
    home = tmp_path / "home"
    with serve_modelpool(home, *_OPTIONS) as served:
        first = _printed(served)
        answer = subprocess.run(_curl(first), capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout) == {"predictions": ["malignant"], "model": "breast-cancer", "version": 1}
        login = re.search(r"Login +(\S+) / (\S+)\n", first)
        assert _signs_in(served.url, *login.groups())
    assert (home / "demo.json").stat().st_mode & 0o177 == 0
    with serve_modelpool(home, *_OPTIONS) as served:
        second = _printed(served)
        assert "Demo: training" not in second
        key = re.search(r"--key (\S+)", second)[1]
        with httpx.Client(
            base_url=f"{served.url}/api/v1/tenants/demo/", headers={"Authorization": f"Bearer {key}"}
        ) as api:
            assert len(api.get("models/breast-cancer/versions").json()["results"]) == 1
    shown = [
        re.sub(r"127\.0\.0\.1:\d+", "HOST", log[log.index("Console ") :].partition("\n\n")[0])
        for log in (first, second)
    ]
    assert shown[0] == shown[1]


def test_demo_that_is_stopped_goes_on_with_the_next_start(tmp_path):
    home = tmp_path / "home"
    with serve_modelpool(home, *_OPTIONS) as served:
        wait_until(lambda: "Demo: training" in served.log(), "the demo to begin", timeout_s=60)
        family = descendants_of(served.process.pid)
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(40) == 0
    wait_until(lambda: not any(map(is_alive, family)), "all processes to end")
    with serve_modelpool(home, *_OPTIONS) as served:
        assert "'malignant'" in _printed(served)


def _signs_in(url: str, name: str, password: str) -> bool:
    with httpx.Client(base_url=url) as browser:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get("/console/login/").text)[1]
        form = {"login": name, "password": password, "csrfmiddlewaretoken": token, "next": "/console/"}
        answer = browser.post("/console/login/", data=form, headers={"Referer": f"{url}/console/login/"})
        return answer.status_code == 302
