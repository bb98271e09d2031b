"""A web process that does not turn any more is replaced; one that only takes its time is not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from modelpool import conf
from modelpool.core.errors import ConfigurationError
from modelpool.server.processes.children import Child, Slot
from tests.server.processes import children_running
from tests.servers.modelpool import serve_modelpool
from tests.waiting import wait_until

WEB = "modelpool.server.web"


@pytest.mark.slow
def test_a_process_that_hangs_is_replaced_and_one_that_pauses_is_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "modelpool.toml").write_text('[server]\nhang_timeout = "6s"\n')
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as served:
        wait_until(lambda: len(children_running(served.process.pid, WEB)) == 2, "two processes")
        pausing, hanging = children_running(served.process.pid, WEB)
        for pid in (pausing, hanging):  # one that is still starting counts as slow, not as hanging
            wait_until(lambda pid=pid: f"(process {pid}) serves" in served.log(), "it to serve", timeout_s=60)  # type: ignore[misc]
        os.kill(pausing, signal.SIGSTOP)
        os.kill(hanging, signal.SIGSTOP)
        time.sleep(1)
        os.kill(pausing, signal.SIGCONT)
        wait_until(lambda: hanging not in children_running(served.process.pid, WEB), "its end")
        wait_until(lambda: len(children_running(served.process.pid, WEB)) == 2, "another one")
        assert pausing in children_running(served.process.pid, WEB)
        assert f"(process {hanging}) gave no sign of life for 6 s" in served.log()
        assert f"(process {pausing}) gave no sign" not in served.log()
        assert httpx.get(f"{served.url}/healthz").status_code == 200


@pytest.mark.slow
def test_a_process_that_does_not_come_up_is_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "modelpool.toml").write_text('[server]\nstart_timeout = "8s"\n')
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as served:
        wait_until(lambda: served.log().count(" serves") >= 2, "two processes", timeout_s=60)
        before = set(children_running(served.process.pid, WEB))
        os.kill(min(before), signal.SIGKILL)

        def started() -> int | None:
            return next(iter(set(children_running(served.process.pid, WEB)) - before), None)

        hanging = wait_until(started, "another one")
        os.kill(hanging, signal.SIGSTOP)
        assert f"(process {hanging}) serves" not in served.log()
        wait_until(lambda: hanging not in children_running(served.process.pid, WEB), "its end", timeout_s=60)
        assert f"(process {hanging}) did not come up within 8 s" in served.log()
        wait_until(lambda: served.log().count(" serves") >= 3, "another one that serves", timeout_s=60)
        assert httpx.get(f"{served.url}/healthz").status_code == 200


def test_one_that_never_served_has_failed_however_long_it_took() -> None:
    slot, now = Slot("web", 1), time.monotonic()
    process = subprocess.Popen(["true"])
    process.wait()
    for count in (1, 2, 3):
        slot.note_exit(Child(process, now - 100))
        assert slot.failures == count
    slot.note_exit(Child(process, now - 100, is_ready=True))
    assert slot.failures == 0


def test_a_limit_shorter_than_signs_of_life_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"server\.hang_timeout.*0 for never"):
        conf.decode_settings({"server": {"hang_timeout": "1s"}}, source="test")
    assert conf.decode_settings({"server": {"hang_timeout": 0}}, source="test").server.hang_timeout == 0
