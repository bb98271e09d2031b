"""The panel "traffic" of a model: who answers how much, how they do side by side, and the buttons to change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpRequest

from modelpool.core.errors import InvalidField, NoTrafficRule
from modelpool.http import activating
from modelpool.monitoring.traffic import TrafficReport, traffic_report
from modelpool.registry import services
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.traffic_rules import Share, TrafficRule, rule_of
from modelpool.tenants.actors import Actor

_WHOLE = 100.0


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of the bar: a version, as what it answers, and its percentage of the requests."""

    version: int
    role: str
    percent: float


@dataclass(frozen=True, slots=True)
class TrafficPanel:
    """What the panel shows; ``others`` are the versions that can be tried beside the active one."""

    rule: TrafficRule | None
    parts: list[Part]
    report: TrafficReport | None
    others: list[int]


def traffic_panel(model: RegisteredModel) -> TrafficPanel:
    """Return the panel of one model."""
    rule = rule_of(model.traffic)
    ready = ModelVersion.objects.for_tenant(model.tenant_id).filter(model=model, state=ModelVersion.State.READY)
    ready = ready.filter(quarantined_at__isnull=True).exclude(pk=model.active_version_id)
    return TrafficPanel(
        rule=rule,
        parts=_parts(rule, active=model.active_version.number if model.active_version else None),
        report=None if rule is None else traffic_report(model, rule=UUID(rule.id)),
        others=list(ready.order_by("-number").values_list("number", flat=True)[:200]),
    )


def change_part(request: HttpRequest, model: RegisteredModel, *, part: str, actor: Actor) -> Share:
    """Set the canary or the shadow to what the form says; the other one stays, a split ends."""
    share = _share_of(request)
    before = rule_of(model.traffic) or TrafficRule()
    changes: dict[str, Any] = {"split": (), part: share}
    force = request.POST.get("force") == "on"
    activating.set_traffic(model, rule=msgspec.structs.replace(before, **changes), actor=actor, force=force)
    return share


def end_part(model: RegisteredModel, *, part: str, actor: Actor) -> None:
    """End the canary, the shadow, or with ``all`` the whole rule."""
    before = rule_of(model.traffic)
    if before is None:
        raise NoTrafficRule(model.name)
    after = msgspec.structs.replace(before, **({part: None} if part in ("canary", "shadow") else {}))
    is_empty = part not in ("canary", "shadow") or not (after.canary or after.shadow or after.split)
    if is_empty:
        services.end_traffic(model, actor=actor)
    else:
        services.set_traffic(model, rule=after, actor=actor, force=True)


def _share_of(request: HttpRequest) -> Share:
    try:
        version, percent = int(request.POST.get("version", "")), float(request.POST.get("percent", ""))
    except ValueError as error:
        raise InvalidField("percent", "choose a version, and a number from 0 to 100.") from error
    return Share(version, percent)


def _parts(rule: TrafficRule | None, *, active: int | None) -> list[Part]:
    if active is None:
        return []
    if rule is None:
        return [Part(active, "active", _WHOLE)]
    if rule.split:
        parts = [Part(share.version, "split", share.percent) for share in rule.split]
    elif rule.canary is not None:
        parts = [Part(active, "active", _WHOLE - rule.canary.percent)]
        parts.append(Part(rule.canary.version, "canary", rule.canary.percent))
    else:
        parts = [Part(active, "active", _WHOLE)]
    if rule.shadow is not None:
        parts.append(Part(rule.shadow.version, "shadow", rule.shadow.percent))
    return parts
