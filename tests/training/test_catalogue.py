"""What is on offer stays on offer when a process that looks at it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelpool import conf
from modelpool.training.catalogue import refresh_catalogue
from modelpool.training.child_tasks import TaskInterrupted
from modelpool.training.forkserver import ForkServer
from modelpool.training.models import TrainerInfo, TrainerProblem
from tests.training.processes import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

TRAINER = """
import os, signal, time
from modelpool.core.trainer import Trainer

class Mean(Trainer):
    name = "mean"
    def train(self, run): ...

with open({marker!r}, "a") as marker:
    marker.write("looked\\n")
if len(open({marker!r}).readlines()) <= {losses}:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
time.sleep({pause})
"""


@pytest.fixture
def forks() -> Iterator[ForkServer]:
    """A fork server of this test's own."""
    server = ForkServer(is_warm=False)
    yield server
    server.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """``trainers`` in the home folder, with nothing of other tests."""
    folder = conf.home().prepare().path / "trainers"
    folder.mkdir(exist_ok=True)
    yield folder
    (folder / "mean.py").unlink()


def write(folder: Path, marker: Path, *, losses: int = 0, pause: float = 0.0) -> None:
    (folder / "mean.py").write_text(TRAINER.format(marker=str(marker), losses=losses, pause=pause))


def offered() -> set[str]:
    return set(TrainerInfo.objects.values_list("name", flat=True))


def test_a_source_is_looked_at_again_when_the_zygote_was_lost(forks: ForkServer, folder: Path, tmp_path: Path) -> None:
    write(folder, tmp_path / "marker", losses=2)
    refresh_catalogue(forks)
    assert {"mean", "tabular_classifier"} <= offered()
    assert not TrainerProblem.objects.exists()


def test_a_source_that_always_takes_the_zygote_along_is_told_and_the_others_are_offered(
    forks: ForkServer, folder: Path, tmp_path: Path
) -> None:
    write(folder, tmp_path / "marker", losses=100)
    refresh_catalogue(forks)
    assert "mean" not in offered()
    assert {"tabular_classifier", "tabular_regressor"} <= offered()
    assert "3 times in a row" in TrainerProblem.objects.get(source="trainers/mean.py").detail


def test_a_worker_that_ends_takes_nothing_off_the_list(folder: Path, tmp_path: Path) -> None:
    write(folder, tmp_path / "marker")
    refresh_catalogue()
    before = offered()
    assert "mean" in before
    (tmp_path / "marker").unlink()
    write(folder, tmp_path / "marker", pause=60.0)
    forks = ForkServer(is_warm=False)
    with ThreadPoolExecutor(1) as thread:
        looking = thread.submit(refresh_catalogue, forks)
        wait_for((tmp_path / "marker").exists)
        forks.close()
        with pytest.raises(TaskInterrupted):
            looking.result(timeout=30)
    assert offered() == before
    assert not TrainerProblem.objects.exists()
