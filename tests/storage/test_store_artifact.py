from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections, transaction

from modelpool import conf
from modelpool.core.errors import (
    ArtifactCorrupt,
    ConfigurationError,
    Conflict,
    InvalidField,
    ModelpoolError,
    StorageQuotaExceeded,
    TooLarge,
)
from modelpool.storage.models import Artifact, StoredBlob
from modelpool.storage.services import (
    copy_to_file,
    delete_artifacts,
    discard_artifact,
    get_store,
    mark_ready,
    open_artifact,
    read_artifact,
    storage_used,
    store_artifact,
)
from modelpool.tenants.models import Tenant

MIB = 1 << 20
STORES = pytest.mark.parametrize("store", ["default", "rows"])


def store_ready(tenant: Tenant, data: bytes, *, store: str = "default") -> Artifact:
    artifact = store_artifact(tenant, chunks=[data], store=store)
    with transaction.atomic():
        mark_ready(artifact)
    return artifact


def rows(tenant: Tenant) -> list[Artifact]:
    return list(Artifact.objects.for_tenant(tenant))


@STORES
def test_an_artifact_is_pending_until_somebody_names_it(tenant: Tenant, store: str) -> None:
    data = os.urandom(MIB + 5)
    artifact = store_artifact(tenant, chunks=[data[:7], data[7:]], store=store, filename="a/b\\c\nd.onnx")
    row = rows(tenant)[0]
    assert (row.state, row.size_bytes, row.sha256) == ("pending", len(data), hashlib.sha256(data).hexdigest())
    assert (artifact.size_bytes, artifact.sha256, artifact.filename) == (row.size_bytes, row.sha256, "abcd.onnx")
    with transaction.atomic():
        mark_ready(artifact)
    assert rows(tenant)[0].state == "ready"
    assert read_artifact(artifact) == data


def test_files_lie_in_a_folder_named_by_the_tenants_id(tenant: Tenant, home: Path) -> None:
    artifact = store_ready(tenant, b"data")
    assert (home / "artifacts" / tenant.pk.hex / artifact.pk.hex).read_bytes() == b"data"


def test_an_unknown_store_is_a_wrong_setting(tenant: Tenant) -> None:
    with pytest.raises(ConfigurationError, match=r"stores\.bucket"):
        store_artifact(tenant, chunks=[b"x"], store="bucket")
    assert rows(tenant) == []


@STORES
def test_too_much_is_refused_and_leaves_nothing(tenant: Tenant, store: str) -> None:
    taken: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"x" * 1000

    with pytest.raises(TooLarge, match="2500"):
        store_artifact(tenant, chunks=chunks(), store=store, limit_bytes=2500)
    assert len(taken) == 3
    assert rows(tenant) == []
    assert list(get_store(store).list()) == []


@STORES
def test_exactly_the_limit_is_accepted(tenant: Tenant, store: str) -> None:
    assert store_artifact(tenant, chunks=[b"x" * 2500], store=store, limit_bytes=2500).size_bytes == 2500


