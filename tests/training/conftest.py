"""Jobs to run, and workers that run them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelpool import conf
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training import services
from modelpool.training.models import Dataset, TrainerInfo, TrainingJob
from tests.training.processes import WorkerProcess, wait_for

SOURCE = "trainers/under_test.py"
NAMES = (
    "straight_line", "slow_mean", "endless_c_code", "memory_bomb", "memory_bomb_in_children", "crash", "bad_code",
    "quits", "chatty", "secrets", "hard_to_compile", "own_onnx", "forgetful", "misnamed",
    "matrix_fit",
)  # fmt: skip

MakeJob = Callable[..., TrainingJob]


@pytest.fixture
def trainers_on_offer(db: None) -> None:
    """The rows that a worker would write, for tests that start none or do not wait for it."""
    for name in NAMES:
        TrainerInfo.objects.update_or_create(
            name=name, defaults={"source": SOURCE, "params_schema": {"type": "object"}}
        )


@pytest.fixture
def make_dataset(actor: Actor) -> Callable[..., Dataset]:
    """Make a small table with columns ``x`` and ``y``, y = 2 x + 1."""

    def make(tenant: Tenant, *, columns: Any = ("x", "y"), rows: Any = None) -> Dataset:
        rows = [[float(i), 2.0 * i + 1.0] for i in range(20)] if rows is None else rows
        return services.create_inline_dataset(tenant, columns=list(columns), rows=rows, actor=actor)

    return make


@pytest.fixture
def make_job(trainers_on_offer: None, make_dataset: Callable[..., Dataset], actor: Actor) -> MakeJob:
    """Submit a job on such a table."""

    def make(
        tenant: Tenant, trainer: str = "slow_mean", *, dataset: Dataset | None = None, **values: Any
    ) -> TrainingJob:
        given = {"model": "line", "target": "y", "actor": actor, **values}
        return services.submit_job(tenant, trainer=trainer, dataset=dataset or make_dataset(tenant), **given)

    return make


@pytest.fixture(scope="module")
def trainers_folder() -> Iterator[Path]:
    """``trainers`` in the home folder, with the trainers of these tests."""
    folder = conf.home().prepare().path / "trainers"
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("trainers_under_test.py"), folder / "under_test.py")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start_worker(
    transactional_db: None, trainers_folder: Path, tmp_path: Path
) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers of this test's own; what is left of them ends with it."""
    started: list[WorkerProcess] = []

    def start(**options: str) -> WorkerProcess:
        started.append(WorkerProcess.start(tmp_path / f"worker{len(started)}.log", **options))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


class _SharedWorker:
    """A worker that several tests of a module use, while the database is put back under it between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: WorkerProcess | None = None

    def ensure(self) -> WorkerProcess:
        if self.process is None:
            self.process = WorkerProcess.start(self.folder / "worker.log")
        return self.process


@pytest.fixture(scope="module")
def _shared_worker(tmp_path_factory: pytest.TempPathFactory, trainers_folder: Path) -> Iterator[_SharedWorker]:
    shared = _SharedWorker(tmp_path_factory.mktemp("worker"))
    yield shared
    if shared.process is not None:
        shared.process.end()


@pytest.fixture
def worker(transactional_db: None, _shared_worker: _SharedWorker) -> WorkerProcess:
    """A worker that has told which trainers it offers."""
    process = _shared_worker.ensure()
    wait_for(lambda: TrainerInfo.objects.filter(name="straight_line").exists())
    return process
