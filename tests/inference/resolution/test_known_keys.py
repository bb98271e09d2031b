"""Keys that a process knows before anybody has shown them to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from modelpool.core.errors import NotAuthenticated
from modelpool.inference.resolution import principals
from modelpool.inference.resolution.principals import KeyCache
from modelpool.tenants import services
from modelpool.tenants.actors import Actor
from modelpool.tenants.keys import digest_of
from modelpool.tenants.models import APIKey, Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def secret(tenant: Tenant, actor: Actor) -> bytes:
    return services.create_key(tenant=tenant, role="predictor", actor=actor)[1].encode()


@pytest.fixture
def keys(secret: bytes) -> KeyCache:
    known = KeyCache()
    known.load_recent()
    return known


@pytest.fixture
def queries() -> Iterator[CaptureQueriesContext]:
    with CaptureQueriesContext(connection) as captured:
        yield captured


def test_a_key_in_use_lately_needs_no_database(
    keys: KeyCache, secret: bytes, tenant: Tenant, queries: CaptureQueriesContext
) -> None:
    known = keys.load(secret)
    assert (known.tenant, known.may_predict) == (tenant.name, True)
    assert keys.take_used() == [digest_of(secret.decode())]
    assert queries.captured_queries == []


def test_a_revoked_one_is_forgotten(keys: KeyCache, secret: bytes, tenant: Tenant, actor: Actor) -> None:
    key = APIKey.unscoped.get()
    services.revoke_key(key.pk, tenant=tenant, actor=actor)
    keys.forget({key.digest}, tenants=set())
    with pytest.raises(NotAuthenticated):
        keys.load(secret)


def test_those_of_a_suspended_tenant_are_forgotten(keys: KeyCache, secret: bytes, tenant: Tenant, actor: Actor) -> None:
    services.update_tenant(tenant, actor=actor, is_active=False)
    keys.forget(set(), tenants={tenant.pk})
    with pytest.raises(NotAuthenticated):
        keys.load(secret)
    keys.load_recent()
    with pytest.raises(NotAuthenticated):
        keys.load(secret)


def test_all_are_forgotten_when_changes_were_missed(keys: KeyCache, secret: bytes) -> None:
    APIKey.unscoped.update(revoked_at=timezone.now())
    keys.forget_all()
    with pytest.raises(NotAuthenticated):
        keys.load(secret)


def test_one_that_is_revoked_while_they_are_read_is_not_kept(secret: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    read, keys = principals._read_recent, KeyCache()

    def read_then_revoke() -> object:
        found = read()
        APIKey.unscoped.update(revoked_at=timezone.now())
        keys.forget(set(found), tenants=set())
        return found

    monkeypatch.setattr(principals, "_read_recent", read_then_revoke)
    keys.load_recent()
    with pytest.raises(NotAuthenticated):
        keys.load(secret)


def test_one_that_has_expired_since_is_refused(secret: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    APIKey.unscoped.update(expires_at=timezone.now() + timedelta(hours=1))
    keys = KeyCache()
    keys.load_recent()
    later = timezone.now().timestamp() + 3700
    monkeypatch.setattr(principals.time, "time", lambda: later)
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            keys.load(secret)


def test_those_used_last_come_first(
    tenant: Tenant, actor: Actor, monkeypatch: pytest.MonkeyPatch, queries: CaptureQueriesContext
) -> None:
    secrets = [services.create_key(tenant=tenant, role="predictor", actor=actor)[1].encode() for _ in range(3)]
    oldest = digest_of(secrets[0].decode())
    APIKey.unscoped.filter(digest=oldest).update(last_used_at=timezone.now() + timedelta(seconds=5))
    monkeypatch.setattr(principals, "_MAX_RECENT", 1)
    keys = KeyCache()
    keys.load_recent()
    before = len(queries)
    keys.load(secrets[0])
    assert len(queries) == before
    keys.load(secrets[2])
    assert len(queries) == before + 1


def test_what_was_used_is_told_after_it_was_forgotten(keys: KeyCache, secret: bytes) -> None:
    digest = digest_of(secret.decode())
    keys.load(secret)
    keys.forget({digest}, tenants=set())
    assert keys.take_used() == [digest]
    keys.load(secret)
    keys.take_used()
    known = keys.find(principals.digest_for_cache(secret))
    assert known is not None
    keys.forget_all()
    assert keys.take_used() == [digest]
    assert keys.take_used() == []
