"""Second copies, moves and verification: nothing is lost, nothing wrong is read, whatever fails on the way."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connections, transaction
from django.utils import timezone

from modelpool import conf
from modelpool.core.errors import ArtifactCorrupt, Conflict, InvalidField, StoreUnavailable
from modelpool.storage import failpoints, replicas
from modelpool.storage.models import Artifact, Replica
from modelpool.storage.replicas import copy_artifact, put_in_place
from modelpool.storage.services import (
    copy_files,
    copy_to_file,
    delete_artifacts,
    get_store,
    mark_ready,
    move_files,
    open_artifact,
    read_artifact,
    store_artifact,
    sweep,
    verify,
)
from modelpool.tenants.changes import changes_after, last_change_id
from modelpool.tenants.models import Tenant

HOUR = 3600.0


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    row: Tenant = Tenant.objects.create(name="acme")
    return row


@pytest.fixture(autouse=True)
def second_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three stores: ``default`` and ``disk`` on disks, ``rows`` in the database."""
    monkeypatch.setenv("MODELPOOL_STORES_DISK_KIND", "filesystem")
    monkeypatch.setenv("MODELPOOL_STORES_DISK_PATH", str(home / "second"))
    conf.settings.cache_clear()
    yield home / "second"
    conf.settings.cache_clear()


def store_ready(tenant: Tenant, data: bytes = b"data", *, store: str = "default") -> Artifact:
    artifact = store_artifact(tenant, chunks=[data], store=store)
    with transaction.atomic():
        mark_ready(artifact)
    return artifact


def row_of(artifact: Artifact) -> Artifact:
    row: Artifact = Artifact.unscoped.get(pk=artifact.pk)
    return row


def keys(store: str) -> list[str]:
    return [found.key for found in get_store(store).list()]


def spoil(store: str, key: str, data: bytes | None = b"DATA") -> None:
    """Change what is stored, or lose it."""
    path = get_store(store).local_path(key)
    assert path is not None
    path.unlink()
    if data is not None:
        path.write_bytes(data)


def replicas_of(tenant: Tenant) -> list[tuple[str, str]]:
    return sorted(Replica.objects.for_tenant(tenant).values_list("store", "state"))


