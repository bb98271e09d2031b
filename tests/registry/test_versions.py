from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from modelpool.core.errors import (
    AliasNotFound,
    Conflict,
    InvalidField,
    InvalidName,
    ModelNotFound,
    NoActiveVersion,
    QuotaExceeded,
    VersionHasAliases,
    VersionIsActive,
    VersionNotFound,
    VersionNotReady,
)
from modelpool.registry import aliases
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.services import (
    NewVersion,
    activate_version,
    create_model,
    delete_alias,
    delete_model,
    delete_version,
    get_version,
    register_version,
    resolve,
    set_alias,
    update_version,
)
from modelpool.storage.models import Artifact
from modelpool.storage.services import store_artifact, sweep
from modelpool.tenants.actors import Actor
from modelpool.tenants.changes import changes_after, last_change_id
from modelpool.tenants.models import AuditEvent, Tenant

Register = Callable[..., ModelVersion]
MakeNew = Callable[..., NewVersion]


def test_a_version_has_all_it_was_given(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    compiled = store_artifact(model.tenant, chunks=[b"compiled"], store="rows")
    job, dataset = uuid.uuid4(), uuid.uuid4()
    new = make_new(
        model, 0.9, format="sklearn", compiled=compiled, parity={"labels_equal": True, "max_difference": math.nan},
        params={"alpha": 1.0, "deep": {"x": [1, (2, math.inf)]}, "kind": Path("x")}, tags={"a": "b"},
        figures={"roc": {"x": [0, 1]}},
        libraries={"scikit-learn": "1.9"}, description="first", job_id=job, dataset_id=dataset,
    )  # fmt: skip
    register_version(model, new=new, actor=actor)
    version = get_version(model, 1)
    assert (version.state, version.format, version.serving_format, version.trust) == (
        "ready",
        "sklearn",
        "onnx",
        "uploaded-data",
    )
    assert (version.artifact, version.compiled, version.serving_artifact) == (new.artifact, compiled, compiled)
    assert (version.size_bytes, version.sha256) == (new.artifact.size_bytes, new.artifact.sha256)
    assert version.signature["inputs"][0]["name"] == "age"
    assert version.parity == {"labels_equal": True, "max_difference": None}
    assert version.params == {"alpha": 1.0, "deep": {"x": [1, [2, None]]}, "kind": "x"}
    assert (version.metrics, version.primary_metric, version.tags) == ({"accuracy": 0.9}, "accuracy", {"a": "b"})
    assert (version.job_id, version.dataset_id, version.created_by) == (job, dataset, "tests")
    assert {artifact.state for artifact in Artifact.objects.for_tenant(model.tenant)} == {"ready"}
    json.dumps([version.params, version.metrics, version.parity], allow_nan=False)


def test_numbers_count_from_one_and_stay_taken(model: RegisteredModel, actor: Actor, register: Register) -> None:
    assert [register(model).number for _ in range(3)] == [1, 2, 3]
    delete_version(get_version(model, 3), actor=actor)
    assert register(model).number == 4
    assert register(create_model(model.tenant, name="other", actor=actor)).number == 1


def test_a_registration_is_one_change_and_two_events(model: RegisteredModel, register: Register) -> None:
    before = last_change_id()
    register(model, 0.9)
    assert [change.ref for change in changes_after(before)] == [str(model.pk)]
    assert list(AuditEvent.objects.order_by("id").values_list("action", flat=True))[-2:] == [
        "version.register",
        "version.activate",
    ]


def test_what_must_hold_together_is_done_in_the_same_transaction(
    model: RegisteredModel, actor: Actor, make_new: MakeNew
) -> None:
    seen: list[int] = []

    def refuse(version: ModelVersion) -> None:
        seen.append(version.number)
        raise RuntimeError("lost the lease")

    new, before = make_new(model, 0.9), last_change_id()
    with pytest.raises(RuntimeError):
        register_version(model, new=new, actor=actor, in_transaction=refuse)
    assert seen == [1]
    assert last_change_id() == before
    assert Artifact.objects.for_tenant(model.tenant).get().state == "pending"
    assert register_version(model, new=new, actor=actor, in_transaction=lambda v: seen.append(v.number)).number == 1
    assert seen == [1, 1]


def test_a_job_has_one_version_however_often_it_registers(
    transactional_db: None, actor: Actor, make_new: MakeNew, home: Path
) -> None:
    model = create_model(Tenant.objects.create(name="acme"), name="churn", actor=actor)
    job, told = uuid.uuid4(), []
    first = register_version(model, new=make_new(model, 0.5, job_id=job), actor=actor)
    again = register_version(
        model, new=make_new(model, 0.9, job_id=job), actor=actor, in_transaction=lambda v: told.append(v.number)
    )
    assert (again.pk, again.number, told) == (first.pk, 1, [1])
    assert resolve(model.tenant, "churn").metrics == {"accuracy": 0.5}
    assert len(list((home / "artifacts").glob("*/*"))) == 1
    assert register_version(model, new=make_new(model, job_id=uuid.uuid4()), actor=actor).number == 2


def test_files_that_were_swept_meanwhile_are_not_registered(
    model: RegisteredModel, actor: Actor, make_new: MakeNew
) -> None:
    new = make_new(model, 0.9)
    Artifact.unscoped.update(touched_at=timezone.now() - timedelta(hours=2))
    sweep(grace_s=3600)
    with pytest.raises(Conflict):
        register_version(model, new=new, actor=actor)
    assert not ModelVersion.unscoped.exists()
    model.refresh_from_db()
    assert model.last_number == 0


def test_a_model_that_is_gone_takes_no_version(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    new = make_new(model)
    delete_model(model, actor=actor)
    with pytest.raises(ModelNotFound):
        register_version(model, new=new, actor=actor)


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"metrics": {"accuracy": "high"}}, "metrics.accuracy"), ({"metrics": {"a": True}}, "metrics.a"),
     ({"metrics": {"a": 10**400}}, "metrics.a"), ({"tags": {"a": 5}}, "tags.a"),
     ({"description": "\0"}, "description")],
)  # fmt: skip
def test_wrong_fields_are_named(model: RegisteredModel, register: Register, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        register(model, **fields)
    assert caught.value.errors[0].field == field
    with pytest.raises(InvalidField, match="activate"):
        register(model, activate="perhaps")


# --- which version answers --------------------------------------------------------------------------------------------


def test_resolving(model: RegisteredModel, other_tenant: Tenant, actor: Actor, register: Register) -> None:
    tenant = model.tenant
    with pytest.raises(NoActiveVersion):
        resolve(tenant, "churn")
    for _ in range(2):
        register(model, activate="always")
    set_alias(model, name="champion", number=1, actor=actor)
    assert resolve(tenant, "churn").number == 2
    assert resolve(tenant, "churn", number=1).number == resolve(tenant, "churn", alias="champion").number == 1
    with pytest.raises(VersionNotFound):
        resolve(tenant, "churn", number=3)
    with pytest.raises(AliasNotFound):
        resolve(tenant, "churn", alias="other")
    for stranger in (lambda: resolve(other_tenant, "churn"), lambda: resolve(tenant, "nothing")):
        with pytest.raises(ModelNotFound):
            stranger()
    ModelVersion.objects.for_tenant(tenant).filter(number=1).update(state="failed")
    with pytest.raises(VersionNotReady):
        resolve(tenant, "churn", alias="champion")


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63])
def test_numbers_that_cannot_be_are_not_found(model: RegisteredModel, number: int) -> None:
    with pytest.raises(VersionNotFound):
        resolve(model.tenant, "churn", number=number)


