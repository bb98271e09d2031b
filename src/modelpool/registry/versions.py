"""Versions of a model: register, find, change and delete them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from modelpool.core.errors import (
    AliasNotFound,
    InvalidField,
    NoActiveVersion,
    VersionHasAliases,
    VersionIsActive,
    VersionNotFound,
    VersionNotReady,
)
from modelpool.core.manifests import SigningKey
from modelpool.core.policies import ActivationPolicy, BestMetric, Pinned, parse_policy
from modelpool.core.signature import ModelSignature
from modelpool.registry.activation import apply_policy, move_pointer
from modelpool.registry.feed import announce
from modelpool.registry.limits import check_description, check_metrics, check_primary_metric, check_tags, clean_json
from modelpool.registry.locking import lock_model, next_number
from modelpool.registry.manifests import sign_version
from modelpool.registry.models import ModelAlias, ModelVersion, RegisteredModel
from modelpool.registry.pools import get_model
from modelpool.registry.signing import ingest_key
from modelpool.registry.traffic import refuse_if_in_traffic
from modelpool.storage.failpoints import reach
from modelpool.storage.models import Artifact
from modelpool.storage.services import delete_artifacts, mark_ready
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant

Activate = Literal["always", "never", "if_better"]
ACTIVATE_CHOICES = ("always", "never", "if_better")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What is registered: the stored files, what the model takes and gives, and where it came from.

    ``artifact`` (and ``compiled``) were stored and are still pending. ``serving_format`` names which of them answers.
    """

    format: str
    serving_format: str
    trust: str
    artifact: Artifact
    signature: ModelSignature
    compiled: Artifact | None = None
    parity: Mapping[str, Any] | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    primary_metric: str | None = None
    primary_mode: Literal["max", "min"] = "max"
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    job_id: UUID | None = None
    dataset_id: UUID | None = None
    copied_from: Mapping[str, Any] | None = None


def register_version(
    model: RegisteredModel,
    *,
    new: NewVersion,
    actor: Actor,
    activate: Activate | str | None = None,
    key: SigningKey | None = None,
    in_transaction: Callable[[ModelVersion], None] | None = None,
) -> ModelVersion:
    """Give the stored model the next number and make it visible, whole, in one transaction.

    ``activate``: ``None`` lets the model's policy decide, ``if_better`` compares by the primary metric whatever the
    policy, ``always`` and ``never`` mean what they say. ``key`` signs the manifest, by default the ingest key, which
    may not sign what is ``trained``: :class:`UntrustedManifest`. ``in_transaction`` gets the version before the commit,
    for what must hold together with it; when it raises, nothing was done. A ``job_id`` that has a version already gets
    that one back: the new files are deleted and nothing else changes.
    """
    check_activate(activate)
    columns = _columns_of(new, actor)
    key = key or ingest_key()
    with transaction.atomic():
        locked = lock_model(model)
        version = _version_of_job(locked, new)
        if version is None:
            version = _insert(locked, new, columns, actor=actor, key=key)
            _activate(locked, version, activate, actor=actor)
        if in_transaction is not None:
            in_transaction(version)
        announce(locked)
    reach("version.registered")
    return version


def check_activate(value: object, *, field: str = "activate") -> None:
    """Raise :class:`InvalidField` unless it is one of :data:`ACTIVATE_CHOICES` or nothing."""
    if value is not None and value not in ACTIVATE_CHOICES:
        raise InvalidField(field, f"{str(value)[:80]!r} is not one of {', '.join(ACTIVATE_CHOICES)}.")


def get_version(model: RegisteredModel, number: int) -> ModelVersion:
    """Return the version, in whatever state but deleted, with its files; raise :class:`VersionNotFound`."""
    versions = ModelVersion.objects.for_tenant(model.tenant_id).filter(model=model, number=number)
    version: ModelVersion | None = (
        versions.exclude(state=ModelVersion.State.DELETED).select_related("artifact", "compiled").first()
    )
    if version is None:
        raise VersionNotFound(model.name, number)
    version.model, version.tenant = model, model.tenant
    return version


def resolve(tenant: Tenant, model_name: str, *, number: int | None = None, alias: str | None = None) -> ModelVersion:
    """Return the ready version that answers: the one of that number, the alias's, or the active one.

    Raises :class:`ModelNotFound`, :class:`VersionNotFound`, :class:`VersionNotReady`, :class:`AliasNotFound` and
    :class:`NoActiveVersion`.
    """
    if number is None and alias is None:
        version = _active_version(get_model(tenant, model_name, with_files=True))
    else:
        model = get_model(tenant, model_name)
        version = get_version(model, _aliased_number(model, str(alias)) if number is None else number)
    if version.state != ModelVersion.State.READY:
        raise VersionNotReady(version.model.name, version.number, version.state)
    return version


def update_version(version: ModelVersion, *, actor: Actor, **fields: Any) -> ModelVersion:
    """Change ``tags`` (all of them) or ``description``; everything else of a version is fixed."""
    checked = _check_changes(fields)
    with transaction.atomic():
        locked = lock_model(version.model)
        row = get_version(locked, version.number)
        changed = {name: value for name, value in checked.items() if value != getattr(row, name)}
        if changed:
            for name, value in changed.items():
                setattr(row, name, value)
            row.save(update_fields=list(changed))
            target = f"{locked.name}/{row.number}"
            audit.record("version.update", actor=actor, tenant=locked.tenant, target=target, details={"after": changed})
            announce(locked)
    return row