@STORES
def test_a_client_that_goes_away_leaves_nothing(tenant: Tenant, store: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * (2 * MIB)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        store_artifact(tenant, chunks=chunks(), store=store)
    assert rows(tenant) == []
    assert list(get_store(store).list()) == []
    assert not StoredBlob.objects.exists()


def test_a_wrong_digest_is_refused_by_name(tenant: Tenant) -> None:
    right = hashlib.sha256(b"data").hexdigest()
    assert store_artifact(tenant, chunks=[b"data"], store="default", expected_sha256=right.upper()).sha256 == right
    with pytest.raises(InvalidField, match="sha256") as caught:
        store_artifact(tenant, chunks=[b"dada"], store="default", expected_sha256=right)
    assert caught.value.errors[0].field == "sha256"
    assert len(rows(tenant)) == 1


def test_an_artifact_becomes_ready_in_a_transaction_only(transactional_db: None, actor: object) -> None:
    tenant = Tenant.objects.create(name="t")
    artifact = store_artifact(tenant, chunks=[b"x"], store="default")
    with pytest.raises(transaction.TransactionManagementError):
        mark_ready(artifact)


def test_what_was_swept_or_never_whole_does_not_become_ready(tenant: Tenant) -> None:
    half = Artifact.objects.create(tenant=tenant, store="default")
    swept = store_artifact(tenant, chunks=[b"x"], store="default")
    Artifact.objects.for_tenant(tenant).filter(pk=swept.pk).update(state="deleted")
    for artifact in (half, swept):
        with pytest.raises(Conflict), transaction.atomic():
            mark_ready(artifact)


# --- quotas -----------------------------------------------------------------------------------------------------------


def test_used_bytes_are_those_of_living_artifacts(tenant: Tenant, other_tenant: Tenant) -> None:
    store_ready(tenant, b"x" * 100)
    store_artifact(tenant, chunks=[b"x" * 10], store="rows")
    store_ready(other_tenant, b"x" * 1000)
    gone = store_ready(tenant, b"x" * 5000)
    with transaction.atomic():
        delete_artifacts([gone])
    assert storage_used(tenant) == 110


def test_the_quota_stops_an_upload_while_it_arrives(tenant: Tenant) -> None:
    tenant.max_storage_bytes = 3 * MIB
    tenant.save()
    taken: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            taken.append(number)
            yield b"x" * MIB

    with pytest.raises(StorageQuotaExceeded, match="quota"):
        store_artifact(tenant, chunks=chunks(), store="default")
    assert len(taken) == 4
    assert storage_used(tenant) == 0


def test_the_last_byte_of_the_quota_can_be_used(tenant: Tenant) -> None:
    tenant.max_storage_bytes = 2 * MIB + 3
    tenant.save()
    store_ready(tenant, b"x" * (2 * MIB))
    assert store_ready(tenant, b"xyz").size_bytes == 3
    with pytest.raises(StorageQuotaExceeded):
        store_artifact(tenant, chunks=[b"x"], store="default")
    assert store_artifact(tenant, chunks=[], store="default").size_bytes == 0


def test_the_installations_quota_holds_where_the_tenant_has_none(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELPOOL_LIMITS_TENANT_STORAGE", "10")
    conf.settings.cache_clear()
    with pytest.raises(StorageQuotaExceeded):
        store_artifact(tenant, chunks=[b"x" * 11], store="default")


@STORES
def test_uploads_at_once_cannot_pass_the_quota_together(transactional_db: None, store: str) -> None:
    tenant = Tenant.objects.create(name="t", max_storage_bytes=5 * MIB)
    get_store(store).check()
    outcomes: list[object] = []
    barrier = threading.Barrier(8)

    def upload() -> None:
        try:
            barrier.wait(30)
            outcomes.append(store_artifact(tenant, chunks=iter([b"x" * (MIB // 2)] * 3), store=store))
        except ModelpoolError as error:
            outcomes.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [outcome for outcome in outcomes if isinstance(outcome, Artifact)]
    assert len(outcomes) == 8
    assert all(isinstance(outcome, Artifact | StorageQuotaExceeded) for outcome in outcomes), outcomes
    assert len(stored) <= 3
    assert storage_used(tenant) == sum(artifact.size_bytes for artifact in stored) <= 5 * MIB
    assert len(list(get_store(store).list())) == len(stored)


# --- reading ----------------------------------------------------------------------------------------------------------


@STORES
def test_ranges_are_those_of_the_file(tenant: Tenant, store: str) -> None:
    data = os.urandom(2 * MIB + 10)
    artifact = store_ready(tenant, data, store=store)
    for start, stop in [(0, None), (5, 10), (MIB - 1, MIB + 1), (2 * MIB, None), (0, 1), (7, 7), (len(data), None)]:
        with open_artifact(artifact, start=start, stop=stop) as pieces:
            assert b"".join(pieces) == data[start:stop]


def spoil(home: Path, artifact: Artifact, data: bytes) -> None:
    path = home / "artifacts" / artifact.key
    path.chmod(0o640)
    path.write_bytes(data)


@pytest.mark.parametrize("change", ["flipped", "short", "long", "gone"])
def test_bytes_that_changed_are_never_read(tenant: Tenant, home: Path, tmp_path: Path, change: str) -> None:
    data = os.urandom(2 * MIB)
    artifact = store_ready(tenant, data)
    spoilt = {"flipped": data[:-1] + bytes([data[-1] ^ 1]), "short": data[:-1], "long": data + b"x", "gone": b""}[
        change
    ]
    spoil(home, artifact, spoilt)
    if change == "gone":
        (home / "artifacts" / artifact.key).unlink()
    with pytest.raises(ArtifactCorrupt):
        read_artifact(artifact)
    with pytest.raises(ArtifactCorrupt):
        copy_to_file(artifact, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_receiver_that_counts_never_takes_a_corrupt_file_for_whole(tenant: Tenant, home: Path) -> None:
    data = os.urandom(3 * MIB)
    artifact = store_ready(tenant, data)
    spoil(home, artifact, b"\0" + data[1:])
    received = 0
    with open_artifact(artifact) as pieces, pytest.raises(ArtifactCorrupt):  # noqa: PT012
        for piece in pieces:
            received += len(piece)
    assert received < len(data)


@STORES
def test_a_copy_is_private_and_never_over_another_file(tenant: Tenant, tmp_path: Path, store: str) -> None:
    artifact = store_ready(tenant, b"data", store=store)
    copy_to_file(artifact, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"data"
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        copy_to_file(artifact, tmp_path / "copy")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        copy_to_file(artifact, tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


# --- deleting ---------------------------------------------------------------------------------------------------------


@STORES
def test_bytes_go_after_the_commit(transactional_db: None, store: str) -> None:
    artifact = store_ready(Tenant.objects.create(name="t"), b"data", store=store)
    with transaction.atomic():
        delete_artifacts([artifact])
        assert get_store(store).stat(artifact.key).size_bytes == 4
    assert list(get_store(store).list()) == []
    assert not Artifact.unscoped.exists()


def test_bytes_stay_when_the_deletion_is_rolled_back(transactional_db: None) -> None:
    artifact = store_ready(Tenant.objects.create(name="t"), b"data")
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        delete_artifacts([artifact])
        raise RuntimeError("no")
    assert read_artifact(artifact) == b"data"
    assert Artifact.unscoped.get().state == "ready"


def test_a_store_that_is_away_does_not_stop_a_deletion(transactional_db: None, home: Path) -> None:
    artifact = store_ready(Tenant.objects.create(name="t"), b"data")
    (home / "artifacts").rename(home / "unmounted")
    with transaction.atomic():
        delete_artifacts([artifact])
    assert Artifact.unscoped.get().state == "deleted"
    assert (home / "unmounted" / artifact.key).exists()


def test_only_what_nothing_names_can_be_discarded(tenant: Tenant) -> None:
    kept, gone = store_ready(tenant, b"kept"), store_artifact(tenant, chunks=[b"gone"], store="default")
    discard_artifact(kept)
    discard_artifact(gone)
    assert [row.pk for row in rows(tenant)] == [kept.pk]
    assert read_artifact(kept) == b"kept"
