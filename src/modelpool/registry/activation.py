"""The pointer to the active version: activate, activate the best, roll back.

The pointer is a column of the model's row, moved by one UPDATE that names the old value. Every move adds an entry to
the history, an audit row and an entry to the change feed, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, cast, get_args

from django.db import transaction

from modelpool.core.errors import (
    ActiveVersionMoved,
    InvalidField,
    NothingToRollBackTo,
    VersionIsQuarantined,
    VersionNotFound,
    VersionNotReady,
)
from modelpool.core.policies import ActivationPolicy, BestMetric, Candidate, Mode
from modelpool.registry.feed import announce
from modelpool.registry.locking import lock_model
from modelpool.registry.models import Activation, ModelVersion, RegisteredModel
from modelpool.registry.traffic import end_for_activated
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor


class Unset(Enum):
    """The type of :data:`UNSET`."""

    UNSET = 0


UNSET: Final = Unset.UNSET
"""No expectation: whatever is active is replaced."""


def activate_version(
    model: RegisteredModel, *, number: int, actor: Actor, expected: int | Unset | None = UNSET, reason: str = "activate"
) -> ModelVersion:
    """Make a ready version the active one; activating the active one changes nothing.

    ``expected`` is the number that the caller believes to be active (``None``: none is). Raises
    :class:`VersionNotFound`, :class:`VersionNotReady`, :class:`VersionIsQuarantined` and :class:`ActiveVersionMoved`.
    """
    with transaction.atomic():
        locked = lock_model(model)
        version = _ready_version(locked, number)
        _check_expected(locked, expected)
        if move_pointer(locked, version, actor=actor, reason=reason):
            announce(locked)
    return version


def best_version(model: RegisteredModel, *, by: str | None = None, mode: str | None = None) -> int:
    """Return the number that :func:`activate_best` would activate now, and raise what it would."""
    policy = BestMetric(metric=by, mode=_check_mode(mode))
    candidates = [candidate_of(version) for version in _may_be_activated(model).only(*_CANDIDATE_FIELDS)]
    return _best_number(policy, candidates, active=active_number(model))


def activate_best(
    model: RegisteredModel, *, actor: Actor, by: str | None = None, mode: str | None = None
) -> ModelVersion:
    """Activate the best ready version of the pool by the metric ``by`` (its primary metric when ``None``).

    ``mode`` is ``max`` or ``min``; ``None`` takes the direction that the trainer gave, or the one that the name tells.
    Of equals the active one stays. Raises :class:`InvalidField` that names the metrics there are when none is ``by``.
    """
    policy = BestMetric(metric=by, mode=_check_mode(mode))
    with transaction.atomic():
        locked = lock_model(model)
        ready = _may_be_activated(locked)
        candidates = [candidate_of(version) for version in ready.only(*_CANDIDATE_FIELDS)]
        version = _ready_version(locked, _best_number(policy, candidates, active=active_number(locked)))
        if move_pointer(locked, version, actor=actor, reason="activate_best"):
            announce(locked)
    return version


def previous_version(model: RegisteredModel) -> int:
    """Return the number that :func:`roll_back` would activate now; raise :class:`NothingToRollBackTo`."""
    return _previous(model)[1].number


def roll_back(model: RegisteredModel, *, actor: Actor, to: int | None = None) -> ModelVersion:
    """Activate the version that was active before and is still ready; again and again walks further back.

    Raises :class:`NothingToRollBackTo`, and :class:`ActiveVersionMoved` where that would not be the version ``to``.
    """
    with transaction.atomic():
        locked = lock_model(model)
        before = active_number(locked)
        target, version = _previous(locked)
        if to is not None and version.number != to:
            raise ActiveVersionMoved(locked.name, None, before)
        _move(locked, version, actor=actor, reason="rollback", below=target.below)
        announce(locked)
    return version


def move_pointer(locked: RegisteredModel, version: ModelVersion, *, actor: Actor, reason: str) -> bool:
    """Point the locked model at the version; say whether that changed anything."""
    if locked.active_version_id == version.pk:
        return False
    top = _top(locked)
    _move(locked, version, actor=actor, reason=reason, below=top.sequence if top else None)
    return True


def apply_policy(locked: RegisteredModel, version: ModelVersion, *, policy: ActivationPolicy, actor: Actor) -> bool:
    """Let a policy choose between the active version and the new one; no other may become active by a registration.

    So what somebody rolled back from does not return because it scores best. An active version that is in quarantine
    does not count.
    """
    candidates = [candidate_of(version)]
    if locked.active_version is not None and locked.active_version.quarantined_at is None:
        candidates.append(candidate_of(locked.active_version))
    if policy.choose(candidates, active=active_number(locked)) != version.number:
        return False
    return move_pointer(locked, version, actor=actor, reason=f"policy:{policy.name}")


def active_number(model: RegisteredModel) -> int | None:
    """Return the number of the active version, if there is one."""
    return None if model.active_version is None else model.active_version.number


_CANDIDATE_FIELDS = ("number", "created_at", "metrics", "primary_metric", "primary_mode")


def candidate_of(version: ModelVersion) -> Candidate:
    """Return the version as a policy sees it."""
    return Candidate(
        number=version.number,
        created_at=version.created_at,
        metrics=version.metrics,
        primary_metric=version.primary_metric or None,
        primary_mode="min" if version.primary_mode == "min" else "max",
    )


def _move(locked: RegisteredModel, version: ModelVersion, *, actor: Actor, reason: str, below: int | None) -> None:
    """Move the pointer from what it is known to be, and write it down."""
    before, old_id = active_number(locked), locked.active_version_id
    row = RegisteredModel.objects.for_tenant(locked.tenant_id).filter(pk=locked.pk)
    row = row.filter(active_version__isnull=True) if old_id is None else row.filter(active_version_id=old_id)
    if not row.update(active_version_id=version.pk):
        raise ActiveVersionMoved(locked.name, before, None)
    locked.active_version = version
    top = _top(locked)
    Activation.objects.create(
        tenant_id=locked.tenant_id,
        model=locked,
        sequence=top.sequence + 1 if top else 1,
        below=below,
        number=version.number,
        previous=before,
        reason=reason[:64],
        by=actor.label[:200],
    )
    details: dict[str, Any] = {"from": before, "to": version.number, "reason": reason}
    target = f"{locked.name}/{version.number}"
    audit.record("version.activate", actor=actor, tenant=locked.tenant, target=target, details=details)
    end_for_activated(locked, version, actor=actor)


def _previous(locked: RegisteredModel) -> tuple[Activation, ModelVersion]:
    """Walk down the stack to the first entry whose version is ready and is not the active one."""
    history = Activation.objects.for_tenant(locked.tenant_id).filter(model=locked)
    ready = _may_be_activated(locked)
    entry = _top(locked)
    while entry is not None and entry.below is not None:
        entry = history.get(sequence=entry.below)
        version = ready.filter(number=entry.number).exclude(pk=locked.active_version_id).first()
        if version is not None:
            return entry, version
    raise NothingToRollBackTo(locked.name)


def _top(locked: RegisteredModel) -> Activation | None:
    history = Activation.objects.for_tenant(locked.tenant_id).filter(model=locked)
    top: Activation | None = history.order_by("-sequence").first()
    return top


def _ready_version(locked: RegisteredModel, number: int) -> ModelVersion:
    versions = ModelVersion.objects.for_tenant(locked.tenant_id).filter(model=locked, number=number)
    version: ModelVersion | None = versions.exclude(state=ModelVersion.State.DELETED).first()
    if version is None:
        raise VersionNotFound(locked.name, number)
    if version.state != ModelVersion.State.READY:
        raise VersionNotReady(locked.name, number, version.state)
    if version.quarantined_at is not None:
        raise VersionIsQuarantined(locked.name, number, version.quarantine_reason)
    version.model = locked
    return version


def _may_be_activated(locked: RegisteredModel) -> Any:
    versions = ModelVersion.objects.for_tenant(locked.tenant_id).filter(model=locked)
    return versions.filter(state=ModelVersion.State.READY, quarantined_at__isnull=True)


def _check_expected(locked: RegisteredModel, expected: int | Unset | None) -> None:
    actual = active_number(locked)
    if not isinstance(expected, Unset) and expected != actual:
        raise ActiveVersionMoved(locked.name, expected, actual)


def _check_mode(mode: str | None) -> Mode | None:
    if mode is not None and mode not in get_args(Mode):
        raise InvalidField("mode", f"{str(mode)[:80]!r} is not 'max' or 'min'.")
    return cast("Mode | None", mode)


def _best_number(policy: BestMetric, candidates: Sequence[Candidate], *, active: int | None) -> int:
    if policy.choose(candidates, active=None) is not None:
        best = policy.choose(candidates, active=active)
        assert best is not None
        return best
    names = sorted({name for candidate in candidates for name in candidate.metrics})
    there = f"available are {', '.join(names[:50])}" if names else "no ready version has any metric"
    what = "primary metric" if policy.metric is None else f"metric {policy.metric[:80]!r}"
    raise InvalidField("by", f"no ready version has a value of the {what}; {there}.", code="unknown_metric")
