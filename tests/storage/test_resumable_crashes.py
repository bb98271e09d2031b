"""``kill -9`` at every step of an upload in pieces: what was acknowledged is kept, and nothing is left over."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connections, transaction

from modelpool.storage import failpoints
from modelpool.storage.models import Artifact, Upload, UploadPart
from modelpool.storage.resumable import append, begin_upload, chunks_of, get_upload, use_up, whole_upload
from modelpool.storage.services import get_store, storage_used, store_artifact, sweep
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from tests.children import in_child

pytestmark = pytest.mark.django_db(transaction=True)

PARTS = [bytes([number]) * 1000 for number in range(4)]
OF_A_PART = [step for step in failpoints.STEPS if step.startswith(("artifact.", "file.")) and "removed" not in step]


@pytest.fixture
def upload(tenant: Tenant, actor: Actor) -> Upload:
    get_store("default").check()
    return begin_upload(tenant, length=4000, actor=actor)


def send(upload: Upload, told: Path) -> None:
    while upload.offset < upload.length:
        upload = append(upload, offset=upload.offset, chunks=[PARTS[upload.offset // 1000]])
        told.write_text(str(upload.offset))


@pytest.mark.parametrize("step", [*OF_A_PART, *failpoints.UPLOAD_STEPS])
@pytest.mark.parametrize("times", [1, 3])
def test_a_part_is_kept_or_was_never_there(upload: Upload, step: str, times: int, tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.write_text("0")

    def killed() -> None:
        failpoints.arm(f"{step}:{times}")
        send(upload, told)

    assert in_child_of_its_own(killed) == -signal.SIGKILL
    kept = get_upload(upload.tenant, upload.pk)
    assert kept.offset in (int(told.read_text()), (kept.n_parts) * 1000)
    assert kept.offset >= int(told.read_text())
    assert b"".join(part_bytes(kept)) == b"".join(PARTS)[: kept.offset]
    send(kept, told)
    whole = whole_upload(upload.tenant, upload.pk)
    assert b"".join(chunks_of(whole)) == b"".join(PARTS)
    check_bytes_are_accounted_for(upload.tenant, 4)


def part_bytes(upload: Upload) -> list[bytes]:
    parts = UploadPart.objects.for_tenant(upload.tenant_id).filter(upload_id=upload.pk).order_by("number")
    found = []
    for part in parts.select_related("artifact"):
        with get_store(part.artifact.store).open(part.artifact.key) as pieces:
            found.append(b"".join(pieces))
    return found


@pytest.mark.parametrize("step", [*OF_A_PART, "artifact.removed"])
def test_an_upload_is_used_up_once_or_not_at_all(upload: Upload, step: str, tmp_path: Path) -> None:
    """The bytes are made a file of; the kill comes before that is known, or while the parts are removed."""
    send(upload, tmp_path / "told")

    def use() -> Artifact:
        artifact = store_artifact(
            upload.tenant, chunks=chunks_of(upload), store="default", replaces_bytes=upload.length
        )
        with transaction.atomic():
            use_up(upload)
            Artifact.objects.for_tenant(upload.tenant).filter(pk=artifact.pk).update(state=Artifact.State.READY)
        return artifact

    def killed() -> None:
        failpoints.arm(step)
        use()

    assert in_child_of_its_own(killed) == -signal.SIGKILL
    if step == "artifact.removed":
        assert not Upload.objects.for_tenant(upload.tenant).exists()
    else:
        use()
    check_bytes_are_accounted_for(upload.tenant, 1)


def in_child_of_its_own(call: Callable[[], object]) -> int:
    connections.close_all()
    return in_child(call)


def check_bytes_are_accounted_for(tenant: Tenant, artifacts: int) -> None:
    time.sleep(0.01)  # the clock of the sweep counts in milliseconds
    assert sweep(grace_s=0).missing == []
    rows = Artifact.objects.for_tenant(tenant)
    assert [row.state for row in rows] == ["ready"] * artifacts
    assert sorted(found.key for found in get_store("default").list()) == sorted(row.key for row in rows)
    assert storage_used(tenant) == 4000