def delete_version(version: ModelVersion, *, actor: Actor) -> None:
    """Delete a version: its number stays taken, its files go after the commit.

    Raises :class:`VersionIsActive`, :class:`VersionHasAliases` and :class:`~modelpool.core.errors.VersionInTraffic`:
    what answers predictions is moved away first.
    """
    with transaction.atomic():
        locked = lock_model(version.model)
        row = get_version(locked, version.number)
        _refuse_if_in_use(locked, row)
        files = [file for file in (row.artifact, row.compiled) if file is not None]
        row.state, row.artifact, row.compiled, row.deleted_at = ModelVersion.State.DELETED, None, None, timezone.now()
        row.save(update_fields=["state", "artifact", "compiled", "deleted_at"])
        delete_artifacts(files)
        audit.record("version.delete", actor=actor, tenant=locked.tenant, target=f"{locked.name}/{row.number}")
        reach("version.tombstoned")
        announce(locked)


def _columns_of(new: NewVersion, actor: Actor) -> dict[str, Any]:
    """Check and clean everything before any lock is taken."""
    return {
        "state": ModelVersion.State.READY,
        "trust": ModelVersion.Trust(new.trust),
        "description": check_description(new.description),
        "format": new.format,
        "serving_format": new.serving_format,
        "artifact": new.artifact,
        "compiled": new.compiled,
        "size_bytes": new.artifact.size_bytes,
        "sha256": new.artifact.sha256,
        "signature": clean_json(new.signature.to_dict()),
        "parity": None if new.parity is None else clean_json(new.parity),
        "metrics": check_metrics(new.metrics),
        "primary_metric": check_primary_metric(new.primary_metric or ""),
        "primary_mode": new.primary_mode,
        "params": clean_json(new.params),
        "tags": check_tags(new.tags),
        "figures": clean_json(new.figures),
        "libraries": clean_json(new.libraries),
        "job_id": new.job_id,
        "dataset_id": new.dataset_id,
        "copied_from": None if new.copied_from is None else clean_json(new.copied_from),
        "created_by": actor.label[:200],
    }


def _version_of_job(locked: RegisteredModel, new: NewVersion) -> ModelVersion | None:
    """Return the version that an earlier attempt at the same job registered, and drop the files of this one."""
    if new.job_id is None:
        return None
    versions = ModelVersion.objects.for_tenant(locked.tenant_id).select_related("artifact", "compiled")
    version: ModelVersion | None = versions.filter(job_id=new.job_id).first()
    if version is not None:
        kept = {version.artifact_id, version.compiled_id}
        delete_artifacts(file for file in (new.artifact, new.compiled) if file is not None and file.pk not in kept)
    return version


def _insert(
    locked: RegisteredModel, new: NewVersion, columns: dict[str, Any], *, actor: Actor, key: SigningKey
) -> ModelVersion:
    number = next_number(locked)
    reach("version.numbered")
    for file in (new.artifact, new.compiled):
        if file is not None:
            mark_ready(file)
    version = ModelVersion(tenant=locked.tenant, model=locked, number=number, **columns)
    sign_version(version, key=key)
    version.save(force_insert=True)
    details = {"format": new.format, "sha256": new.artifact.sha256, "trust": new.trust, "job": str(new.job_id or "")}
    audit.record(
        "version.register", actor=actor, tenant=locked.tenant, target=f"{locked.name}/{number}", details=details
    )
    reach("version.inserted")
    return version


def _activate(locked: RegisteredModel, version: ModelVersion, activate: str | None, *, actor: Actor) -> None:
    if activate == "always":
        move_pointer(locked, version, actor=actor, reason="always")
    elif activate != "never":
        policy = BestMetric() if activate == "if_better" else parse_policy(locked.policy)
        is_chosen = apply_policy(locked, version, policy=policy, actor=actor)
        if not is_chosen and _may_begin(locked, version, policy):
            move_pointer(locked, version, actor=actor, reason="first")


def _may_begin(locked: RegisteredModel, version: ModelVersion, policy: ActivationPolicy) -> bool:
    """Whether a trained version without a metric answers for now: nothing does yet, and nothing need be by hand."""
    return locked.active_version is None and version.trust == ModelVersion.Trust.TRAINED and policy.name != Pinned.name


def _refuse_if_in_use(locked: RegisteredModel, version: ModelVersion) -> None:
    if locked.active_version_id == version.pk:
        raise VersionIsActive(locked.name, version.number)
    aliases = ModelAlias.objects.for_tenant(locked.tenant_id).filter(version=version).order_by("name")
    names = list(aliases.values_list("name", flat=True)[:20])
    if names:
        raise VersionHasAliases(locked.name, version.number, names)
    refuse_if_in_traffic(locked, version)


def _aliased_number(model: RegisteredModel, alias: str) -> int:
    aliases = ModelAlias.objects.for_tenant(model.tenant_id).filter(model=model, name=alias)
    number: int | None = aliases.values_list("version__number", flat=True).first()
    if number is None:
        raise AliasNotFound(model.name, alias[:63])
    return number


def _active_version(model: RegisteredModel) -> ModelVersion:
    version = model.active_version
    if version is None:
        raise NoActiveVersion(model.name)
    if (version.tenant_id, version.model_id) != (model.tenant_id, model.pk):  # somebody wrote to the tables
        return get_version(model, version.number)
    version.model, version.tenant = model, model.tenant
    return version


def _check_changes(fields: dict[str, Any]) -> dict[str, Any]:
    checks: dict[str, Callable[[Any], Any]] = {"tags": check_tags, "description": check_description}
    for name in fields.keys() - checks.keys():
        raise InvalidField(name, "cannot be changed; of a version only tags and description can.")
    return {name: checks[name](value) for name, value in fields.items()}
