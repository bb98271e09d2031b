"""Models on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from modelpool.api.v1.documents.texts import MetricName, Number, Policy, Tags
from modelpool.http.bodies import Body
from modelpool.registry.models import RegisteredModel
from modelpool.registry.querysets import aliases_of_models, count_versions
from modelpool.registry.services import store_of


class NewModel(Body, frozen=True):
    """A model to create, without any version yet; ``policy`` and ``store`` default to the tenant's."""

    name: str
    description: str = ""
    policy: Policy | None = None
    store: str = ""
    tags: Tags = msgspec.field(default_factory=dict)


class ModelChanges(Body, frozen=True):
    """What to change; files that are stored already stay where they are."""

    description: str | UnsetType = UNSET
    policy: Policy | UnsetType = UNSET
    store: str | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


class AliasTarget(Body, frozen=True):
    """The version that an alias is to name."""

    version: Number


class AliasDocument(msgspec.Struct, frozen=True):
    """A movable name of a version."""

    name: str
    version: int


class BestOfPool(Body, frozen=True):
    """How to choose: the metric (the trainer's own where none is named) and whether more or less is better."""

    by: MetricName | None = None
    mode: Literal["max", "min"] | None = None


class Expectation(Body, frozen=True):
    """The number that the caller believes to be active, null for none; 409 when it is another."""

    expected: Number | UnsetType | None = UNSET


class ModelDocument(msgspec.Struct, frozen=True):
    """A model; ``versions`` counts those that are not deleted, ``latest_version`` is the newest of them."""

    tenant: str
    name: str
    description: str
    policy: dict[str, Any]
    store: str
    tags: dict[str, str]
    active_version: int | None
    latest_version: int | None
    versions: int
    aliases: dict[str, int]
    created_at: datetime
    updated_at: datetime
    created_by: str


def present_model(model: RegisteredModel) -> ModelDocument:
    """Return the model as it stands on the wire."""
    return present_models([model])[0]


def present_models(models: Sequence[RegisteredModel]) -> list[ModelDocument]:
    """Return a list's rows, with two queries for all of them."""
    aliases, counts = aliases_of_models(models), count_versions(models)
    return [_document(model, aliases=aliases[model.pk], counted=counts[model.pk]) for model in models]


def _document(model: RegisteredModel, *, aliases: dict[str, int], counted: tuple[int, int | None]) -> ModelDocument:
    n_versions, latest = counted
    return ModelDocument(
        tenant=model.tenant.name,
        name=model.name,
        description=model.description,
        policy=model.policy,
        store=store_of(model),
        tags=model.tags,
        active_version=model.active_version.number if model.active_version else None,
        latest_version=latest,
        versions=n_versions,
        aliases=aliases,
        created_at=model.created_at,
        updated_at=model.updated_at,
        created_by=model.created_by,
    )
