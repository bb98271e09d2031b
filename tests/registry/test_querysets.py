from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from modelpool.core.errors import InvalidField
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.querysets import (
    models_of,
    present_model,
    present_models,
    present_version,
    present_versions,
    versions_of,
)
from modelpool.registry.services import create_model, delete_version, get_version, set_alias
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant

Register = Callable[..., ModelVersion]


@pytest.fixture
def pool(model: RegisteredModel, actor: Actor, register: Register) -> RegisteredModel:
    for accuracy in (0.5, 0.9, 0.7):
        register(model, accuracy, job_id=uuid.uuid4())
    set_alias(model, name="b", number=1, actor=actor)
    set_alias(model, name="a", number=1, actor=actor)
    return model


def test_a_version_is_shown_with_all_that_the_contract_names(pool: RegisteredModel) -> None:
    shown = present_version(get_version(pool, 1))
    assert (shown.tenant, shown.model, shown.number, shown.state, shown.active) == ("acme", "churn", 1, "ready", False)
    assert (shown.aliases, shown.format, shown.store) == (("a", "b"), "onnx", "default")
    assert (shown.metrics, shown.parity, shown.dataset) == ({"accuracy": 0.5}, None, None)
    assert shown.job is not None
    assert [(v.number, v.active, v.aliases) for v in present_versions(versions_of(pool))] == [
        (3, False, ()), (2, True, ()), (1, False, ("a", "b")),
    ]  # fmt: skip


def test_deleted_versions_are_shown_on_request_only(pool: RegisteredModel, actor: Actor) -> None:
    delete_version(get_version(pool, 3), actor=actor)
    assert [version.number for version in versions_of(pool)] == [2, 1]
    assert [version.number for version in versions_of(pool, state="ready", ordering="number")] == [1, 2]
    (deleted,) = present_versions(versions_of(pool, state="deleted"))
    assert (deleted.number, deleted.state, deleted.store) == (3, "deleted", "")
    for wrong in ({"state": "gone"}, {"ordering": "sha256"}, {"ordering": "--number"}):
        with pytest.raises(InvalidField):
            versions_of(pool, **wrong)


def test_a_model_is_shown_with_its_pool(pool: RegisteredModel, actor: Actor) -> None:
    delete_version(get_version(pool, 3), actor=actor)
    shown = present_model(pool.__class__.objects.for_tenant(pool.tenant).get(name="churn"))
    assert (shown.name, shown.active_version, shown.latest_version, shown.versions) == ("churn", 2, 2, 2)
    assert (shown.aliases, shown.store, shown.policy["name"]) == ({"a": 1, "b": 1}, "default", "best_metric")


def test_models_are_a_tenants_own_and_ordered(tenant: Tenant, other_tenant: Tenant, actor: Actor) -> None:
    for name in ("b", "a", "churn-eu"):
        create_model(tenant, name=name, actor=actor)
    create_model(other_tenant, name="c", actor=actor)
    assert [model.name for model in models_of(tenant)] == ["churn-eu", "a", "b"]
    assert [model.name for model in models_of(tenant, ordering="name")] == ["a", "b", "churn-eu"]
    assert [model.name for model in models_of(tenant, name_contains="churn")] == ["churn-eu"]


def test_the_number_of_queries_does_not_grow_with_the_rows(
    pool: RegisteredModel, actor: Actor, register: Register
) -> None:
    def count() -> tuple[int, int]:
        with CaptureQueriesContext(
            connection,
        ) as versions:
            present_versions(versions_of(pool))
        with CaptureQueriesContext(connection) as models:
            present_models(models_of(pool.tenant))
        return len(versions), len(models)

    before = count()
    for number in range(5):
        set_alias(pool, name=f"alias{number}", number=register(pool).number, actor=actor)
        register(create_model(pool.tenant, name=f"m{number}", actor=actor), 0.5)
    assert count() == before == (2, 3)
