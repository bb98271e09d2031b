"""What decides who answers predictions, with the check that it can: for the REST API and the console alike."""

from __future__ import annotations

from modelpool.inference.activation_check import check_servable
from modelpool.registry import services
from modelpool.registry.activation import Unset
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.traffic_rules import TrafficRule
from modelpool.tenants.actors import Actor


def activate_version(
    model: RegisteredModel, *, number: int, actor: Actor, expected: int | Unset | None = services.UNSET
) -> ModelVersion:
    """Let the version answer its own example here, then make it the active one; 409 with the reason if it cannot."""
    check_servable(model, numbers=[number])
    return services.activate_version(model, number=number, actor=actor, expected=expected)


def activate_best(
    model: RegisteredModel, *, actor: Actor, by: str | None = None, mode: str | None = None
) -> ModelVersion:
    """Do so with the best version by a metric."""
    number = services.best_version(model, by=by, mode=mode)
    check_servable(model, numbers=[number])
    return services.activate_version(model, number=number, actor=actor, reason="activate_best")


def roll_back(model: RegisteredModel, *, actor: Actor, to: int | None = None) -> ModelVersion:
    """Do so with the version that was active before; with ``to``, only where it is that one."""
    number = services.previous_version(model) if to is None else to
    check_servable(model, numbers=[number])
    return services.roll_back(model, actor=actor, to=number)


def set_traffic(model: RegisteredModel, *, rule: TrafficRule, actor: Actor, force: bool = False) -> TrafficRule:
    """Check the rule and every version that it names, then let it be in force."""
    services.check_traffic(model, rule=rule, force=force)
    check_servable(model, numbers=rule.parts())
    return services.set_traffic(model, rule=rule, actor=actor, force=force)


def promote(model: RegisteredModel, *, actor: Actor) -> ModelVersion:
    """Activate the canary, which ends it in the same transaction; :class:`NoTrafficRule` where there is none."""
    number = services.canary_of(model)
    return activate_version(model, number=number, actor=actor)
