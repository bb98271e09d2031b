"""A server whose kernel cannot confine says so everywhere, and opens nothing that was uploaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from modelpool.core.runtime.jail.layers import NO_LANDLOCK
from modelpool.core.runtime.selftest.result import read_result
from tests.core.formats import hostile
from tests.servers.modelpool import ServedModelpool, inherited_environment, serve_modelpool
from tests.waiting import wait_until


def _run(home: Path, *arguments: str, failpoint: str | None = None) -> str:
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    if failpoint is not None:
        environment["MODELPOOL_FAILPOINT"] = failpoint
    command = [sys.executable, "-P", "-m", "modelpool", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60).stdout


def _upload(served: ServedModelpool) -> httpx.Response:
    key = json.loads(_run(served.home, "key", "create", "--tenant", "default", "--role", "scientist", "--json"))["key"]
    return httpx.post(
        f"{served.url}/api/v1/tenants/default/models/graph/versions",
        files={"file": hostile.identity()},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )


@pytest.mark.slow
def test_server_without_landlock_refuses_uploads_and_says_why(tmp_path: Path) -> None:
    with serve_modelpool(tmp_path / "home", "--workers", "1", "--job-workers", "0", failpoint=NO_LANDLOCK) as served:
        answer = _upload(served)
        assert answer.status_code == 503
        assert answer.json()["code"] == "isolation_unavailable"
        assert "allow_weak_isolation" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) >= 1
        assert httpx.get(f"{served.url}/readyz").json() == {"status": "ready", "degraded": ["isolation"]}
        assert "the kernel offers no Landlock" in served.log()
        findings = _run(served.home, "doctor", failpoint=NO_LANDLOCK)
        assert "no Landlock" in findings
        assert "allow_weak_isolation" in findings


@pytest.mark.slow
def test_server_tests_its_jail_in_the_background_and_takes_uploads(tmp_path: Path) -> None:
    with serve_modelpool(tmp_path / "home", "--workers", "2", "--job-workers", "0") as served:
        assert _upload(served).status_code == 201
        assert httpx.get(f"{served.url}/readyz").json() == {"status": "ready"}
        result = read_result(served.home / "run")
        assert result is not None
        assert result.verdict.problem == ""
        assert "attempts to get out were stopped" in _run(served.home, "doctor")
        wait_until(lambda: "the isolation of models holds" in served.log(), "the word of the log")
