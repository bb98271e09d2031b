"""Tenants, people, members, the audit trail and the change feed."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from modelpool.core.errors import Conflict, InvalidField, InvalidName, MemberNotFound, NameTaken, TenantNotFound
from modelpool.tenants import services
from modelpool.tenants.changes import changes_after, last_change_id, prune_changes, publish_change
from modelpool.tenants.membership import person_may, role_in, tenants_where
from modelpool.tenants.models import AuditEvent, Change, Tenant
from modelpool.tenants.roles import Permission

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def test_the_default_tenant_is_there_from_the_first_start():
    assert services.get_tenant("default").is_active


def test_a_name_is_taken_once(actor):
    services.create_tenant("zeta", actor=actor)
    with pytest.raises(NameTaken):
        services.create_tenant("zeta", actor=actor)
    assert Tenant.objects.filter(name="zeta").count() == 1


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a/b", "a" * 64, "é", "stats", "../x"])
def test_bad_names_are_refused_and_never_repaired(actor, name):
    with pytest.raises(InvalidName) as caught:
        services.create_tenant(name, actor=actor)
    assert caught.value.errors[0].field == "name"


def test_the_database_refuses_a_bad_name_too():
    with pytest.raises(DatabaseError), transaction.atomic():
        Tenant.objects.create(name="Bad Name")


def test_unknown_fields_and_stores_are_named(tenant, actor):
    with pytest.raises(InvalidField, match="colour"):
        services.update_tenant(tenant, actor=actor, colour="red")
    with pytest.raises(InvalidField, match="nowhere"):
        services.update_tenant(tenant, actor=actor, store="nowhere")
    with pytest.raises(InvalidField, match="max_models"):
        services.update_tenant(tenant, actor=actor, max_models=-1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_models", 2**31),
        ("max_storage_bytes", 2**63),
        ("dataset_days", 36_501),
        ("dataset_days", -1),
        ("display_name", "x" * 201),
        ("display_name", "a\0b"),
        ("default_policy", "best"),
        ("default_policy", {"name": "best_metric", "mode": "most"}),
    ],
)
def test_what_no_database_could_keep_is_refused_by_name(tenant, actor, field, value):
    with pytest.raises(InvalidField) as caught:
        services.update_tenant(tenant, actor=actor, **{field: value})
    assert caught.value.errors[0].field == field


def test_a_policy_is_kept_in_its_full_form(tenant, actor):
    assert services.update_tenant(tenant, actor=actor, default_policy="latest").default_policy == {"name": "latest"}
    assert services.update_tenant(tenant, actor=actor, default_policy={}).default_policy == {}


def test_what_changes_nothing_is_neither_audited_nor_told(tenant, actor):
    services.update_tenant(tenant, actor=actor, display_name="Acme", max_models=3)
    events, changes = AuditEvent.objects.count(), Change.objects.count()
    services.update_tenant(tenant, actor=actor, display_name="Acme", max_models=3)
    assert (AuditEvent.objects.count(), Change.objects.count()) == (events, changes)
    services.update_tenant(tenant, actor=actor, display_name="Acme", max_models=4)
    assert AuditEvent.objects.order_by("-id")[0].details == {"before": {"max_models": 3}, "after": {"max_models": 4}}


def test_a_tenant_that_is_gone_is_not_found(tenant, actor):
    services.delete_tenant(tenant, actor=actor)
    for change in (
        lambda: services.update_tenant(tenant, actor=actor, display_name="x"),
        lambda: services.delete_tenant(tenant, actor=actor),
        lambda: services.create_key(tenant=tenant, role="viewer", actor=actor),
    ):
        with pytest.raises(TenantNotFound):
            change()


def test_a_tenant_that_may_not_be_deleted_stays(tenant, actor):
    def refuse(row):
        raise Conflict(f"{row} owns things")

    with pytest.raises(Conflict, match="acme owns things"):
        services.delete_tenant(tenant, actor=actor, check=refuse)
    assert services.get_tenant("acme") == tenant
    assert not AuditEvent.objects.filter(action="tenant.delete").exists()


def test_the_default_tenant_cannot_be_deleted(actor):
    with pytest.raises(Conflict):
        services.delete_tenant(services.get_tenant("default"), actor=actor)


def test_a_deleted_tenant_is_gone(tenant, actor):
    services.delete_tenant(tenant, actor=actor)
    with pytest.raises(TenantNotFound):
        services.get_tenant(tenant.name)
    assert AuditEvent.objects.filter(action="tenant.delete", target=tenant.name).exists()


@pytest.mark.parametrize(
    "change", [lambda: AuditEvent.objects.update(target="x"), lambda: AuditEvent.objects.all().delete()]
)
def test_the_audit_trail_is_append_only(tenant, actor, change):
    services.update_tenant(tenant, actor=actor, display_name="Acme Ltd")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change()


def test_a_change_is_published_in_the_transaction_that_makes_it(tenant, actor):
    before = last_change_id()

    def publish_and_fail():
        with transaction.atomic():
            publish_change(Change.Kind.TENANT, ref=str(tenant.pk), tenant_id=tenant.pk)
            assert changes_after(before) != []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish_and_fail()
    assert changes_after(before) == []


def test_pruning_keeps_the_newest_so_that_ids_go_on(tenant, actor):
    services.update_tenant(tenant, actor=actor, display_name="x")
    newest = last_change_id()
    Change.objects.update(at="2020-01-01T00:00:00Z")
    prune_changes()
    assert last_change_id() == newest
    assert Change.objects.count() == 1


class TestPeople:
    def test_weak_passwords_are_refused(self, actor):
        with pytest.raises(InvalidField, match="short"):
            services.create_user("ann", password="short", actor=actor)

    def test_a_name_is_taken_once(self, actor):
        services.create_user("ann", password=PASSWORD, actor=actor)
        with pytest.raises(NameTaken):
            services.create_user("ann", password=PASSWORD, actor=actor)

    def test_roles_decide_what_a_person_may_do_where(self, tenant, other_tenant, actor):
        ann = services.create_user("ann", password=PASSWORD, actor=actor)
        services.set_member(tenant, user=ann, role="viewer", actor=actor)
        assert role_in(ann, tenant) == "viewer"
        assert role_in(ann, other_tenant) is None
        services.set_member(tenant, user=ann, role="scientist", actor=actor)
        assert person_may(ann, Permission.DEVELOP, tenant=tenant)
        assert not person_may(ann, Permission.ADMINISTER, tenant=tenant)
        assert list(tenants_where(ann, Permission.DEVELOP)) == [tenant]
        assert not tenants_where(ann, Permission.ADMINISTER).exists()

    def test_giving_the_same_role_again_writes_nothing(self, tenant, actor):
        ann = services.create_user("ann", password=PASSWORD, actor=actor)
        services.set_member(tenant, user=ann, role="viewer", actor=actor)
        services.set_member(tenant, user=ann, role="viewer", actor=actor)
        assert AuditEvent.objects.filter(action="member.set").count() == 1

    def test_an_operator_may_everything_everywhere(self, tenant, actor):
        olga = services.create_user("olga", password=PASSWORD, actor=actor, is_operator=True)
        assert person_may(olga, Permission.OPERATE, tenant=tenant)

    def test_a_person_without_access_may_nothing(self, tenant, actor):
        ann = services.create_user("ann", password=PASSWORD, actor=actor)
        services.set_member(tenant, user=ann, role="admin", actor=actor)
        ann.is_active = False
        assert role_in(ann, tenant) is None

    def test_members_of_a_suspended_tenant_may_nothing(self, tenant, actor):
        ann = services.create_user("ann", password=PASSWORD, actor=actor)
        services.set_member(tenant, user=ann, role="admin", actor=actor)
        suspended = services.update_tenant(tenant, actor=actor, is_active=False)
        assert role_in(ann, suspended) is None
        assert not tenants_where(ann, Permission.VIEW).exists()

    def test_removing_who_is_not_there_says_so(self, tenant, actor):
        ann = services.create_user("ann", password=PASSWORD, actor=actor)
        with pytest.raises(MemberNotFound):
            services.remove_member(tenant, user=ann, actor=actor)

    @pytest.mark.parametrize("role", ["operator", "owner"])
    def test_a_member_has_a_tenants_role(self, tenant, actor, role):
        ann = services.create_user("ann", password=PASSWORD, actor=actor)
        with pytest.raises(InvalidField, match="role"):
            services.set_member(tenant, user=ann, role=role, actor=actor)
