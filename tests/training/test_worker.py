"""What a worker makes of jobs: versions, or an end that says why there is none."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from django.db import transaction
from pyarrow import parquet

from modelpool import conf
from modelpool.core.formats import FORMATS
from modelpool.core.signature import ModelSignature
from modelpool.registry.models import ModelVersion
from modelpool.storage.services import read_artifact, storage_used
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Tenant
from modelpool.training import job_report, services
from modelpool.training.models import Dataset, JobLogLine, JobWorker, TrainerInfo, TrainerProblem, TrainingJob
from tests.training.conftest import SOURCE, MakeJob
from tests.training.processes import WorkerProcess, is_alive, wait_for, wait_for_end, wait_for_state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(180)]

State = TrainingJob.State
MakeDataset = Callable[..., Dataset]


def log_of(job: TrainingJob) -> str:
    return "\n".join(line.text for line in services.job_log(job, limit=20_000))


def version_of(job: TrainingJob) -> ModelVersion:
    found: ModelVersion = ModelVersion.unscoped.select_related("artifact", "compiled", "model").get(job_id=job.pk)
    return found


def test_ten_lines_of_a_user_become_a_compiled_active_version(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob
) -> None:
    job = wait_for_end(make_job(tenant, "straight_line", tags={"team": "a"}))
    assert (job.state, job.error_code, job.attempt, job.progress) == (State.SUCCEEDED, "", 1, 1.0)
    assert job.metrics == pytest.approx({"r2": 1.0})
    version = version_of(job)
    assert (version.number, job.version_number) == (1, 1)
    assert version.model.active_version_id == version.pk
    assert (version.format, version.serving_format, version.trust) == ("sklearn", "onnx", "trained")
    assert version.parity["equal"] is True
    assert (version.metrics, version.primary_metric, version.primary_mode) == (job.metrics, "r2", "max")
    assert version.params == {"fit_intercept": True, "trainer": "straight_line", "target": "y"}
    assert (version.tags, version.dataset_id, version.created_by) == ({"team": "a"}, job.dataset_id, job.created_by)
    assert {"python", "scikit-learn", "numpy", "skops", "onnx", "skl2onnx", "onnxruntime"} <= version.libraries.keys()
    signature = ModelSignature.from_dict(version.signature)
    for artifact, format in ((version.artifact, "sklearn"), (version.compiled, "onnx")):
        model = FORMATS[format].load(read_artifact(artifact), signature)
        inputs = {"x": np.array([0.0, 10.0])}
        assert model.predict(inputs, ["predict"])["predict"].ravel().tolist() == pytest.approx([1.0, 21.0], abs=1e-5)
    actions = list(AuditEvent.objects.filter(target=str(job.pk)).order_by("id").values_list("action", flat=True))
    assert actions == ["job.submit", "job.succeed"]


def test_a_built_in_trainer_takes_mixed_columns(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, make_dataset: MakeDataset
) -> None:
    rows = [
        [i % 7, "red" if i % 3 else None, None if i % 5 == 0 else i / 2, "yes" if i % 7 > 3 else "no"]
        for i in range(60)
    ]
    dataset = make_dataset(tenant, columns=["count", "colour", "weight", "answer"], rows=rows)
    params = {"algorithm": "logistic_regression"}
    values = {"dataset": dataset, "target": "answer"}
    job = wait_for_end(make_job(tenant, "tabular_classifier", model="m", params=params, **values))
    assert (job.state, job.error_detail) == (State.SUCCEEDED, "")
    version = version_of(job)
    assert version.signature["classes"] == ["no", "yes"]
    assert version.serving_format == "onnx"
    assert version.figures
    assert "accuracy" in version.metrics


def _parquet() -> bytes:
    table = pa.table({"x": [float(i) for i in range(20)], "y": [2.0 * i + 1 for i in range(20)]})
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file.getvalue()


_CSV = "x,y\n" + "".join(f"{i},{2 * i + 1}\n" for i in range(20))
_JSONL = "".join(f'{{"x": {i}, "y": {2 * i + 1}}}\n' for i in range(20))


def test_files_of_every_format_are_trained_on(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, actor: Actor
) -> None:
    files = {"csv": _CSV.encode(), "jsonl": _JSONL.encode(), "parquet": _parquet()}
    made = {
        format: services.create_dataset(tenant, chunks=[data], format=format, actor=actor)
        for format, data in files.items()
    }
    jobs = [make_job(tenant, "straight_line", dataset=dataset) for dataset in made.values()]
    assert [(wait_for_end(job).state, job.error_detail) for job in jobs] == [(State.SUCCEEDED, "")] * 3
    assert [version_of(job).metrics["r2"] for job in jobs] == pytest.approx([1.0] * 3)


@pytest.mark.parametrize(
    ("data", "words"), [(b"x,y\n1,2\n3\n", "Line 3"), ("x,y\n1,2\n3,\u00e9\n".encode("latin-1"), "UTF-8")]
)
def test_a_file_that_cannot_be_read_fails_the_job_with_advice(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, actor: Actor, data: bytes, words: str
) -> None:
    dataset = services.create_dataset(tenant, chunks=[data], format="csv", actor=actor)
    job = wait_for_end(make_job(tenant, "straight_line", dataset=dataset))
    assert (job.state, job.error_code) == (State.FAILED, "bad_training_data")
    assert words in job.error_detail


def test_a_better_version_becomes_active_and_a_worse_one_does_not(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob
) -> None:
    good = wait_for_end(make_job(tenant, "straight_line", activate="if_better"))
    worse = wait_for_end(make_job(tenant, "straight_line", activate="if_better", params={"fit_intercept": False}))
    assert (good.version_number, worse.version_number) == (1, 2)
    assert version_of(worse).model.active_version_id == version_of(good).pk
    forced = wait_for_end(make_job(tenant, "straight_line", activate="always", params={"fit_intercept": False}))
    assert version_of(forced).model.active_version_id == version_of(forced).pk


def test_what_a_trainer_says_is_in_the_log(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_end(make_job(tenant, "chatty"))
    assert (job.state, job.error_detail) == (State.SUCCEEDED, "")
    log = log_of(job)
    for words in ("printed", "written to stderr", "written by C code", "logged", "warned", "told in red", "line 2"):
        assert words in log
    assert "broken is nan, which is not recorded" in log
    series = JobLogLine.objects.filter(job=job, kind="metric").order_by("id").values_list("data", flat=True)
    assert list(series) == [{"name": "loss", "value": 0.5, "step": 1}, {"name": "loss", "value": 0.25, "step": 2}]
    version = version_of(job)
    assert (version.metrics, version.primary_metric, version.primary_mode) == ({"loss": 0.25}, "loss", "min")
    assert version.figures == {"curve": {"kind": "line", "y": [1.0, None]}}


def test_a_primary_metric_without_a_value_is_told(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_end(make_job(tenant, "misnamed"))
    assert job.state == State.SUCCEEDED
    assert "The primary metric 'r_two' has no value" in log_of(job)
    assert version_of(job).metrics == {"r2": 1.0, "m" * 64: 2.0}


def test_a_flood_of_lines_is_cut(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_end(make_job(tenant, "chatty", params={"lines": 50_000}))
    assert job.state == State.SUCCEEDED
    lines = services.job_log(job, limit=20_000)
    assert len(lines) == job_report.MAX_LINES + 1
    assert "truncated" in lines[-1].text


@pytest.mark.parametrize(
    ("trainer", "code", "detail"),
    [
        ("bad_code", "trainer_failed", "ValueError: the weights are negative"),
        ("crash", "trainer_crashed", "SIGSEGV"),
        ("quits", "trainer_crashed", "exit code 0"),
    ],
)
def test_a_failing_trainer_fails_its_job_once(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, trainer: str, code: str, detail: str
) -> None:
    job = wait_for_end(make_job(tenant, trainer))
    assert (job.state, job.error_code, job.attempt) == (State.FAILED, code, 1)
    assert detail in job.error_detail
    assert "Traceback" not in job.error_detail
    assert not ModelVersion.unscoped.exists()
    if trainer == "bad_code":
        log = log_of(job)
        assert all(words in log for words in ("Traceback", "under_test.py"))
        assert "runner.py" not in log


def test_a_killed_child_fails_its_job_with_a_reason(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_end(make_job(tenant, "crash", params={"number": int(signal.SIGKILL)}))
    assert (job.state, job.error_code) == (State.FAILED, "trainer_crashed")
    assert "SIGKILL" in job.error_detail


@pytest.mark.parametrize(
    ("columns", "rows", "target", "words"),
    [
        (["x", "y"], [[1, 2], [2, 3]], "z", "no column 'z'"),
        (["x", "y"], [[1, None], [2, None]], "y", "no values at all"),
    ],
)
def test_bad_data_fails_the_job_with_advice(
    worker: WorkerProcess,
    tenant: Tenant,
    make_job: MakeJob,
    make_dataset: MakeDataset,
    columns: Any,
    rows: Any,
    target: str,
    words: str,
) -> None:
    job = wait_for_end(make_job(tenant, dataset=make_dataset(tenant, columns=columns, rows=rows), target=target))
    assert (job.state, job.error_code, job.attempt) == (State.FAILED, "bad_training_data", 1)
    assert words in job.error_detail


def test_parameters_are_checked_by_the_trainer_as_well(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob
) -> None:
    TrainerInfo.objects.filter(name="slow_mean").update(
        params_schema={}
    )  # the file was edited, the catalogue is behind
    job = wait_for_end(make_job(tenant, params={"seconds": "long"}))
    assert (job.state, job.error_code) == (State.FAILED, "invalid")
    assert "`params.seconds`" in job.error_detail


def test_a_trainer_that_is_gone_fails_its_job(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    TrainerInfo.objects.create(name="ghost", source=SOURCE, params_schema={})  # the file does not define it any more
    undefined = make_job(tenant, "ghost")
    assert wait_for_end(undefined).error_code == "unknown_trainer"
    assert "straight_line" in undefined.error_detail
    with transaction.atomic():  # no worker sees the one without the other
        removed = make_job(tenant, "ghost", dataset=undefined.dataset)
        TrainerInfo.objects.filter(name="ghost").delete()
    assert wait_for_end(removed).error_code == "unknown_trainer"


def test_cancelling_stops_c_code_that_never_looks_up(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, actor: Actor
) -> None:
    job = make_job(tenant, "endless_c_code")
    wait_for(lambda: "fitting" in log_of(job))
    services.cancel_job(job, actor=actor)
    job = wait_for_end(job)
    assert (job.state, job.version_number, job.error_code) == (State.CANCELLED, None, "")
    assert job.finished_at is not None


def test_a_job_past_its_time_is_stopped(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_end(make_job(tenant, "endless_c_code", timeout_s=1.0))
    assert (job.state, job.error_code) == (State.FAILED, "timeout")
    assert "1 s" in job.error_detail


def test_a_memory_bomb_fails_its_job_alone(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    bomb = make_job(tenant, "memory_bomb", memory_limit_bytes=300 << 20)
    after = make_job(tenant, "straight_line")
    bomb = wait_for_end(bomb)
    assert (bomb.state, bomb.error_code, bomb.attempt) == (State.FAILED, "out_of_memory", 1)
    assert "fewer rows" in bomb.error_detail
    assert wait_for_end(after).state == State.SUCCEEDED


def test_processes_that_a_trainer_starts_count_and_die_with_it(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    params = {"marker": str(marker)}
    job = wait_for_end(make_job(tenant, "memory_bomb_in_children", params=params, memory_limit_bytes=500 << 20))
    assert (job.state, job.error_code) == (State.FAILED, "out_of_memory")
    pids = [int(line) for line in marker.read_text().split()]
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_a_child_has_no_credentials_and_no_django(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    log = log_of(wait_for_end(make_job(tenant, "secrets")))
    assert all(words in log for words in ("RuntimeError: seen enough", "no django"))
    assert "env TMPDIR=" in log
    assert not [words for words in ("MODELPOOL", "DATABASE", "DJANGO") if words in log]


def test_a_trainer_that_is_added_changed_and_broken_while_the_worker_runs(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, trainers_folder: Path
) -> None:
    file = trainers_folder / "added.py"
    code = (
        (trainers_folder / "under_test.py").read_text().partition("class SlowMean")[0].replace("straight_line", "added")
    )
    file.write_text(code)
    try:
        wait_for(lambda: TrainerInfo.objects.filter(name="added").exists())
        info = TrainerInfo.objects.get(name="added")
        assert info.description == "Least squares through the features."
        assert info.params_schema["properties"]["fit_intercept"] == {"type": "boolean", "default": True}
        assert wait_for_end(make_job(tenant, "added")).state == State.SUCCEEDED
        file.write_text(code.replace("run.log_metric", "run.no_such_method"))
        job = wait_for_end(make_job(tenant, "added"))  # the child imports the file as it is now
        assert (job.error_code, "no_such_method" in job.error_detail) == ("trainer_failed", True)
        file.write_text("import nothing_of_this_name\n")
        wait_for(lambda: TrainerProblem.objects.filter(source="trainers/added.py").exists())
        problem = TrainerProblem.objects.get(source="trainers/added.py")
        assert problem.detail == "ModuleNotFoundError: No module named 'nothing_of_this_name' (line 1)"
        assert not TrainerInfo.objects.filter(name="added").exists()
        assert TrainerInfo.objects.filter(name="straight_line").exists()
    finally:
        file.unlink()
    wait_for(lambda: not TrainerProblem.objects.exists())


def test_datasets_are_described_in_the_background(
    worker: WorkerProcess, tenant: Tenant, make_dataset: MakeDataset, actor: Actor
) -> None:
    good = make_dataset(tenant, columns=["a", "b"], rows=[[1, "x"], [2, None]])
    bad = services.create_dataset(tenant, chunks=[b"\xff\xfe\x00\x00 no table"], format="csv", actor=actor)
    wait_for(lambda: not Dataset.unscoped.filter(columns__isnull=True).exists())
    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.n_rows, good.warning) == (2, "")
    assert [(column["name"], column["missing"]) for column in good.columns] == [("a", 0), ("b", 1)]
    assert (bad.columns, bad.n_rows) == ([], None)
    assert "UTF-8" in bad.warning


def test_a_worker_is_seen(worker: WorkerProcess) -> None:
    wait_for(JobWorker.objects.exists)
    assert JobWorker.objects.get().pid == worker.process.pid


def test_progress_is_seen_while_it_runs(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_state(make_job(tenant, params={"seconds": 1.5}), State.RUNNING)
    seen = set()

    def look() -> bool:
        job.refresh_from_db()
        seen.add((job.stage, job.progress))
        return job.is_final

    wait_for(look)
    waiting = sorted(progress for stage, progress in seen if stage == "waiting")
    assert len(waiting) >= 3
    assert waiting[0] < 0.5 < waiting[-1]


@pytest.mark.parametrize(
    ("how", "reason"),
    [("raise", "RuntimeError: no such operator"), ("crash", "SIGSEGV"), ("sleep", "it took too long")],
)
def test_a_compiler_that_fails_costs_the_compiled_form_only(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, how: str, reason: str
) -> None:
    job = wait_for_end(make_job(tenant, "hard_to_compile", params={"how": how}, timeout_s=3.0))
    assert (job.state, job.error_detail) == (State.SUCCEEDED, "")
    version = version_of(job)
    assert (version.format, version.serving_format, version.compiled_id) == ("sklearn", "sklearn", None)
    assert version.parity["equal"] is False
    assert reason in version.parity["reason"]


def test_a_trainer_may_give_a_finished_file(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_end(make_job(tenant, "own_onnx"))
    assert (job.state, job.error_detail) == (State.SUCCEEDED, "")
    version = version_of(job)
    assert (version.format, version.serving_format, version.compiled_id, version.parity) == ("onnx", "onnx", None, None)


def test_an_estimator_fitted_on_a_matrix_takes_the_columns(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, make_dataset: MakeDataset
) -> None:
    dataset = make_dataset(tenant, columns=["a", "b", "y"], rows=[[i, i % 3, i + 1] for i in range(20)])
    whole = wait_for_end(make_job(tenant, "matrix_fit", dataset=dataset, params={"columns": 2}))
    assert (whole.state, whole.error_detail) == (State.SUCCEEDED, "")
    assert [spec["name"] for spec in version_of(whole).signature["inputs"]] == ["a", "b"]
    part = wait_for_end(make_job(tenant, "matrix_fit", dataset=dataset, params={"columns": 1}))
    assert (part.state, part.error_detail) == (State.SUCCEEDED, "")
    version = version_of(part)
    assert [(spec["name"], spec["shape"]) for spec in version.signature["inputs"]] == [("inputs", [-1, 1])]
    assert (version.serving_format, version.compiled_id) == ("sklearn", None)
    assert "run.features" in version.parity["reason"]


def test_a_trainer_that_returns_nothing_is_told(worker: WorkerProcess, tenant: Tenant, make_job: MakeJob) -> None:
    job = wait_for_end(make_job(tenant, "forgetful"))
    assert (job.state, job.error_code) == (State.FAILED, "bad_training_data")
    assert "return the fitted estimator" in job.error_detail


def test_a_job_waits_for_a_store_that_is_away(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob, tmp_path: Path
) -> None:
    job = wait_for_state(make_job(tenant, params={"seconds": 1.0}), State.RUNNING)
    wait_for(lambda: "waiting" in TrainingJob.unscoped.values_list("stage", flat=True))
    store = conf.home().resolve("artifacts")
    store.rename(tmp_path / "away")
    wait_for(lambda: f"job {job.pk}: storing waits" in worker.log)
    (tmp_path / "away").rename(store)
    job = wait_for_end(job)
    assert (job.state, job.attempt, job.version_number) == (State.SUCCEEDED, 1, 1)


def test_a_version_that_does_not_fit_the_quota_leaves_no_file(
    worker: WorkerProcess, tenant: Tenant, make_job: MakeJob
) -> None:
    done = wait_for_end(make_job(tenant, "straight_line"))
    first = version_of(done)
    assert first.artifact is not None
    assert first.compiled is not None
    job = make_job(tenant, "straight_line", dataset=done.dataset)
    used = storage_used(tenant)
    tenant.max_storage_bytes = used + first.artifact.size_bytes + first.compiled.size_bytes // 2
    tenant.save()
    job = wait_for_end(job)
    assert (job.state, job.error_code) == (State.FAILED, "storage_quota_exceeded")
    assert storage_used(tenant) == used


def test_the_web_side_imports_no_heavy_library() -> None:
    code = (
        "import sys, django; django.setup(); import modelpool.training.services, modelpool.training.querysets; "
        "print([n for n in ('pandas', 'sklearn', 'scipy', 'skl2onnx', 'onnx', 'pyarrow', 'skops') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
