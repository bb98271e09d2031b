"""A tenant's table cannot be read without saying whose rows are wanted."""

from __future__ import annotations

import pytest
from django.apps import apps

from modelpool.tenants.models import APIKey, Member, Tenant, TenantOwned, User
from modelpool.tenants.querysets import UnscopedQuery

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "read",
    [
        lambda: list(Member.objects.all()),
        lambda: Member.objects.filter(role="viewer").exists(),
        Member.objects.count,
        Member.objects.first,
        lambda: Member.objects.get(pk=1),
        lambda: Member.objects.create(role="viewer"),
        lambda: APIKey.objects.values_list("digest"),
    ],
)
def test_unscoped_read_is_refused(read):
    with pytest.raises(UnscopedQuery):
        read()


def test_scoped_read_gives_only_the_tenants_rows(tenant, other_tenant):
    user = User.objects.create(username="ann")
    mine = Member.objects.create(tenant=tenant, user=user, role="viewer")
    Member.objects.create(tenant=other_tenant, user=user, role="admin")
    assert list(Member.objects.for_tenant(tenant)) == [mine]
    assert list(Member.objects.for_tenant(tenant.pk)) == [mine]


def test_every_tenant_owned_table_has_the_refusing_manager_and_no_reverse_manager():
    owned = [model for model in apps.get_models() if issubclass(model, TenantOwned)]
    assert len(owned) >= 8
    for model in owned:
        with pytest.raises(UnscopedQuery):
            model.objects.get_queryset()
        for field in model._meta.get_fields():
            if field.is_relation and field.many_to_one and field.concrete:
                assert field.remote_field.hidden, f"{model.__name__}.{field.name} needs related_name='+'"


def test_deleting_a_tenant_deletes_its_rows(tenant):
    user = User.objects.create(username="ann")
    Member.objects.create(tenant=tenant, user=user, role="viewer")
    Tenant.objects.filter(pk=tenant.pk).delete()
    assert not Member.unscoped.filter(user=user).exists()
