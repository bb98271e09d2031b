"""Quarantine: one version, one reason, one audit row, until somebody releases it and its bytes are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connections

from modelpool import conf
from modelpool.core.errors import (
    InvalidField,
    NothingToRollBackTo,
    ReleaseRefused,
    VersionIsQuarantined,
    VersionNotFound,
)
from modelpool.core.manifests import UntrustedManifest
from modelpool.registry import signing
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.quarantine import quarantine_version, refuse_version, release_version
from modelpool.registry.services import (
    activate_best,
    activate_version,
    delete_version,
    get_version,
    register_version,
    roll_back,
    set_alias,
)
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Change, Tenant
from tests.registry.test_races import at_once

Register = Callable[..., ModelVersion]
pytestmark = pytest.mark.django_db


def quarantine(version: ModelVersion, reason: str = "it crashed", **how: str) -> bool:
    return quarantine_version(version.pk, tenant_id=version.tenant_id, reason=reason, **how)  # type: ignore[arg-type]


def actions(of: str = "version.quarantine") -> int:
    return AuditEvent.objects.filter(action=of).count()


def path_of(version: ModelVersion) -> Path:
    assert version.artifact is not None
    (path,) = conf.home().resolve("artifacts").rglob(version.artifact.key.partition("/")[2])
    return path


def test_it_says_why_and_tells_everybody(model: RegisteredModel, register: Register, actor: Actor) -> None:
    version, changes = register(model), Change.objects.count()
    assert quarantine(version, "5 faults")
    row = get_version(model, 1)
    assert (row.trust_level, row.trust, row.quarantine_reason, row.quarantine_code) == (
        "quarantined",
        "trained",
        "5 faults",
        "faults",
    )
    assert row.quarantined_at is not None
    assert Change.objects.count() == changes + 1
    event = AuditEvent.objects.get(action="version.quarantine")
    assert (event.target, event.tenant_id, event.details) == (
        "churn/1",
        model.tenant_id,
        {"cause": "faults", "reason": "5 faults", "active": True},
    )
    model.refresh_from_db()
    assert model.active_version_id == version.pk  # nobody moves the pointer behind the tenant's back


def test_the_second_report_changes_nothing(model: RegisteredModel, register: Register) -> None:
    version = register(model)
    assert [quarantine(version, reason) for reason in ("first", "second")] == [True, False]
    assert (get_version(model, 1).quarantine_reason, actions()) == ("first", 1)


@pytest.mark.parametrize("report", [quarantine, lambda version: refuse_version(
    version.pk, tenant_id=version.tenant_id, reason="unknown key"
)])  # fmt: skip
def test_eight_reports_at_once_leave_one_row(
    transactional_db: None, model: RegisteredModel, register: Register, report: Callable[[ModelVersion], bool]
) -> None:
    version = register(model)

    def run() -> bool:
        try:
            return report(version)
        finally:
            connections.close_all()

    assert sorted(at_once(*[run] * 8)) == [False] * 7 + [True]
    assert actions() + actions("version.refuse") == 1


def test_another_tenants_and_deleted_versions_are_left_alone(
    model: RegisteredModel, register: Register, other_tenant: Tenant, actor: Actor
) -> None:
    version = register(model, activate="never")
    assert not quarantine_version(version.pk, tenant_id=other_tenant.pk, reason="x")
    delete_version(version, actor=actor)
    assert not quarantine(version)
    assert not refuse_version(version.pk, tenant_id=version.tenant_id, reason="x")
    assert actions() == 0


def test_it_cannot_be_made_to_answer(model: RegisteredModel, register: Register, actor: Actor) -> None:
    register(model, 0.5, activate="always")
    best = register(model, 0.9, activate="never")
    quarantine(best)
    with pytest.raises(VersionIsQuarantined, match="it crashed"):
        activate_version(model, number=2, actor=actor)
    with pytest.raises(VersionIsQuarantined):
        set_alias(model, name="champion", number=2, actor=actor)
    assert activate_best(model, by="accuracy", actor=actor).number == 1
    quarantine(get_version(model, 1))
    with pytest.raises(InvalidField):
        activate_best(model, by="accuracy", actor=actor)


def test_rolling_back_steps_over_it(model: RegisteredModel, register: Register, actor: Actor) -> None:
    for _ in range(3):
        register(model, activate="always")
    quarantine(get_version(model, 2))
    assert roll_back(model, actor=actor).number == 1
    with pytest.raises(NothingToRollBackTo):
        roll_back(model, actor=actor)


def test_a_worse_version_replaces_an_active_one_in_quarantine(model: RegisteredModel, register: Register) -> None:
    register(model, 0.9)
    quarantine(get_version(model, 1))
    register(model, 0.1)
    model.refresh_from_db()
    assert model.active_version is not None
    assert model.active_version.number == 2


def test_released_it_is_as_before(model: RegisteredModel, register: Register, actor: Actor) -> None:
    version = register(model)
    assert release_version(model, number=1, actor=actor).quarantined_at is None
    assert actions("version.release") == 0  # it was free
    quarantine(version)
    changes = Change.objects.count()
    released = release_version(model, number=1, actor=actor)
    assert (released.quarantined_at, released.quarantine_reason, released.trust_level) == (None, "", "trained")
    assert (actions("version.release"), Change.objects.count()) == (1, changes + 1)
    assert quarantine(version, "again")
    with pytest.raises(VersionNotFound):
        release_version(model, number=9, actor=actor)


@pytest.mark.parametrize("harm", ["other bytes", "no bytes"])
def test_wrong_bytes_are_not_released_until_they_are_right(
    model: RegisteredModel, register: Register, actor: Actor, harm: str
) -> None:
    version = register(model)
    path = path_of(version)
    data = path.read_bytes()
    path.chmod(0o600)
    if harm == "no bytes":
        path.unlink()
    else:
        path.write_bytes(bytes(len(data)))
    quarantine(version, "wrong bytes", cause="integrity")
    with pytest.raises(ReleaseRefused, match="stays in quarantine"):
        release_version(model, number=1, actor=actor)
    assert get_version(model, 1).quarantined_at is not None
    path.write_bytes(data)
    assert release_version(model, number=1, actor=actor).quarantined_at is None


def test_what_is_not_what_was_signed_is_never_released(
    model: RegisteredModel, register: Register, actor: Actor
) -> None:
    version = register(model, trust="uploaded-data")
    ModelVersion.objects.for_tenant(model.tenant_id).update(trust="trained")
    for cause in ("faults", "integrity", "manifest", "unsigned"):
        ModelVersion.objects.for_tenant(model.tenant_id).update(quarantined_at=None)
        quarantine(version, cause=cause)
        with pytest.raises(ReleaseRefused, match="its trust is not what was signed"):
            release_version(model, number=1, actor=actor)


def test_only_a_worker_makes_trained_versions(
    model: RegisteredModel, make_new: Callable[..., object], actor: Actor
) -> None:
    with pytest.raises(UntrustedManifest, match="may not sign a version as 'trained'"):
        register_version(model, new=make_new(model, trust="trained"), actor=actor)  # type: ignore[arg-type]
    assert not ModelVersion.objects.for_tenant(model.tenant_id).exists()
    key = signing.worker_key()
    with pytest.raises(UntrustedManifest, match="may not sign"):
        register_version(model, new=make_new(model), actor=actor, key=key)  # type: ignore[arg-type]
