"""How long datasets are kept: by tenant, by installation, by date; never less long than a job needs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from msgspec import structs

from modelpool import conf
from modelpool.core.errors import InvalidField
from modelpool.storage.models import Artifact
from modelpool.storage.services import mark_ready, store_artifact
from modelpool.tenants import services as tenants
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Tenant
from modelpool.training import retention, services
from modelpool.training.models import Dataset, TrainingJob
from modelpool.training.retention import delete_expired
from tests.training.conftest import MakeJob

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
MakeDataset = Callable[..., Dataset]


@pytest.fixture
def kept_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set ``[datasets] keep``."""

    def kept_for(time: timedelta) -> None:
        now = conf.settings()
        keep = conf.Duration(time.total_seconds())
        changed = structs.replace(now, datasets=structs.replace(now.datasets, keep=keep))
        monkeypatch.setattr(conf, "settings", lambda: changed)

    return kept_for


def expire(dataset: Dataset) -> None:
    """Let its time have come."""
    Dataset.objects.for_tenant(dataset.tenant_id).filter(pk=dataset.pk).update(expires_at=timezone.now() - DAY)


def exists(dataset: Dataset) -> bool:
    """Whether it is there."""
    found: bool = Dataset.objects.for_tenant(dataset.tenant_id).filter(pk=dataset.pk).exists()
    return found


@pytest.mark.parametrize(("days", "expected"), [(None, 30), (7, 7), (0, None)])
def test_a_tenants_days_go_before_the_installations(
    tenant: Tenant, actor: Actor, make_dataset: MakeDataset, kept_for: Any, days: int | None, expected: int | None
):
    kept_for(30 * DAY)
    tenant = tenants.update_tenant(tenant, actor=actor, dataset_days=days)
    before = timezone.now()
    dataset = make_dataset(tenant)
    if expected is None:
        assert dataset.expires_at is None
    else:
        assert before + expected * DAY <= dataset.expires_at <= timezone.now() + expected * DAY


def test_datasets_are_kept_for_good_unless_somebody_says_otherwise(tenant: Tenant, make_dataset: MakeDataset):
    assert make_dataset(tenant).expires_at is None


def test_an_expired_dataset_goes_with_both_of_its_files(
    tenant: Tenant, make_dataset: MakeDataset, django_capture_on_commit_callbacks: Any
):
    gone, kept, later = make_dataset(tenant), make_dataset(tenant), make_dataset(tenant)
    table = store_artifact(tenant, chunks=[b"PAR1"], store=tenant.store)
    mark_ready(table)
    Dataset.objects.for_tenant(tenant).filter(pk=gone.pk).update(table=table)
    Dataset.objects.for_tenant(tenant).filter(pk=later.pk).update(expires_at=timezone.now() + DAY)
    expire(gone)
    with django_capture_on_commit_callbacks(execute=True):
        assert delete_expired() == 1
    assert [exists(dataset) for dataset in (gone, kept, later)] == [False, True, True]
    left = Artifact.objects.for_tenant(tenant).filter(state=Artifact.State.READY)
    assert set(left.values_list("pk", flat=True)) == {kept.artifact_id, later.artifact_id}
    event = AuditEvent.objects.filter(action="dataset.delete").get()
    assert (event.target, event.actor_label) == (str(gone.pk), "retention")


@pytest.mark.parametrize("state", [TrainingJob.State.QUEUED, TrainingJob.State.RUNNING])
def test_what_a_job_needs_stays_until_the_job_has_ended(
    tenant: Tenant, make_dataset: MakeDataset, make_job: MakeJob, state: str
):
    dataset, other = make_dataset(tenant), make_dataset(tenant)
    job = make_job(tenant, dataset=dataset)
    TrainingJob.objects.for_tenant(tenant).filter(pk=job.pk).update(state=state)
    expire(dataset)
    expire(other)
    assert delete_expired() == 1
    assert (exists(dataset), exists(other)) == (True, False)
    TrainingJob.objects.for_tenant(tenant).filter(pk=job.pk).update(state=TrainingJob.State.SUCCEEDED)
    assert delete_expired() == 1
    assert not exists(dataset)


def test_what_somebody_keeps_at_the_last_moment_stays(
    tenant: Tenant, actor: Actor, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
):
    dataset = make_dataset(tenant)
    expire(dataset)
    look_again = retention._delete_if_due

    def keep_first(found: Dataset) -> bool:
        services.change_dataset(found, actor=actor, is_kept=True)
        return look_again(found)

    monkeypatch.setattr(retention, "_delete_if_due", keep_first)
    assert delete_expired() == 0
    assert exists(dataset)


def test_a_date_in_the_past_is_refused(tenant: Tenant, actor: Actor, make_dataset: MakeDataset):
    with pytest.raises(InvalidField, match="in the future"):
        services.change_dataset(make_dataset(tenant), actor=actor, expires_at=timezone.now() - DAY)
