from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from modelpool.core.errors import Conflict
from modelpool.storage.models import Artifact, StoredBlob, StoreMark
from modelpool.storage.services import SweepReport, get_store, mark_ready, read_artifact, store_artifact, sweep
from modelpool.tenants.models import Tenant

STORES = pytest.mark.parametrize("store", ["default", "rows"])
HOUR = 3600.0


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    row: Tenant = Tenant.objects.create(name="acme")
    return row


def store_ready(tenant: Tenant, data: bytes = b"data", *, store: str = "default") -> Artifact:
    artifact = store_artifact(tenant, chunks=[data], store=store)
    with transaction.atomic():
        mark_ready(artifact)
    return artifact


def age(artifact: Artifact, hours: float) -> None:
    """Make an artifact, its object and the memory of its store older."""
    then = timezone.now() - timedelta(hours=hours)
    Artifact.unscoped.filter(pk=artifact.pk).update(touched_at=then, created_at=then)
    StoredBlob.objects.filter(key=artifact.key).update(modified_at=then)
    StoreMark.objects.update(since=then - timedelta(hours=1))
    path = get_store("default").local_path(artifact.key) if artifact.store == "default" else None
    if path is not None:
        os.utime(path, (then.timestamp(), then.timestamp()))


def keys(store: str) -> list[str]:
    return [found.key for found in get_store(store).list()]


@STORES
def test_what_is_in_use_stays(tenant: Tenant, store: str) -> None:
    artifact = store_ready(tenant, store=store)
    age(artifact, 100)
    report = sweep(grace_s=0)
    assert report == SweepReport()
    assert read_artifact(artifact) == b"data"


@STORES
def test_an_interrupted_upload_is_removed_after_the_grace(tenant: Tenant, store: str) -> None:
    artifact = store_artifact(tenant, chunks=[b"data"], store=store)
    assert sweep(grace_s=HOUR).expired_uploads == 0
    assert keys(store) == [artifact.key]
    age(artifact, 2)
    report = sweep(grace_s=HOUR)
    assert (report.expired_uploads, report.removed_artifacts) == (1, 1)
    assert keys(store) == []
    assert not Artifact.unscoped.exists()


def test_an_upload_that_was_swept_under_its_feet_fails_cleanly(tenant: Tenant) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        Artifact.unscoped.update(touched_at=timezone.now() - timedelta(hours=2))
        assert sweep(grace_s=HOUR).expired_uploads == 1
        yield b"two"

    with pytest.raises(Conflict, match="send it again"):
        store_artifact(tenant, chunks=chunks(), store="default")
    assert keys("default") == []
    assert not Artifact.unscoped.exists()


@STORES
def test_objects_that_no_row_names_are_removed_after_the_grace(tenant: Tenant, store: str) -> None:
    kept, lost = store_ready(tenant, store=store), store_ready(tenant, b"orphan", store=store)
    age(lost, 2)
    Artifact.unscoped.filter(pk=lost.pk).delete()
    young = store_ready(tenant, store=store)
    Artifact.unscoped.filter(pk=young.pk).delete()
    report = sweep(grace_s=HOUR)
    assert (report.removed_objects, report.removed_bytes) == (1, len(b"orphan"))
    assert keys(store) == sorted([kept.key, young.key])


def test_the_artifacts_of_a_deleted_tenant_are_orphans(tenant: Tenant) -> None:
    artifact = store_ready(tenant)
    age(artifact, 2)
    tenant.delete()
    assert sweep(grace_s=HOUR).removed_objects == 1
    assert keys("default") == []


def test_objects_from_before_this_database_knew_the_store_are_left_alone(tenant: Tenant) -> None:
    """They are another installation's, or of a time that no backup remembers."""
    artifact = store_ready(tenant)
    age(artifact, 2)
    Artifact.unscoped.all().delete()
    StoreMark.objects.update(since=timezone.now() - timedelta(hours=1))
    assert sweep(grace_s=0).removed_objects == 0
    assert keys("default") == [artifact.key]


def test_a_deletion_that_was_interrupted_is_finished(tenant: Tenant) -> None:
    artifact = store_ready(tenant)
    Artifact.unscoped.update(state="deleted")
    assert sweep(grace_s=HOUR).removed_artifacts == 1
    assert keys("default") == []
    assert not Artifact.unscoped.filter(pk=artifact.pk).exists()


def test_missing_and_damaged_artifacts_are_reported_and_kept(tenant: Tenant, home: Path) -> None:
    missing, damaged, alone = store_ready(tenant), store_ready(tenant), store_ready(Tenant.objects.create(name="b"))
    (home / "artifacts" / missing.key).unlink()
    (home / "artifacts" / damaged.key).write_bytes(b"shorter or longer")
    shutil.rmtree(home / "artifacts" / alone.key[:32])
    report = sweep(grace_s=0)
    assert sorted(report.missing) == sorted([missing.key, damaged.key, alone.key])
    assert Artifact.unscoped.filter(state="ready").count() == 3