# --- aliases ----------------------------------------------------------------------------------------------------------


def test_an_alias_moves(model: RegisteredModel, actor: Actor, register: Register) -> None:
    for _ in range(2):
        register(model)
    before = last_change_id()
    set_alias(model, name="champion", number=1, actor=actor)
    set_alias(model, name="champion", number=2, actor=actor)
    set_alias(model, name="champion", number=2, actor=actor)
    assert resolve(model.tenant, "churn", alias="champion").number == 2
    assert len(changes_after(before)) == 2
    delete_alias(model, name="champion", actor=actor)
    with pytest.raises(AliasNotFound):
        delete_alias(model, name="champion", actor=actor)


def test_an_alias_needs_a_name_and_a_ready_version(model: RegisteredModel, actor: Actor, register: Register) -> None:
    register(model)
    with pytest.raises(InvalidName):
        set_alias(model, name="The Best", number=1, actor=actor)
    with pytest.raises(VersionNotFound):
        set_alias(model, name="best", number=2, actor=actor)
    ModelVersion.objects.for_tenant(model.tenant).update(state="failed")
    with pytest.raises(VersionNotReady):
        set_alias(model, name="best", number=1, actor=actor)


# --- changing and deleting --------------------------------------------------------------------------------------------


def test_only_tags_and_description_change(model: RegisteredModel, actor: Actor, register: Register) -> None:
    version, before = register(model, 0.9), last_change_id()
    changed = update_version(version, actor=actor, tags={"a": "b"}, description="new")
    assert (changed.tags, changed.description) == ({"a": "b"}, "new")
    update_version(version, actor=actor, tags={"a": "b"})
    assert len(changes_after(before)) == 1
    for fields in ({"metrics": {}}, {"sha256": "0"}, {"tags": {"a": None}}):
        with pytest.raises(InvalidField):
            update_version(version, actor=actor, **fields)


