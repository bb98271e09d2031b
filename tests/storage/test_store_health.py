"""What fails at run time is remembered, told to the database, and told again when it works."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from modelpool.core.artifacts import StoredBytes
from modelpool.core.errors import ConfigurationError, StorageQuotaExceeded, StoreFull, StoreUnavailable
from modelpool.core.problems import status_of
from modelpool.core.testing.store_contract import STORE_CHECKS, Check
from modelpool.storage.backends.memory import MemoryStore
from modelpool.storage.backends.os_errors import translate
from modelpool.storage.health import StoreWatch, troubles_lately
from modelpool.storage.models import StoreTrouble
from modelpool.storage.services import get_store, read_artifact, store_artifact
from modelpool.storage.watched import TROUBLES, Troubles, WatchedStore
from modelpool.tenants.models import Tenant

KEY = "0" * 32 + "/" + "1" * 32


@pytest.fixture(autouse=True)
def _no_troubles():
    TROUBLES.clear()
    yield
    TROUBLES.clear()


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    row: Tenant = Tenant.objects.create(name="acme")
    return row


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
def test_a_watched_store_keeps_the_contract(check: Check):
    store = MemoryStore()
    check(lambda: WatchedStore(store, alias="memory", troubles=Troubles()))


class _Broken(MemoryStore):
    """Breaks off after the first piece of what it gives."""

    @contextmanager
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        yield self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        yield b"data"
        raise StoreUnavailable("The artifact store broke off.")


class _Full(MemoryStore):
    """Takes nothing."""

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        raise StoreFull("no room")


def test_a_failure_is_of_the_store_that_failed_first():
    troubles = Troubles()
    source = WatchedStore(_Broken(), alias="source", troubles=troubles)
    target = WatchedStore(MemoryStore(), alias="target", troubles=troubles)
    with pytest.raises(StoreUnavailable), source.open(KEY) as pieces:
        target.put(KEY, pieces)
    assert [trouble.store for trouble in troubles.take()] == ["source"]


def test_the_target_of_a_copy_fails_alone():
    troubles = Troubles()
    source = WatchedStore(MemoryStore(), alias="source", troubles=troubles)
    source.put(KEY, [b"data"])

    with pytest.raises(StoreFull), source.open(KEY) as pieces:
        WatchedStore(_Full(), alias="target", troubles=troubles).put(KEY, pieces)
    assert [trouble.store for trouble in troubles.take()] == ["target"]


def test_what_is_refused_to_a_tenant_is_no_failure_of_the_store():
    troubles = Troubles()
    store = WatchedStore(MemoryStore(), alias="memory", troubles=troubles)

    def too_many():
        yield b"data"
        raise StorageQuotaExceeded("too many bytes")

    with pytest.raises(StorageQuotaExceeded):
        store.put(KEY, too_many())
    assert troubles.take() == []
    assert isinstance(translate(OSError(errno.ENOSPC, "full"), "write"), StoreFull)


@pytest.mark.django_db
def test_a_store_that_goes_and_comes_back_is_told(tenant: Tenant, home: Path):
    artifact = store_artifact(tenant, chunks=[b"data"], store="default")
    watch = StoreWatch(node="north-1")
    (home / "artifacts").rename(home / "away")
    with pytest.raises(StoreUnavailable):
        read_artifact(artifact)
    watch.tell()
    failed = troubles_lately()[0]
    assert (failed.node, failed.store, failed.fails_now, failed.worked_at) == ("north-1", "default", True, None)
    assert "artifact store" in failed.detail
    watch.look()
    watch.tell()
    assert troubles_lately()[0].failed_at > failed.failed_at
    (home / "away").rename(home / "artifacts")
    watch.look()
    watch.tell()
    again = troubles_lately()[0]
    assert (again.fails_now, TROUBLES.failing()) == (False, [])
    assert again.worked_at >= again.failed_at
    assert StoreTrouble.objects.count() == 1


@pytest.mark.django_db
def test_a_store_that_is_not_configured_is_told():
    with pytest.raises(ConfigurationError) as told:
        get_store("lost")
    assert status_of(told.value) == 503  # it may be a process that was started before the store was set up
    assert "rows" not in str(told.value)
    StoreWatch(node="north-1").tell()
    assert "stores.lost is not configured" in troubles_lately()[0].detail
    assert "configured are default, rows" in troubles_lately()[0].detail


@pytest.mark.django_db(transaction=True)
def test_what_the_database_does_not_take_is_told_later():
    with pytest.raises(ConfigurationError):
        get_store("lost")
    watch = StoreWatch(node="north-1")
    table = connection.ops.quote_name("modelpool_store_trouble")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    with pytest.raises(DatabaseError), transaction.atomic():
        watch.tell()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    watch.tell()
    assert troubles_lately()[0].store == "lost"


@pytest.mark.django_db
def test_a_failure_that_nobody_confirms_any_more_is_of_the_past():
    old = timezone.now() - timedelta(minutes=10)
    StoreTrouble.objects.create(node="north-1", store="default", failed_at=old, detail="gone")
    assert [trouble.fails_now for trouble in troubles_lately()] == [False]