@pytest.mark.parametrize("vanished", ["empty folder", "no folder"])
def test_a_vanished_volume_is_left_alone_and_the_other_stores_are_swept(
    tenant: Tenant, home: Path, vanished: str
) -> None:
    artifact, rows = store_ready(tenant), store_artifact(tenant, chunks=[b"x"], store="rows")
    deleted = store_ready(tenant)
    Artifact.unscoped.filter(pk=deleted.pk).update(state="deleted")
    age(rows, 2)
    (home / "artifacts").rename(home / "unmounted")
    if vanished == "empty folder":
        (home / "artifacts").mkdir()
    report = sweep(grace_s=0)
    assert "mounted" in report.skipped["default"]
    assert report.missing == []
    assert report.removed_artifacts == 1
    if vanished == "empty folder":
        (home / "artifacts").rmdir()
    (home / "unmounted").rename(home / "artifacts")
    assert read_artifact(artifact) == b"data"
    assert sweep(grace_s=0).removed_artifacts == 1
    assert keys("default") == [artifact.key]


def test_another_installations_volume_is_left_alone(tenant: Tenant, home: Path) -> None:
    store_ready(tenant)
    StoreMark.objects.update(mark="0" * 32)
    get_store.__globals__["_build_store"].cache_clear()
    assert "another volume" in sweep(grace_s=0).skipped["default"]
    assert len(list((home / "artifacts").glob("*/*"))) == 1


def test_artifacts_in_a_store_that_is_no_longer_configured_are_told(tenant: Tenant) -> None:
    Artifact.unscoped.filter(pk=store_ready(tenant).pk).update(store="bucket")
    report = sweep(grace_s=HOUR)
    assert "stores.bucket is not configured" in report.skipped["bucket"]
    assert (list(report.skipped), Artifact.unscoped.count(), len(keys("default"))) == (["bucket"], 1, 1)


def test_a_dry_run_changes_nothing_and_counts_the_same(tenant: Tenant) -> None:
    for _ in range(4):
        age(store_ready(tenant), 2)
    pending, orphan, deleted, _ = Artifact.unscoped.order_by("pk")
    Artifact.unscoped.filter(pk=pending.pk).update(state="pending")
    Artifact.unscoped.filter(pk=deleted.pk).update(state="deleted")
    Artifact.unscoped.filter(pk=orphan.pk).delete()
    before = keys("default"), list(Artifact.unscoped.order_by("pk").values_list("pk", "state"))
    planned = sweep(grace_s=HOUR, is_dry_run=True)
    assert (keys("default"), list(Artifact.unscoped.order_by("pk").values_list("pk", "state"))) == before
    assert (planned.expired_uploads, planned.removed_artifacts, planned.removed_objects) == (1, 1, 1)
    done = sweep(grace_s=HOUR)
    assert (done.expired_uploads, done.removed_artifacts, done.removed_objects) == (1, 2, 1)


def test_the_command_says_what_it_did(tenant: Tenant, home: Path) -> None:
    artifact = store_artifact(tenant, chunks=[b"data"], store="default")
    age(artifact, 2)
    out, err = io.StringIO(), io.StringIO()
    call_command("sweep_artifacts", "--grace", "1h", "--dry-run", stdout=out)
    assert "would remove: 1 interrupted" in out.getvalue()
    call_command("sweep_artifacts", "--grace", "1h", "-v2", stdout=out)
    assert "removed: 1 interrupted uploads, 1 deleted artifacts" in out.getvalue()
    assert "store default" in out.getvalue()
    (home / "artifacts" / store_ready(tenant).key).unlink()
    with pytest.raises(CommandError):
        call_command("sweep_artifacts", stdout=out, stderr=err)
    assert "missing or damaged" in err.getvalue()


def test_many_objects_of_many_tenants(tenant: Tenant) -> None:
    for name in ("b", "c"):
        other = Tenant.objects.create(name=name)
        for _ in range(3):
            artifact = store_ready(other, store="rows")
    orphan = f"{uuid.uuid4().hex}/{uuid.uuid4().hex}"
    get_store("rows").put(orphan, [b"x"])
    StoredBlob.objects.update(modified_at=timezone.now() - timedelta(hours=2))
    assert sweep(grace_s=HOUR).removed_objects == 1
    assert len(keys("rows")) == 6
    assert artifact.key in keys("rows")


def test_what_killed_uploads_left_on_the_own_disk_goes_when_it_is_old(tenant: Tenant, home: Path) -> None:
    folder = home / "tmp"
    folder.mkdir(exist_ok=True)
    old, young = folder / "tmp1.upload.onnx", folder / "tmp2.upload.onnx"
    for path in (old, young):
        path.write_bytes(b"data")
    os.utime(old, (0, 0))
    assert sweep(grace_s=HOUR, is_dry_run=True).removed_temporary == 1
    assert old.exists()
    assert sweep(grace_s=HOUR).removed_temporary == 1
    assert [path.name for path in folder.glob("*.onnx")] == [young.name]
    young.unlink()