class TestCopy:
    def test_a_copy_has_a_key_of_its_own(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        replica = copy_artifact(artifact, to="rows")
        assert replica is not None
        assert keys("rows") == [replica.key] != keys("default") == [artifact.key]
        again = copy_artifact(artifact, to="rows")
        assert again is not None
        assert again.pk == replica.pk

    @pytest.mark.parametrize("damage", [None, b"DATA", b"dat"])
    def test_it_is_read_where_the_first_one_fails(self, tenant: Tenant, damage: bytes | None, tmp_path: Path) -> None:
        artifact = store_ready(tenant)
        copy_artifact(artifact, to="rows")
        spoil("default", artifact.key, damage)
        assert read_artifact(artifact) == b"data"
        copy_to_file(artifact, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == b"data"

    def test_a_stream_begins_at_it_where_the_first_one_cannot_be_opened(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        copy_artifact(artifact, to="rows")
        spoil("default", artifact.key, None)
        with open_artifact(artifact) as pieces:
            assert b"".join(pieces) == b"data"
        with open_artifact(artifact, start=1, stop=3) as pieces:
            assert b"".join(pieces) == b"at"

    def test_where_all_fail_the_first_failure_is_told(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        copy_artifact(artifact, to="disk")
        spoil("default", artifact.key)
        spoil("disk", keys("disk")[0], None)
        with pytest.raises(ArtifactCorrupt, match="not what was stored"):
            read_artifact(artifact)

    def test_a_store_that_is_away_is_no_reason_to_fail(self, tenant: Tenant, home: Path) -> None:
        artifact = store_ready(tenant)
        copy_artifact(artifact, to="rows")
        (home / "artifacts").rename(home / "away")
        assert read_artifact(artifact) == b"data"
        (home / "away").rename(home / "artifacts")

    def test_wrong_bytes_are_never_copied(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        spoil("default", artifact.key)
        with pytest.raises(ArtifactCorrupt):
            copy_artifact(artifact, to="rows")
        assert (keys("rows"), replicas_of(tenant)) == ([], [])

    def test_what_the_other_store_changed_is_not_kept(self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        artifact = store_ready(tenant)

        def spoil_stored(step: str) -> None:
            if step == "replica.stored":
                spoil("disk", keys("disk")[0])

        monkeypatch.setattr(replicas, "reach", spoil_stored)
        with pytest.raises(ArtifactCorrupt):
            copy_artifact(artifact, to="disk")
        assert (keys("disk"), replicas_of(tenant)) == ([], [])

    def test_one_of_two_makes_it(self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        artifact = store_ready(tenant)
        seen: list[object] = []
        monkeypatch.setattr(
            replicas,
            "reach",
            lambda step: seen.append(copy_artifact(artifact, to="rows")) if step == "replica.stored" else None,
        )
        assert copy_artifact(artifact, to="rows") is not None
        assert seen == [None]
        assert len(keys("rows")) == 1

    def test_one_that_was_interrupted_is_begun_again(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        dead = Replica.objects.for_tenant(tenant).create(tenant=tenant, artifact=artifact, store="rows")
        get_store("rows").put(dead.key, [b"da"])
        assert copy_artifact(artifact, to="rows") is None
        long_ago = timezone.now() - timedelta(seconds=replicas.LEASE_S + 5)
        Replica.objects.for_tenant(tenant).update(touched_at=long_ago)
        replica = copy_artifact(artifact, to="rows")
        assert replica is not None
        assert set(keys("rows")) == {dead.key, replica.key}
        sweep(grace_s=0)
        assert keys("rows") == [replica.key]

    def test_a_deleted_artifact_takes_its_copies_along(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        copy_artifact(artifact, to="rows")
        delete_artifacts([artifact])
        assert (keys("default"), keys("rows"), replicas_of(tenant)) == ([], [], [])

    def test_one_deleted_while_it_is_copied_leaves_nothing(
        self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        artifact = store_ready(tenant)
        monkeypatch.setattr(
            replicas, "reach", lambda step: delete_artifacts([artifact]) if step == "replica.proven" else None
        )
        assert copy_artifact(artifact, to="rows") is None
        assert (keys("default"), keys("rows"), replicas_of(tenant)) == ([], [], [])

    def test_all_files_of_a_tenant_are_copied_once(self, tenant: Tenant) -> None:
        for number in range(5):
            store_ready(tenant, b"x" * number)
        report = copy_files(tenant, to="rows")
        assert (report.files, report.size_bytes, report.is_complete) == (5, 10, True)
        assert copy_files(tenant, to="rows").files == 0
        assert len(keys("rows")) == 5
        assert sweep(grace_s=0).removed_objects == 0
        assert len(keys("rows")) == 5


class TestMove:
    @pytest.mark.parametrize(("source", "target"), [("default", "rows"), ("rows", "default"), ("default", "disk")])
    def test_there_and_back(self, tenant: Tenant, source: str, target: str) -> None:
        artifacts = [store_ready(tenant, b"data %d" % number, store=source) for number in range(4)]
        for here, there in ((source, target), (target, source)):
            report = move_files(tenant, to=there, keep_s=0)
            assert (report.files, report.is_complete, report.old_copies_removed) == (4, True, 4)
            assert keys(here) == []
            assert len(keys(there)) == 4
            assert [read_artifact(row_of(artifact)) for artifact in artifacts] == [b"data %d" % n for n in range(4)]
        assert replicas_of(tenant) == []
        assert [row_of(a).sha256 for a in artifacts] == [hashlib.sha256(b"data %d" % n).hexdigest() for n in range(4)]

    def test_who_knows_only_the_old_place_finds_the_new_one(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        move_files(tenant, to="rows", keep_s=0)
        assert artifact.store == "default"
        assert read_artifact(artifact) == b"data"

    def test_the_old_copy_stays_for_those_who_read_it(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        replica = copy_artifact(artifact, to="rows")
        assert replica is not None
        assert put_in_place(row_of(artifact), replica)
        assert (keys("default"), replicas_of(tenant)) == ([artifact.key], [("default", "leaving")])
        assert sweep(grace_s=HOUR).removed_replicas == 0
        assert sweep(grace_s=0).removed_replicas == 1
        assert keys("default") == []

    def test_a_second_copy_becomes_the_first(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        replica = copy_artifact(artifact, to="rows")
        assert replica is not None
        assert move_files(tenant, to="rows", keep_s=0).files == 1
        assert keys("rows") == [replica.key]

    def test_one_that_spoilt_since_does_not(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        replica = copy_artifact(artifact, to="disk")
        assert replica is not None
        spoil("disk", replica.key)
        report = move_files(tenant, to="disk", keep_s=0)
        assert (report.files, list(report.failed)) == (0, [str(artifact.pk)])
        assert read_artifact(row_of(artifact)) == b"data"
        assert row_of(artifact).store == "default"

    def test_one_failure_keeps_no_other_back(self, tenant: Tenant) -> None:
        artifacts = [store_ready(tenant, b"data %d" % number) for number in range(3)]
        spoil("default", artifacts[1].key)
        report = move_files(tenant, to="rows", keep_s=0)
        assert (report.files, list(report.failed), report.is_complete) == (2, [str(artifacts[1].pk)], False)
        assert [row_of(artifact).store for artifact in artifacts] == ["rows", "default", "rows"]

    def test_a_target_that_does_not_work_changes_nothing(self, tenant: Tenant, second_disk: Path) -> None:
        store_ready(tenant)
        second_disk.write_text("not a folder")
        with pytest.raises(InvalidField, match="does not work"):
            move_files(tenant, to="disk", keep_s=0)
        assert replicas_of(tenant) == []

    def test_only_files_of_one_store_and_one_tenant(self, tenant: Tenant) -> None:
        other: Tenant = Tenant.objects.create(name="other")
        mine, rows, theirs = store_ready(tenant), store_ready(tenant, store="rows"), store_ready(other)
        assert move_files(tenant, to="disk", source="rows", keep_s=0).files == 1
        assert [row_of(artifact).store for artifact in (mine, rows, theirs)] == ["default", "disk", "default"]

    def test_uploads_under_way_are_named(self, tenant: Tenant) -> None:
        pending = store_artifact(tenant, chunks=[b"new"], store="default")
        report = move_files(tenant, to="rows", keep_s=0)
        assert (report.under_way, report.is_complete) == (1, False)
        with transaction.atomic():
            mark_ready(pending)
        assert move_files(tenant, to="rows", keep_s=0).is_complete

    def test_processes_are_told(self, tenant: Tenant) -> None:
        store_ready(tenant)
        before = last_change_id()
        move_files(tenant, to="rows", keep_s=0)
        assert [(change.kind, change.ref) for change in changes_after(before)] == [("tenant", str(tenant.pk))]

    def test_two_at_once_share_the_work(self, tenant: Tenant) -> None:
        artifacts = [store_ready(tenant, b"data %d" % number) for number in range(12)]
        reports, failures = [], []

        def move() -> None:
            try:
                reports.append(move_files(tenant, to="disk", keep_s=0))
            except Exception as error:  # noqa: BLE001 - looked at below
                failures.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=move) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        move_files(tenant, to="disk", keep_s=0)
        sweep(grace_s=0)
        assert sum(report.files for report in reports) == 12
        assert len(keys("disk")) == 12
        assert keys("default") == []
        assert sorted(read_artifact(row_of(a)) for a in artifacts) == sorted(b"data %d" % n for n in range(12))

    def test_a_copy_that_rested_too_long_is_not_finished(self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        artifact = store_ready(tenant)
        monkeypatch.setattr(replicas, "_TOUCH_EVERY_S", -1)
        monkeypatch.setattr(
            replicas, "reach", lambda step: Replica.unscoped.update(state="leaving") if "begun" in step else None
        )
        with pytest.raises(Conflict, match="begin again"):
            copy_artifact(artifact, to="rows")
        assert (keys("rows"), replicas_of(tenant)) == ([], [])


class TestVerify:
    def test_all_is_read(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant, b"12345")
        store_ready(tenant, b"123", store="rows")
        copy_artifact(artifact, to="rows")
        report = verify()
        assert (report.files, report.copies, report.size_bytes, report.is_good) == (2, 3, 13, True)
        assert verify(store="rows").copies == 2
        assert verify(tenant=Tenant.objects.create(name="empty")).copies == 0

    @pytest.mark.parametrize(("damage", "problem"), [(None, "missing"), (b"DATA", "corrupt"), (b"dat", "corrupt")])
    def test_damage_is_found_and_without_another_copy_stays(
        self, tenant: Tenant, damage: bytes | None, problem: str
    ) -> None:
        artifact = store_ready(tenant)
        spoil("default", artifact.key, damage)
        report = verify(may_repair=True)
        assert [(found.key, found.problem, found.is_repaired) for found in report.damages] == [
            (artifact.key, problem, False)
        ]
        assert not report.is_good

    @pytest.mark.parametrize("damage", [None, b"DATA"])
    def test_the_first_copy_is_repaired_from_the_second(self, tenant: Tenant, damage: bytes | None) -> None:
        artifact = store_ready(tenant)
        copy_artifact(artifact, to="rows")
        spoil("default", artifact.key, damage)
        assert not verify().is_good
        report = verify(may_repair=True)
        assert (report.repaired, report.is_good) == (1, True)
        assert verify().damages == []
        assert row_of(artifact).store == "default"
        assert read_artifact(row_of(artifact)) == b"data"
        sweep(grace_s=0)
        assert keys("default") == [row_of(artifact).key]

    def test_the_second_copy_is_repaired_from_the_first(self, tenant: Tenant) -> None:
        artifact = store_ready(tenant)
        replica = copy_artifact(artifact, to="disk")
        assert replica is not None
        spoil("disk", replica.key)
        assert verify(may_repair=True).repaired == 1
        assert verify().damages == []
        assert len(keys("disk")) == 1

    def test_a_store_that_is_away_is_not_repaired(self, tenant: Tenant, home: Path) -> None:
        artifact = store_ready(tenant)
        copy_artifact(artifact, to="rows")
        (home / "artifacts").rename(home / "away")
        report = verify(may_repair=True)
        assert [(found.problem, found.is_repaired) for found in report.damages] == [("unreachable", False)]
        (home / "away").rename(home / "artifacts")
        assert verify().is_good

    def test_what_is_deleted_meanwhile_is_no_damage(self, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        artifact = store_ready(tenant)
        store = type(get_store("default"))
        opened = store.open

        def open_late(self: object, key: str, **how: int) -> object:
            delete_artifacts([row_of(artifact)])
            return opened(self, key, **how)

        monkeypatch.setattr(store, "open", open_late)
        assert verify().damages == []


@pytest.mark.parametrize("step", failpoints.MOVE_STEPS)
@pytest.mark.parametrize(("source", "target"), [("default", "rows"), ("rows", "disk")])
def test_a_kill_at_any_step_of_a_move_loses_nothing(tenant: Tenant, step: str, source: str, target: str) -> None:
    artifacts = [store_ready(tenant, b"data %d" % number, store=source) for number in range(3)]
    get_store(target).check()

    def move() -> None:
        failpoints.arm(f"{step}:2")
        move_files(tenant, to=target, keep_s=0)

    assert status_of_child(move) == -signal.SIGKILL
    expected = [b"data %d" % number for number in range(3)]
    assert [read_artifact(row_of(artifact)) for artifact in artifacts] == expected
    assert [read_artifact(artifact) for artifact in artifacts] == expected
    assert verify().is_good
    Replica.objects.for_tenant(tenant).update(touched_at=timezone.now() - timedelta(hours=1))
    assert move_files(tenant, to=target, keep_s=0).is_complete
    assert [read_artifact(row_of(artifact)) for artifact in artifacts] == expected
    sweep(grace_s=-1)
    assert sorted(keys(target)) == sorted(row_of(artifact).key for artifact in artifacts)
    assert keys(source) == []
    assert replicas_of(tenant) == []


def status_of_child(call: Callable[[], object]) -> int:
    """Run the call in a forked process, and return how that ended."""
    connections.close_all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            call()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_store_with_copies_only_may_not_start_empty(tenant: Tenant, second_disk: Path) -> None:
    artifact = store_ready(tenant)
    copy_artifact(artifact, to="disk")
    second_disk.rename(second_disk.with_name("unmounted"))
    with pytest.raises(StoreUnavailable, match="mounted"):
        get_store("disk").check()
