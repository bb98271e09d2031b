from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.querysets import (
    aliases_of_models,
    aliases_of_versions,
    count_versions,
    models_of,
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


def test_aliases_of_versions_are_in_order(pool: RegisteredModel) -> None:
    versions = list(versions_of(pool))
    found = aliases_of_versions(versions)
    assert {version.number: found[version.pk] for version in versions} == {1: ("a", "b"), 2: (), 3: ()}


def test_deleted_versions_are_there_on_request_only(pool: RegisteredModel, actor: Actor) -> None:
    delete_version(get_version(pool, 3), actor=actor)
    assert sorted(version.number for version in versions_of(pool)) == [1, 2]
    assert sorted(version.number for version in versions_of(pool, with_deleted=True)) == [1, 2, 3]


def test_models_are_asked_about_all_at_once(pool: RegisteredModel, actor: Actor) -> None:
    delete_version(get_version(pool, 3), actor=actor)
    empty = create_model(pool.tenant, name="empty", actor=actor)
    counts, aliases = count_versions([pool, empty]), aliases_of_models([pool, empty])
    assert (counts[pool.pk], counts[empty.pk]) == ((2, 2), (0, None))
    assert (aliases[pool.pk], aliases[empty.pk]) == ({"a": 1, "b": 1}, {})


def test_models_are_a_tenants_own(tenant: Tenant, other_tenant: Tenant, actor: Actor) -> None:
    create_model(tenant, name="a", actor=actor)
    create_model(other_tenant, name="c", actor=actor)
    assert [model.name for model in models_of(tenant)] == ["a"]
