"""Keys: their form, what is stored, expiry and revocation."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from modelpool.core.errors import InvalidField, KeyNotFound
from modelpool.tenants import services
from modelpool.tenants.authentication import find_principal
from modelpool.tenants.changes import changes_after, last_change_id
from modelpool.tenants.keys import SECRET_CHARS, digest_of, looks_like_secret, make_secret
from modelpool.tenants.models import APIKey, AuditEvent
from modelpool.tenants.roles import Permission


def test_secret_is_recognisable_and_checked():
    secret = make_secret()
    assert re.fullmatch(r"mp_[0-9A-Za-z]{49}", secret)
    assert len(secret) == SECRET_CHARS
    assert looks_like_secret(secret)
    for position in (3, 20, SECRET_CHARS - 1):
        changed = secret[:position] + ("a" if secret[position] != "a" else "b") + secret[position + 1 :]
        assert not looks_like_secret(changed)


def test_secrets_differ():
    assert len({make_secret() for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "mp_", "mp_" + "a" * 49, "x" * SECRET_CHARS, "mp_" + "é" * 49])
def test_what_is_no_secret(text):
    assert not looks_like_secret(text)
    assert find_principal(text) is None


@pytest.mark.django_db
class TestKeysOfATenant:
    def test_only_the_digest_is_stored(self, tenant, actor):
        key, secret = services.create_key(tenant=tenant, role="scientist", actor=actor)
        row = APIKey.unscoped.filter(pk=key.pk).values().get()
        assert row["digest"] == hashlib.sha256(secret.encode()).hexdigest() == digest_of(secret)
        assert secret.startswith(row["prefix"])
        assert all(secret not in str(value) for value in row.values())
        assert secret not in str(list(AuditEvent.objects.values()))

    def test_a_valid_key_stands_for_its_tenant_and_role(self, tenant, actor):
        _, secret = services.create_key(tenant=tenant, role="predictor", actor=actor, name="shop")
        principal = find_principal(secret)
        assert principal is not None
        assert (principal.tenant_id, principal.role, principal.label) == (tenant.pk, "predictor", "shop")
        assert principal.allows(Permission.PREDICT)
        assert not principal.allows(Permission.DEVELOP)
        assert principal.may_enter(tenant.name)
        assert not principal.may_enter("another")

    def test_revoked_key_is_refused_and_the_feed_says_so(self, tenant, actor):
        key, secret = services.create_key(tenant=tenant, role="viewer", actor=actor)
        before = last_change_id()
        services.revoke_key(key.pk, tenant=tenant, actor=actor)
        assert find_principal(secret) is None
        assert [(change.kind, change.ref) for change in changes_after(before)] == [("key", key.digest)]

    def test_revoking_twice_changes_nothing(self, tenant, actor):
        key, _ = services.create_key(tenant=tenant, role="viewer", actor=actor)
        first = services.revoke_key(key.pk, tenant=tenant, actor=actor).revoked_at
        assert services.revoke_key(key.pk, tenant=tenant, actor=actor).revoked_at == first
        assert AuditEvent.objects.filter(action="key.revoke").count() == 1

    def test_another_tenants_key_cannot_be_revoked(self, tenant, other_tenant, actor):
        key, secret = services.create_key(tenant=tenant, role="viewer", actor=actor)
        with pytest.raises(KeyNotFound):
            services.revoke_key(key.pk, tenant=other_tenant, actor=actor)
        assert find_principal(secret) is not None

    def test_expired_key_is_refused(self, tenant, actor):
        key, secret = services.create_key(tenant=tenant, role="viewer", actor=actor, expires_in_days=1)
        assert find_principal(secret) is not None
        APIKey.unscoped.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        assert find_principal(secret) is None

    def test_key_of_a_suspended_tenant_is_refused(self, tenant, actor):
        _, secret = services.create_key(tenant=tenant, role="viewer", actor=actor)
        services.update_tenant(tenant, actor=actor, is_active=False)
        assert find_principal(secret) is None

    @pytest.mark.parametrize("role", ["operator", "god", ""])
    def test_a_tenants_key_has_a_tenants_role(self, tenant, actor, role):
        with pytest.raises(InvalidField, match="role"):
            services.create_key(tenant=tenant, role=role, actor=actor)

    def test_only_an_operators_key_has_no_tenant(self, actor):
        with pytest.raises(InvalidField):
            services.create_key(tenant=None, role="admin", actor=actor)
        _, secret = services.create_key(tenant=None, role="operator", actor=actor)
        principal = find_principal(secret)
        assert principal is not None
        assert principal.is_operator
        assert principal.may_enter("anyone")

    @pytest.mark.parametrize("days", [0, -1, 1e9])
    def test_expiry_must_be_in_the_future(self, tenant, actor, days):
        with pytest.raises(InvalidField, match="expires_in_days"):
            services.create_key(tenant=tenant, role="viewer", actor=actor, expires_in_days=days)
