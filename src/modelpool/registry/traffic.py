"""Setting and ending traffic rules. Each change is one transaction with an audit row and a change in the feed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
from django.db import transaction
from django.utils import timezone

from modelpool.core.errors import InvalidField, NoTrafficRule, VersionInTraffic
from modelpool.core.signature import ModelSignature
from modelpool.registry.feed import announce
from modelpool.registry.locking import lock_model
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.traffic_rules import TrafficRule, check_compatible, check_rule, rule_of
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor


def set_traffic(model: RegisteredModel, *, rule: TrafficRule, actor: Actor, force: bool = False) -> TrafficRule:
    """Let the rule take the place of the one there is, and return it as it stands now.

    ``force`` lets in versions that do not take all that the active one takes. Raises :class:`InvalidField` that names
    what is wrong. Saying again what is so changes nothing.
    """
    with transaction.atomic():
        locked = lock_model(model)
        _check(locked, rule, force=force)
        before = rule_of(locked.traffic)
        named = _named(rule, before=before, actor=actor)
        if named == before:
            return named
        _store(locked, named, actor=actor, action="traffic.set", before=before)
        announce(locked)
    return named


def end_traffic(model: RegisteredModel, *, actor: Actor) -> None:
    """Let the active version answer everything again; raise :class:`NoTrafficRule` where it does."""
    with transaction.atomic():
        locked = lock_model(model)
        before = rule_of(locked.traffic)
        if before is None:
            raise NoTrafficRule(locked.name)
        _store(locked, None, actor=actor, action="traffic.end", before=before)
        announce(locked)


def traffic_of(model: RegisteredModel) -> TrafficRule:
    """Return the rule that is in force; raise :class:`NoTrafficRule`."""
    rule = rule_of(model.traffic)
    if rule is None:
        raise NoTrafficRule(model.name)
    return rule


def canary_of(model: RegisteredModel) -> int:
    """Return the version that is the canary; raise :class:`NoTrafficRule`."""
    canary = traffic_of(model).canary
    if canary is None:
        raise NoTrafficRule(model.name)
    return canary.version


def check_traffic(model: RegisteredModel, *, rule: TrafficRule, force: bool = False) -> None:
    """Raise what :func:`set_traffic` would, as things are now."""
    _check(model, rule, force=force)


def end_for_activated(locked: RegisteredModel, version: ModelVersion, *, actor: Actor) -> None:
    """Within the transaction that activates ``version``: as canary or shadow of itself it has done its work."""
    before = rule_of(locked.traffic)
    if before is None or version.number not in before.parts():
        return
    after = before.without(version.number)
    if after != before:
        _store(locked, after, actor=actor, action="traffic.set" if after else "traffic.end", before=before)


def refuse_if_in_traffic(locked: RegisteredModel, version: ModelVersion) -> None:
    """Raise :class:`VersionInTraffic` for a version that the rule names."""
    rule = rule_of(locked.traffic)
    part = None if rule is None else rule.parts().get(version.number)
    if part is not None:
        raise VersionInTraffic(locked.name, version.number, part)


def _check(model: RegisteredModel, rule: TrafficRule, *, force: bool) -> None:
    active = model.active_version
    if active is None:
        raise InvalidField("canary", "the model has no active version to divide requests with; activate one first.")
    check_rule(rule, active=active.number)
    wanted = ModelSignature.from_dict(active.signature)
    for number, part in rule.parts().items():
        version = _version(model, number, field=f"{part}.version")
        if not force:
            check_compatible(wanted, ModelSignature.from_dict(version.signature), field=f"{part}.version")


def _version(model: RegisteredModel, number: int, *, field: str) -> ModelVersion:
    rows = ModelVersion.objects.for_tenant(model.tenant_id).filter(model=model, number=number)
    version: ModelVersion | None = rows.exclude(state=ModelVersion.State.DELETED).first()
    if version is None:
        raise InvalidField(field, f"there is no version {number} of {model.name!r}.", code="unknown_version")
    if version.state != ModelVersion.State.READY:
        raise InvalidField(field, f"version {number} is {version.state}, not ready.", code="version_not_ready")
    if version.quarantined_at is not None:
        detail = f"version {number} is in quarantine: {version.quarantine_reason}; release it first."
        raise InvalidField(field, detail, code="version_quarantined")
    return version


def _named(rule: TrafficRule, *, before: TrafficRule | None, actor: Actor) -> TrafficRule:
    """Give the rule the name of its experiment, and say who set it when."""
    is_same = before is not None and before.experiment() == rule.experiment()
    name = before.id if before is not None and is_same else str(uuid4())
    same = msgspec.structs.replace(rule, id=name, since=before.since if before else "", by=before.by if before else "")
    if same == before:
        return same
    since = before.since if before is not None and is_same else timezone.now().isoformat()
    return msgspec.structs.replace(rule, id=name, since=since, by=actor.label[:200])


def _store(
    locked: RegisteredModel, rule: TrafficRule | None, *, actor: Actor, action: str, before: TrafficRule | None
) -> None:
    stored = None if rule is None else rule.to_dict()
    RegisteredModel.objects.for_tenant(locked.tenant_id).filter(pk=locked.pk).update(traffic=stored)
    locked.traffic = stored
    details: dict[str, Any] = {"from": _short(before), "to": _short(rule)}
    audit.record(action, actor=actor, tenant=locked.tenant, target=locked.name, details=details)


def _short(rule: TrafficRule | None) -> dict[str, Any] | None:
    if rule is None:
        return None
    return {name: value for name, value in rule.to_dict().items() if value and name not in ("id", "since", "by")}
