from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import transaction

from modelpool import conf
from modelpool.core.errors import InvalidField, InvalidName, ModelNotFound, NameTaken, QuotaExceeded
from modelpool.registry.models import Activation, ModelAlias, ModelVersion, RegisteredModel
from modelpool.registry.services import (
    create_model,
    delete_model,
    get_model,
    get_or_create_model,
    set_alias,
    store_of,
    update_model,
)
from modelpool.storage.models import Artifact
from modelpool.storage.services import storage_used
from modelpool.tenants.actors import Actor
from modelpool.tenants.changes import changes_after, last_change_id
from modelpool.tenants.models import AuditEvent, Tenant

Register = Callable[..., ModelVersion]


def test_a_model_has_the_defaults_of_its_tenant(tenant: Tenant, actor: Actor) -> None:
    before = last_change_id()
    model = create_model(tenant, name="churn", actor=actor, tags={"team": "crm"})
    assert model.policy == {"name": "best_metric", "metric": None, "mode": None, "min_improvement": 0.0}
    assert (store_of(model), model.last_number, model.active_version, model.created_by) == ("default", 0, None, "tests")
    assert get_model(tenant, "churn").tags == {"team": "crm"}
    assert [change.ref for change in changes_after(before)] == [str(model.pk)]
    assert AuditEvent.objects.filter(action="model.create", target="churn", tenant_id=tenant.pk).count() == 1


def test_a_name_is_free_once_per_tenant(tenant: Tenant, other_tenant: Tenant, actor: Actor) -> None:
    create_model(tenant, name="churn", actor=actor)
    create_model(other_tenant, name="churn", actor=actor)
    with pytest.raises(NameTaken, match="churn"):
        create_model(tenant, name="churn", actor=actor)
    assert get_or_create_model(tenant, name="churn", actor=actor).tenant_id == tenant.pk
    assert get_or_create_model(tenant, name="new", actor=actor).name == "new"


@pytest.mark.parametrize("name", ["", "Churn", "a/b", "../x", "x" * 64, "ü", "stats", "a\0b"])
def test_names_that_cannot_be(tenant: Tenant, actor: Actor, name: str) -> None:
    with pytest.raises(InvalidName):
        create_model(tenant, name=name, actor=actor)
    with pytest.raises(ModelNotFound):
        get_model(tenant, name)


def test_another_tenants_model_is_not_found(tenant: Tenant, other_tenant: Tenant, actor: Actor) -> None:
    create_model(tenant, name="churn", actor=actor)
    with pytest.raises(ModelNotFound):
        get_model(other_tenant, "churn")


@pytest.mark.parametrize(
    ("field", "value"),
    [("policy", "newest"), ("store", "bucket"), ("store", "../x"), ("tags", {"k": 1}), ("tags", ["a"]),
     ("tags", {"k" * 251: "v"}), ("tags", {"": "v"}), ("tags", {"k": "v" * 5001}), ("tags", {"k": "\0"}),
     ("tags", {str(n): "v" for n in range(101)}), ("tags", {str(n): "v" * 5000 for n in range(20)}),
     ("tags", {"k": "\ud800"}), ("description", "x" * 20_001), ("description", 5), ("description", "\0")],
)  # fmt: skip
def test_wrong_fields_are_named(tenant: Tenant, actor: Actor, field: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        create_model(tenant, name="m", actor=actor, **{field: value})  # type: ignore[arg-type]
    assert caught.value.errors[0].field.startswith(field)
    assert not RegisteredModel.objects.for_tenant(tenant).exists()
    model = create_model(tenant, name="m", actor=actor)
    with pytest.raises(InvalidField):
        update_model(model, actor=actor, **{field: value})


def test_changes_are_written_down_once(tenant: Tenant, actor: Actor) -> None:
    model = create_model(tenant, name="m", actor=actor)
    before = last_change_id()
    changed = update_model(model, actor=actor, description="new", policy="latest", store="rows", tags={"a": "b"})
    assert (changed.description, changed.policy, store_of(changed)) == ("new", {"name": "latest"}, "rows")
    update_model(model, actor=actor, description="new", policy={"name": "latest"})
    assert len(changes_after(before)) == 1
    event = AuditEvent.objects.get(action="model.update")
    assert event.details["before"]["description"] == ""
    with pytest.raises(InvalidField, match="name"):
        update_model(model, actor=actor, name="other")


def test_the_number_of_models_is_limited(tenant: Tenant, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPOOL_LIMITS_TENANT_MODELS", "2")
    conf.settings.cache_clear()
    for name in "ab":
        create_model(tenant, name=name, actor=actor)
    with pytest.raises(QuotaExceeded, match="2 models"):
        create_model(tenant, name="c", actor=actor)
    tenant.max_models = 3
    tenant.save()
    create_model(tenant, name="c", actor=actor)
    with pytest.raises(QuotaExceeded, match="3 models"):
        create_model(tenant, name="d", actor=actor)


def test_a_deleted_model_leaves_nothing_and_frees_its_name(
    transactional_db: None, actor: Actor, register: Register, home: Path
) -> None:
    tenant = Tenant.objects.create(name="acme")
    model = create_model(tenant, name="churn", actor=actor)
    for accuracy in (0.5, 0.9):
        register(model, accuracy)
    set_alias(model, name="champion", number=1, actor=actor)
    before = last_change_id()
    delete_model(model, actor=actor)
    for table in (RegisteredModel, ModelVersion, ModelAlias, Activation, Artifact):
        assert not table.unscoped.exists()
    assert storage_used(tenant) == 0
    assert list((home / "artifacts").glob("*/*")) == []
    assert [change.ref for change in changes_after(before)] == [str(model.pk)]
    with pytest.raises(ModelNotFound):
        delete_model(model, actor=actor)
    again = create_model(tenant, name="churn", actor=actor)
    assert (register(again, 0.1).number, again.pk == model.pk) == (1, False)


def test_a_model_whose_deletion_fails_is_as_before(model: RegisteredModel, actor: Actor, register: Register) -> None:
    register(model, 0.9)
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        delete_model(model, actor=actor)
        raise RuntimeError("no")
    found = get_model(model.tenant, model.name)
    assert found.active_version is not None
    assert found.active_version.number == 1
