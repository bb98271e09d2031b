"""Starting, reading and ending child processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpool.training.child_tasks import TaskFailed, collect
from modelpool.training.forkserver import Exited, ForkServer, clean_environment
from modelpool.training.messages import Task, TrainersRequest, TrainersResult
from tests.training.processes import is_alive, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    """A zygote for all tests of this module."""
    server = ForkServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trainers").mkdir()
    return tmp_path


def ask(forks: ForkServer, folder: Path, code: str, *, timeout_s: float = 60.0) -> TrainersResult:
    """Have a child import ``code``."""
    (folder / "trainers" / "given.py").write_text(code)
    request = TrainersRequest(source="trainers/given.py", trainers_dir=str(folder / "trainers"))
    task = Task(entry="trainers", folder=str(folder), memory_limit_bytes=1 << 30)
    return collect(forks, task, request=request, result=TrainersResult, timeout_s=timeout_s)


def test_a_child_leads_its_own_session_and_dies_with_the_zygote(forks: ForkServer, folder: Path) -> None:
    code = (
        "import ctypes, os\n"
        "signal = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(signal))\n"  # PR_GET_PDEATHSIG
        "threads = len(os.listdir('/proc/self/task'))\n"
        "raise RuntimeError((os.getsid(0) == os.getpid(), signal.value, os.getcwd(), threads))\n"
    )
    result = ask(forks, folder, code)
    assert result.problem == f"RuntimeError: (True, 9, '{folder}', 1) (line 4)"


def test_a_child_that_hangs_is_ended(forks: ForkServer, folder: Path) -> None:
    code = f"import os, time\nopen({str(folder / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    ask(forks, folder, "")  # the zygote is warm now
    with pytest.raises(TaskFailed, match="longer than"):
        ask(forks, folder, code, timeout_s=1.0)
    pid = int((folder / "pid").read_text())
    wait_for(lambda: not is_alive(pid))


def test_a_child_that_crashes_is_told_from_one_that_answers(forks: ForkServer, folder: Path) -> None:
    with pytest.raises(TaskFailed, match="SIGABRT"):
        ask(forks, folder, "import os\nos.abort()\n")
    assert ask(forks, folder, "").trainers == []


def test_a_lost_zygote_is_replaced(folder: Path) -> None:
    forks = ForkServer()
    try:
        code = f"import os\nopen({str(folder / 'pid')!r}, 'w').write(str(os.getppid()))\n"
        ask(forks, folder, code)
        first = int((folder / "pid").read_text())
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not is_alive(first))
        ask(forks, folder, code)
        assert int((folder / "pid").read_text()) != first
    finally:
        forks.close()


def test_the_zygote_ends_with_its_children_when_the_worker_lets_go(folder: Path) -> None:
    forks = ForkServer()
    write = f"open({str(folder / 'pid')!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}')"
    code = f"import os, time\n{write}\ntime.sleep(600)\n"
    (folder / "trainers" / "given.py").write_text(code)
    (folder / "request.json").write_bytes(
        b'{"source": "trainers/given.py", "trainers_dir": "%s"}' % str(folder / "trainers").encode()
    )
    child = forks.run(Task(entry="trainers", folder=str(folder), memory_limit_bytes=1 << 30))
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
    pids = [int(part) for part in (folder / "pid").read_text().split()]
    forks.close()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    ended = wait_for(lambda: [message for message in child.read(0.1) if isinstance(message, Exited)])
    child.close()
    assert ended[0].status != 0
    with pytest.raises(OSError, match="shutting down"):
        forks.run(Task(entry="trainers", folder=str(folder), memory_limit_bytes=1 << 30))


def test_a_child_that_was_given_up_before_it_began_is_ended(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    forks = ForkServer()
    other = tmp_path_factory.mktemp("other")
    (other / "trainers").mkdir()
    try:
        code = f"import time\ntime.sleep(0.5)\nopen({str(folder / 'alive')!r}, 'w').close()\n"
        (folder / "trainers" / "given.py").write_text(code)
        request = b'{"source": "trainers/given.py", "trainers_dir": "%s"}' % str(folder / "trainers").encode()
        (folder / "request.json").write_bytes(request)
        forks.run(
            Task(entry="trainers", folder=str(folder), memory_limit_bytes=1 << 30)
        ).close()  # it is still importing
        assert ask(forks, other, "import time\ntime.sleep(1.5)\n").problem == ""
        assert not (folder / "alive").exists()
    finally:
        forks.close()


def test_the_environment_of_children_is_an_allow_list() -> None:
    given = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "MODELPOOL_DATABASE_URL": "postgres://u:p@h/d",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    assert clean_environment(given).keys() >= {"PATH", "LC_ALL"}
    assert not {"MODELPOOL_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"} & clean_environment(given).keys()
