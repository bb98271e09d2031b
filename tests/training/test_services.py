"""Datasets and jobs: what is checked before anything is kept, and what each change leaves behind."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from modelpool import conf
from modelpool.core.errors import (
    Conflict,
    DatasetNotFound,
    Invalid,
    InvalidField,
    InvalidName,
    JobNotFound,
    ModelNotFound,
    QuotaExceeded,
    TooLarge,
    Unavailable,
    UnknownTrainer,
)
from modelpool.registry.models import RegisteredModel
from modelpool.registry.services import delete_model, get_or_create_model
from modelpool.storage.models import Artifact
from modelpool.storage.services import read_artifact, storage_used
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Tenant
from modelpool.training import services
from modelpool.training.models import Dataset, JobLogLine, TrainerInfo, TrainingJob
from tests.training.conftest import MakeJob

pytestmark = pytest.mark.django_db

MakeDataset = Callable[..., Dataset]
CSV = b"x,y\n1,2\n"


def fields_of(error: Invalid) -> list[str]:
    return [item.field for item in error.errors]


def audit_of(target: object) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(target=str(target)).order_by("id")


@pytest.fixture
def forest(db: None) -> TrainerInfo:
    """A trainer with parameters of several kinds."""
    schema = {
        "type": "object",
        "properties": {
            "n_estimators": {"type": "integer", "minimum": 1, "maximum": 5000},
            "algorithm": {"enum": ["forest", "trees"]},
            "depth": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
            "weights": {"type": "array", "items": {"type": "number"}},
        },
        "required": ["algorithm"],
        "additionalProperties": False,
    }
    return TrainerInfo.objects.create(name="forest", params_schema=schema, source="acme:Forest")


def test_a_dataset_keeps_the_bytes_and_says_who_made_it(tenant: Tenant, actor: Actor) -> None:
    dataset = services.create_dataset(tenant, chunks=[CSV[:4], CSV[4:]], format="csv", filename="a.csv", actor=actor)
    assert (dataset.name, dataset.size_bytes, dataset.n_rows, dataset.columns) == ("a.csv", len(CSV), None, None)
    assert read_artifact(dataset.artifact) == CSV
    assert Artifact.unscoped.get(pk=dataset.artifact_id).state == Artifact.State.READY
    assert [event.action for event in audit_of(dataset.pk)] == ["dataset.create"]


def test_an_unknown_format_and_an_empty_file_are_refused(tenant: Tenant, actor: Actor) -> None:
    with pytest.raises(InvalidField, match=r"format.*'xlsx'.*csv"):
        services.create_dataset(tenant, chunks=[CSV], format="xlsx", actor=actor)
    with pytest.raises(InvalidField, match="empty"):
        services.create_dataset(tenant, chunks=[b""], format="csv", actor=actor)
    assert not Dataset.unscoped.exists()
    assert not Artifact.unscoped.exclude(state=Artifact.State.DELETED).exists()


def test_a_dataset_that_could_not_be_named_leaves_no_bytes(tenant: Tenant, actor: Actor) -> None:
    def refuse(dataset: Dataset) -> None:
        raise Conflict("answered already")

    with pytest.raises(Conflict):
        services.create_dataset(tenant, chunks=[CSV], format="csv", actor=actor, in_transaction=refuse)
    assert not Dataset.unscoped.exists()
    assert storage_used(tenant) == 0


def test_a_dataset_that_came_with_a_failing_request_goes_with_it(
    tenant: Tenant, make_dataset: MakeDataset, actor: Actor
) -> None:
    dataset = make_dataset(tenant)
    with pytest.raises(UnknownTrainer), services.discarded_on_error(dataset, actor=actor):
        raise UnknownTrainer("x", ["y"])
    assert not Dataset.unscoped.exists()


def test_a_dataset_beyond_the_limit_is_refused(tenant: Tenant, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    small = conf.decode_settings({"limits": {"max_dataset": 5}}, source="test")
    monkeypatch.setattr(conf, "settings", lambda: small)
    with pytest.raises(TooLarge):
        services.create_dataset(tenant, chunks=[CSV], format="csv", actor=actor)
    assert not Dataset.unscoped.exists()


def test_deleting_a_dataset_removes_its_file(tenant: Tenant, make_dataset: MakeDataset, actor: Actor) -> None:
    dataset = make_dataset(tenant)
    services.delete_dataset(dataset, actor=actor)
    with pytest.raises(DatasetNotFound):
        services.get_dataset(tenant, dataset.pk)
    assert Artifact.unscoped.get(pk=dataset.artifact_id).state == Artifact.State.DELETED
    with pytest.raises(DatasetNotFound):
        services.delete_dataset(dataset, actor=actor)


def test_a_dataset_that_a_job_needs_is_not_deleted(tenant: Tenant, make_job: MakeJob, actor: Actor) -> None:
    job = make_job(tenant)
    assert job.dataset is not None
    with pytest.raises(Conflict, match=str(job.pk)):
        services.delete_dataset(job.dataset, actor=actor)
    services.cancel_job(job, actor=actor)
    services.delete_dataset(job.dataset, actor=actor)


@pytest.mark.parametrize("wrong", [uuid.uuid4(), "nonsense", "", "../x"])
def test_an_id_that_is_none_is_not_found(tenant: Tenant, wrong: Any) -> None:
    with pytest.raises(DatasetNotFound):
        services.get_dataset(tenant, wrong)
    with pytest.raises(JobNotFound):
        services.get_job(tenant, wrong)


def test_another_tenants_things_are_not_found(tenant: Tenant, other_tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    assert job.dataset is not None
    with pytest.raises(JobNotFound):
        services.get_job(other_tenant, job.pk)
    with pytest.raises(DatasetNotFound):
        services.get_dataset(other_tenant, job.dataset.pk)
    with pytest.raises(DatasetNotFound):
        make_job(other_tenant, dataset=job.dataset)
    assert not TrainingJob.objects.for_tenant(other_tenant).exists()
    assert not RegisteredModel.objects.for_tenant(other_tenant).exists()


def test_a_job_remembers_what_was_asked_and_creates_the_model(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant, "straight_line", params={"fit_intercept": False}, activate="never", tags={"team": "a"})
    assert (job.state, job.params, job.activate, job.tags) == (
        "queued",
        {"fit_intercept": False},
        "never",
        {"team": "a"},
    )
    limits = conf.settings().jobs
    assert (job.timeout_s, job.memory_limit_bytes) == (limits.timeout, limits.memory_limit)
    assert services.get_job(tenant, str(job.pk)).model.name == "line"
    assert [event.action for event in audit_of(job.pk)] == ["job.submit"]


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({"algorithm": "forest", "n_estimators": 0}, "params.n_estimators", "at least 1"),
        ({"algorithm": "forest", "n_estimators": "many"}, "params.n_estimators", "must be integer"),
        ({"algorithm": "oracle"}, "params.algorithm", "must be one of forest, trees"),
        ({"algorithm": "forest", "n_estimatros": 5}, "params.n_estimatros", "n_estimators"),
        ({}, "params.algorithm", "required"),
        ({"algorithm": "forest", "depth": 0}, "params.depth", "integer of at least 1 or null"),
        ({"algorithm": "forest", "weights": [1, "a"]}, "params.weights[1]", "must be number"),
        ([], "params", "object"),
    ],
)
def test_wrong_parameters_are_named(
    tenant: Tenant, forest: TrainerInfo, make_job: MakeJob, params: Any, field: str, message: str
) -> None:
    with pytest.raises(Invalid) as caught:
        make_job(tenant, "forest", params=params)
    assert field in fields_of(caught.value)
    assert message in str(caught.value)
    assert not TrainingJob.unscoped.exists()


def test_right_parameters_pass(tenant: Tenant, forest: TrainerInfo, make_job: MakeJob) -> None:
    params = {"algorithm": "forest", "depth": None, "weights": [1, 2.5], "n_estimators": 5}
    assert make_job(tenant, "forest", params=params).params == params


def test_an_unknown_trainer_is_answered_with_the_known_ones(tenant: Tenant, make_job: MakeJob) -> None:
    with pytest.raises(UnknownTrainer, match=r"'magic'.*straight_line"):
        make_job(tenant, "magic")


def test_before_any_worker_has_started_training_is_not_available(
    tenant: Tenant, make_dataset: MakeDataset, actor: Actor
) -> None:
    with pytest.raises(Unavailable) as caught:
        services.submit_job(tenant, model="m", trainer="any", dataset=make_dataset(tenant), actor=actor)
    assert caught.value.retry_after_s


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"activate": "maybe"}, "activate"),
        ({"tags": {"a": 1}}, "tags.a"),
        ({"tags": []}, "tags"),
        ({"target": "t" * 201}, "target"),
        ({"target": 3}, "target"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 1e9}, "timeout_s"),
        ({"timeout_s": True}, "timeout_s"),
        ({"memory_limit_bytes": 2**50}, "memory_limit_bytes"),
    ],
)
def test_wrong_requests_are_named(tenant: Tenant, make_job: MakeJob, values: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        make_job(tenant, **values)
    assert fields_of(caught.value) == [field]
    assert not TrainingJob.unscoped.exists()


def test_a_wrong_model_name_is_refused(tenant: Tenant, make_job: MakeJob) -> None:
    with pytest.raises(InvalidName):
        make_job(tenant, model="Not A Name")
    assert not TrainingJob.unscoped.exists()


def test_a_target_that_the_described_dataset_has_not_is_refused_at_once(
    tenant: Tenant, make_job: MakeJob, make_dataset: MakeDataset
) -> None:
    dataset = make_dataset(tenant)
    dataset.columns = [{"name": "x"}, {"name": "y"}]
    with pytest.raises(InvalidField, match=r"no column 'z'.*'x', 'y'"):
        make_job(tenant, dataset=dataset, target="z")


def test_the_quota_of_waiting_jobs_holds_until_one_starts(
    tenant: Tenant, make_job: MakeJob, make_dataset: MakeDataset
) -> None:
    dataset = make_dataset(tenant)
    Tenant.objects.filter(pk=tenant.pk).update(max_queued_jobs=2)
    first = make_job(tenant, dataset=dataset)
    make_job(tenant, dataset=dataset)
    with pytest.raises(QuotaExceeded) as caught:
        make_job(tenant, dataset=dataset)
    assert caught.value.retry_after_s
    TrainingJob.unscoped.filter(pk=first.pk).update(state=TrainingJob.State.RUNNING)
    make_job(tenant, dataset=dataset)


def test_the_log_is_read_from_where_one_was(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    lines = [JobLogLine.objects.create(job=job, attempt=1, text=f"line {n}") for n in range(5)]
    assert [line.text for line in services.job_log(job, limit=2)] == ["line 0", "line 1"]
    assert [line.text for line in services.job_log(job, after=lines[2].pk)] == ["line 3", "line 4"]


@pytest.mark.django_db(transaction=True)
def test_a_job_never_outlives_the_model_that_it_fills(tenant: Tenant, make_job: MakeJob, actor: Actor) -> None:
    """Submitted while its model is being deleted, a job goes with it or gets a new model of that name."""
    dataset = make_job(tenant).dataset
    start = threading.Barrier(3)

    def run(work: Callable[[], object]) -> None:
        start.wait()
        with suppress(ModelNotFound):
            work()
        connection.close()

    def submit() -> object:
        return make_job(tenant, dataset=dataset)

    for _ in range(5):
        model = get_or_create_model(tenant, name="line", actor=actor)
        calls = [submit, submit, partial(delete_model, model, actor=actor)]
        threads = [threading.Thread(target=run, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    living = set(RegisteredModel.objects.for_tenant(tenant).values_list("pk", flat=True))
    jobs = TrainingJob.objects.for_tenant(tenant)
    assert set(jobs.values_list("model_id", flat=True)) <= living
    assert AuditEvent.objects.filter(action="job.submit").count() == 11
