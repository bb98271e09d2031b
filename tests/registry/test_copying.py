"""Copies of versions in other tenants' pools: whole, their own, told of, and within the quota."""

from __future__ import annotations

from uuid import uuid4

import pytest

from modelpool.core.errors import (
    InvalidName,
    QuotaExceeded,
    StorageQuotaExceeded,
    VersionIsQuarantined,
    VersionNotReady,
)
from modelpool.core.manifests import UntrustedManifest
from modelpool.registry.copying import Origin, origin_of
from modelpool.registry.manifests import verify_version
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.quarantine import quarantine_version
from modelpool.registry.services import copy_version, create_model, get_version
from modelpool.storage.models import Artifact
from modelpool.storage.services import read_artifact, storage_used, store_artifact
from modelpool.tenants.models import AuditEvent, Tenant

pytestmark = pytest.mark.django_db

KNOWN = {
    "params": {"depth": 3},
    "tags": {"stage": "test"},
    "figures": {"roc": {"curves": []}},
    "libraries": {"scikit-learn": "1.5"},
    "description": "by hand",
    "parity": {"passed": True},
}


@pytest.fixture
def version(model, register, tenant):
    compiled = store_artifact(tenant, chunks=[b"faster"], store="default", filename="m.onnx")
    made = register(model, 0.9, compiled=compiled, format="sklearn", activate="always", **KNOWN)
    return get_version(model, made.number)


def nothing_of(tenant: Tenant) -> bool:
    left = RegisteredModel.objects.for_tenant(tenant).exists() or ModelVersion.objects.for_tenant(tenant).exists()
    return not left and storage_used(tenant) == 0


def test_the_files_and_what_is_known_go_along(version, other_tenant, actor):
    made = copy_version(version, to=other_tenant, name="borrowed", actor=actor)
    copied = get_version(made.model, 1)
    assert (copied.tenant, copied.model.name, copied.number) == (other_tenant, "borrowed", 1)
    for name in ("format", "serving_format", "metrics", "primary_metric", "signature", "sha256", "size_bytes", *KNOWN):
        assert getattr(copied, name) == getattr(version, name), name
    assert copied.artifact is not None
    assert copied.compiled is not None
    assert {copied.artifact.tenant_id, copied.compiled.tenant_id} == {other_tenant.pk}
    assert copied.artifact.pk != version.artifact.pk
    assert read_artifact(copied.artifact) == read_artifact(version.artifact)
    assert read_artifact(copied.compiled) == b"faster"


def test_a_copy_of_what_was_trained_is_an_upload_that_nobody_has_activated(version, other_tenant, actor):
    create_model(other_tenant, name="churn", actor=actor, policy="latest")
    assert version.trust == "trained"
    copied = copy_version(version, to=other_tenant, name="churn", actor=actor)
    assert (copied.trust, copied.job_id, copied.dataset_id) == ("uploaded-data", None, None)
    assert verify_version(get_version(copied.model, copied.number)).trust == "uploaded-data"
    copied.model.refresh_from_db()
    assert copied.model.active_version is None


def test_a_copy_says_where_it_comes_from_and_nothing_of_jobs_and_data(model, register, tenant, other_tenant, actor):
    job, dataset = uuid4(), uuid4()
    made = register(model, 0.9, job_id=job, dataset_id=dataset, **KNOWN)
    copied = copy_version(get_version(model, made.number), to=other_tenant, name="borrowed", actor=actor)
    assert origin_of(copied) == Origin("acme", "churn", 1, "trained")
    back = copy_version(get_version(copied.model, 1), to=tenant, name="returned", actor=actor)
    assert origin_of(back) == Origin("umbrella", "borrowed", 1, "trained")
    assert origin_of(made) is None
    row = ModelVersion.objects.for_tenant(other_tenant).filter(pk=copied.pk).values().get()
    trails = list(AuditEvent.objects.filter(tenant_id=other_tenant.pk).values())
    for secret in (job, dataset, made.pk, model.pk, tenant.pk):
        for form in (str(secret), secret.hex):
            assert form not in f"{row} {trails}"
            assert form.encode() not in bytes(row["manifest"])


def test_both_audit_trails_tell_of_it(version, tenant, other_tenant, actor):
    copy_version(version, to=other_tenant, name="borrowed", actor=actor)
    told = AuditEvent.objects.filter(action="version.copy").values_list("tenant_name", "target", "details")
    assert set(told.values_list("tenant_name", "target")) == {("acme", "churn/1"), ("umbrella", "borrowed/1")}
    details = {name: details for name, _target, details in told}
    assert details == {"acme": {"to": "umbrella/borrowed/1"}, "umbrella": {"from": "acme/churn/1"}}


@pytest.mark.parametrize(
    ("quota", "error"), [({"max_storage_bytes": 10}, StorageQuotaExceeded), ({"max_models": 0}, QuotaExceeded)]
)
def test_the_quotas_of_the_other_tenant_hold(version, other_tenant, actor, quota, error):
    Tenant.objects.filter(pk=other_tenant.pk).update(**quota)
    other_tenant.refresh_from_db()
    with pytest.raises(error):
        copy_version(version, to=other_tenant, name="borrowed", actor=actor)
    assert nothing_of(other_tenant)
    assert not AuditEvent.objects.filter(action="version.copy").exists()


def test_a_pool_that_was_there_stays_when_a_copy_is_refused(version, other_tenant, actor):
    create_model(other_tenant, name="borrowed", actor=actor)
    Tenant.objects.filter(pk=other_tenant.pk).update(max_storage_bytes=10)
    other_tenant.refresh_from_db()
    with pytest.raises(StorageQuotaExceeded):
        copy_version(version, to=other_tenant, name="borrowed", actor=actor)
    assert RegisteredModel.objects.for_tenant(other_tenant).get().name == "borrowed"


def test_what_is_in_quarantine_or_not_ready_is_not_copied(version, other_tenant, actor):
    quarantine_version(version.pk, tenant_id=version.tenant_id, reason="it crashed")
    with pytest.raises(VersionIsQuarantined):
        copy_version(get_version(version.model, 1), to=other_tenant, name="borrowed", actor=actor)
    version.state = ModelVersion.State.PENDING
    with pytest.raises(VersionNotReady):
        copy_version(version, to=other_tenant, name="borrowed", actor=actor)
    assert nothing_of(other_tenant)


def test_what_is_not_as_it_was_signed_is_not_copied(version, other_tenant, actor):
    Artifact.objects.for_tenant(version.tenant).filter(pk=version.artifact_id).update(sha256="0" * 64)
    ModelVersion.objects.for_tenant(version.tenant).filter(pk=version.pk).update(sha256="0" * 64)
    with pytest.raises(UntrustedManifest):
        copy_version(get_version(version.model, 1), to=other_tenant, name="borrowed", actor=actor)
    assert nothing_of(other_tenant)


def test_a_wrong_name_is_refused_before_anything_is_stored(version, other_tenant, actor):
    with pytest.raises(InvalidName):
        copy_version(version, to=other_tenant, name="Not A Name", actor=actor)
    assert nothing_of(other_tenant)