def test_a_deleted_version_is_a_number_without_files(
    transactional_db: None, actor: Actor, register: Register, home: Path
) -> None:
    model = create_model(Tenant.objects.create(name="acme"), name="churn", actor=actor)
    for _ in range(2):
        register(model, activate="always")
    delete_version(get_version(model, 1), actor=actor)
    row = ModelVersion.objects.for_tenant(model.tenant).get(number=1)
    assert (row.state, row.artifact, row.compiled) == ("deleted", None, None)
    assert row.deleted_at is not None
    assert len(list((home / "artifacts").glob("*/*"))) == Artifact.unscoped.count() == 1
    with pytest.raises(VersionNotFound):
        get_version(model, 1)
    with pytest.raises(VersionNotFound):
        delete_version(row, actor=actor)


def test_what_answers_predictions_is_not_deleted(model: RegisteredModel, actor: Actor, register: Register) -> None:
    for _ in range(2):
        register(model, activate="always")
    with pytest.raises(VersionIsActive, match="Version 2"):
        delete_version(get_version(model, 2), actor=actor)
    set_alias(model, name="champion", number=1, actor=actor)
    with pytest.raises(VersionHasAliases, match="'champion'"):
        delete_version(get_version(model, 1), actor=actor)
    delete_alias(model, name="champion", actor=actor)
    stale = get_version(model, 1)
    activate_version(model, number=1, actor=actor)
    with pytest.raises(VersionIsActive):
        delete_version(stale, actor=actor)
    delete_version(get_version(model, 2), actor=actor)


def test_an_undone_deletion_keeps_the_files(model: RegisteredModel, actor: Actor, register: Register) -> None:
    version = register(model, activate="never")
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        delete_version(version, actor=actor)
        raise RuntimeError("no")
    assert get_version(model, 1).artifact is not None


def test_a_primary_metric_is_never_cut_to_another_name(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    with pytest.raises(InvalidField, match="primary_metric"):
        register_version(model, new=make_new(model, metrics={"m" * 65: 1.0}, primary_metric="m" * 65), actor=actor)


def test_the_aliases_of_a_model_are_bounded(
    model: RegisteredModel, actor: Actor, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "MAX_ALIASES", 2)
    register(model)
    for name in ("a", "b", "a"):
        set_alias(model, name=name, number=1, actor=actor)
    with pytest.raises(QuotaExceeded, match="2 aliases"):
        set_alias(model, name="c", number=1, actor=actor)
    delete_alias(model, name="a", actor=actor)
    assert set_alias(model, name="c", number=1, actor=actor).name == "c"
