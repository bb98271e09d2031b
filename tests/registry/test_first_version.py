"""The first trained version of a model answers even where there is no metric to judge it by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelpool.registry.models import RegisteredModel
from modelpool.registry.services import NewVersion, register_version, update_model
from modelpool.registry.signing import worker_key
from modelpool.tenants.actors import Actor

MakeNew = Callable[..., NewVersion]

pytestmark = pytest.mark.django_db


def active_number(model: RegisteredModel) -> int | None:
    model.refresh_from_db()
    return None if model.active_version is None else model.active_version.number


def test_a_trained_version_without_a_metric_begins(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    register_version(model, new=make_new(model, trust="trained"), actor=actor, key=worker_key())
    register_version(model, new=make_new(model, trust="trained"), actor=actor, key=worker_key())
    assert active_number(model) == 1


def test_an_upload_waits_until_it_is_activated(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    register_version(model, new=make_new(model, trust="uploaded-data"), actor=actor)
    assert active_number(model) is None


def test_a_pinned_model_waits_too(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    update_model(model, actor=actor, policy="pinned")
    model.refresh_from_db()
    register_version(model, new=make_new(model, trust="trained"), actor=actor, key=worker_key())
    assert active_number(model) is None


def test_never_means_never(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    register_version(model, new=make_new(model, trust="trained"), actor=actor, key=worker_key(), activate="never")
    assert active_number(model) is None
