from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelpool.core.errors import (
    ActiveVersionMoved,
    InvalidField,
    NoActiveVersion,
    NothingToRollBackTo,
    VersionNotFound,
    VersionNotReady,
)
from modelpool.registry.models import Activation, ModelVersion, RegisteredModel
from modelpool.registry.services import (
    activate_best,
    activate_version,
    create_model,
    delete_version,
    get_version,
    resolve,
    roll_back,
    update_model,
)
from modelpool.tenants.actors import Actor
from modelpool.tenants.changes import changes_after, last_change_id
from modelpool.tenants.models import AuditEvent, Tenant

Register = Callable[..., ModelVersion]


def active(model: RegisteredModel) -> int | None:
    try:
        return resolve(model.tenant, model.name).number
    except NoActiveVersion:
        return None


# --- by a policy ------------------------------------------------------------------------------------------------------


def test_by_default_the_better_one_is_activated(model: RegisteredModel, register: Register) -> None:
    seen = []
    for accuracy in (None, 0.5, 0.4, 0.6, math.nan, 0.55):
        register(model, accuracy)
        seen.append(active(model))
    assert seen == [1, 2, 2, 4, 4, 4]  # the first begins, having nothing to be compared with


@pytest.mark.parametrize(("policy", "seen"), [("pinned", [None, None]), ("latest", [1, 2])])
def test_the_models_policy_decides(
    tenant: Tenant, actor: Actor, register: Register, policy: str, seen: list[int | None]
) -> None:
    model = create_model(tenant, name="m", actor=actor, policy=policy)
    found = []
    for accuracy in (0.9, 0.1):
        register(model, accuracy)
        found.append(active(model))
    assert found == seen


def test_the_policy_of_the_tenant_is_that_of_its_new_models(tenant: Tenant, actor: Actor, register: Register) -> None:
    tenant.default_policy = {"name": "latest"}
    tenant.save()
    model = create_model(tenant, name="m", actor=actor)
    register(model, 0.9)
    register(model, 0.1)
    assert active(model) == 2


@pytest.mark.parametrize(
    ("activate", "policy", "chosen"),
    [("always", "pinned", 2), ("never", "latest", 1), ("if_better", "pinned", 1), (None, "latest", 2)],
)
def test_a_request_wins_over_the_policy(
    tenant: Tenant, actor: Actor, register: Register, activate: str | None, policy: str, chosen: int
) -> None:
    model = create_model(tenant, name="m", actor=actor, policy=policy)
    register(model, 0.9, activate="always")
    register(model, 0.1, activate=activate)
    assert active(model) == chosen
    register(model, 0.95, activate="if_better")
    assert active(model) == 3


def test_what_was_rolled_back_from_does_not_return_with_the_next_version(
    model: RegisteredModel, actor: Actor, register: Register
) -> None:
    for accuracy in (0.5, 0.9):
        register(model, accuracy)
    roll_back(model, actor=actor)
    register(model, 0.6)
    assert active(model) == 3


def test_a_new_policy_moves_nothing_by_itself(model: RegisteredModel, actor: Actor, register: Register) -> None:
    register(model, 0.9)
    register(model, 0.1)
    update_model(model, actor=actor, policy="latest")
    assert active(model) == 1


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_activation_moves_the_pointer_and_writes_it_down(
    model: RegisteredModel, actor: Actor, register: Register
) -> None:
    register(model, 0.9)
    register(model, 0.1)
    before, audits = last_change_id(), AuditEvent.objects.count()
    version = activate_version(model, number=2, actor=actor)
    assert version.number == active(model) == 2
    entry = Activation.objects.for_tenant(model.tenant).get(sequence=2)
    assert (entry.number, entry.previous, entry.reason, entry.by) == (2, 1, "activate", "tests")
    assert [(change.kind, change.ref) for change in changes_after(before)] == [("model", str(model.pk))]
    event = AuditEvent.objects.order_by("-id")[0]
    assert (event.action, event.target, event.details["from"]) == ("version.activate", "churn/2", 1)
    assert AuditEvent.objects.count() == audits + 1


def test_activating_the_active_one_changes_nothing(model: RegisteredModel, actor: Actor, register: Register) -> None:
    register(model, 0.9)
    before, audits = last_change_id(), AuditEvent.objects.count()
    activate_version(model, number=1, actor=actor)
    assert (last_change_id(), AuditEvent.objects.count(), Activation.unscoped.count()) == (before, audits, 1)


def test_the_expected_version_must_be_active(model: RegisteredModel, actor: Actor, register: Register) -> None:
    for accuracy in (0.9, 0.1, 0.2):
        register(model, accuracy)
    with pytest.raises(ActiveVersionMoved, match="is 1, not 3"):
        activate_version(model, number=2, expected=3, actor=actor)
    with pytest.raises(ActiveVersionMoved, match="is 1, not None"):
        activate_version(model, number=2, expected=None, actor=actor)
    assert active(model) == 1
    activate_version(model, number=2, expected=1, actor=actor)
    assert active(model) == 2


def test_only_ready_versions_can_be_activated(model: RegisteredModel, actor: Actor, register: Register) -> None:
    register(model, 0.9)
    register(model, 0.1)
    for state in ("pending", "failed"):
        ModelVersion.objects.for_tenant(model.tenant).filter(number=2).update(state=state)
        with pytest.raises(VersionNotReady, match=state):
            activate_version(model, number=2, actor=actor)
    ModelVersion.objects.for_tenant(model.tenant).filter(number=2).update(state="ready")
    delete_version(get_version(model, 2), actor=actor)
    for number in (2, 3):
        with pytest.raises(VersionNotFound):
            activate_version(model, number=number, actor=actor)
    assert active(model) == 1


def test_the_best_of_the_pool(model: RegisteredModel, actor: Actor, register: Register) -> None:
    for accuracy, loss in ((0.7, 0.3), (0.9, 0.5), (0.8, math.nan), (0.9, 0.2)):
        register(model, activate="never", metrics={"accuracy": accuracy, "log_loss": loss}, primary_metric="accuracy")
    assert activate_best(model, by="accuracy", actor=actor).number == 4  # of equals the newest
    activate_version(model, number=2, actor=actor)
    assert activate_best(model, by="accuracy", actor=actor).number == 2  # of equals the active one
    assert activate_best(model, by="accuracy", mode="min", actor=actor).number == 1
    assert activate_best(model, by="log_loss", actor=actor).number == 4
    assert activate_best(model, by="log_loss", mode="max", actor=actor).number == 2
    assert activate_best(model, actor=actor).number == 2
    ModelVersion.objects.for_tenant(model.tenant).filter(number=2).update(state="failed")
    assert activate_best(model, by="accuracy", actor=actor).number == 4


def test_the_best_by_an_unknown_metric_names_those_there_are(
    model: RegisteredModel, actor: Actor, register: Register
) -> None:
    with pytest.raises(InvalidField, match="no ready version has any metric"):
        activate_best(model, by="accuracy", actor=actor)
    register(model, metrics={"r2": 0.5, "mae": 1.0, "broken": math.nan})
    with pytest.raises(InvalidField, match=r"'accuracy'.*broken, mae, r2") as caught:
        activate_best(model, by="accuracy", actor=actor)
    assert caught.value.errors[0].field == "by"
    with pytest.raises(InvalidField, match="primary metric"):
        activate_best(model, actor=actor)
    with pytest.raises(InvalidField, match="mode"):
        activate_best(model, by="r2", mode="best", actor=actor)
    assert active(model) == 1


# --- rolling back -----------------------------------------------------------------------------------------------------


def test_rolling_back_again_walks_further_back(model: RegisteredModel, actor: Actor, register: Register) -> None:
    for _ in "ABC":
        register(model, activate="always")
    assert roll_back(model, actor=actor).number == 2
    assert roll_back(model, actor=actor).number == 1
    with pytest.raises(NothingToRollBackTo):
        roll_back(model, actor=actor)
    assert active(model) == 1
    assert [(entry.number, entry.reason) for entry in Activation.unscoped.order_by("-sequence")] == [
        (1, "rollback"), (2, "rollback"), (3, "always"), (2, "always"), (1, "always"),
    ]  # fmt: skip


def test_an_activation_after_a_rollback_is_rolled_back_to_where_it_came_from(
    model: RegisteredModel, actor: Actor, register: Register
) -> None:
    for _ in "ABCD":
        register(model, activate="never")
    for number in (1, 2, 3):
        activate_version(model, number=number, actor=actor)
    roll_back(model, actor=actor)
    activate_version(model, number=4, actor=actor)
    assert [roll_back(model, actor=actor).number for _ in range(2)] == [2, 1]


def test_deleted_and_failed_versions_are_passed_over(model: RegisteredModel, actor: Actor, register: Register) -> None:
    for _ in "ABCAD":
        register(model, activate="always")
    delete_version(get_version(model, 4), actor=actor)
    ModelVersion.objects.for_tenant(model.tenant).filter(number=3).update(state="failed")
    assert roll_back(model, actor=actor).number == 2


def test_what_is_active_already_is_passed_over(model: RegisteredModel, actor: Actor, register: Register) -> None:
    for _ in "AB":
        register(model, activate="never")
    for number in (1, 2, 1):
        activate_version(model, number=number, actor=actor)
    delete_version(get_version(model, 2), actor=actor)
    with pytest.raises(NothingToRollBackTo):
        roll_back(model, actor=actor)
    assert active(model) == 1


def test_there_is_nothing_before_the_first(model: RegisteredModel, actor: Actor, register: Register) -> None:
    with pytest.raises(NothingToRollBackTo):
        roll_back(model, actor=actor)
    register(model, activate="always")
    with pytest.raises(NothingToRollBackTo):
        roll_back(model, actor=actor)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.integers(0, 4), max_size=25))
def test_the_history_is_a_stack(moves: list[int], tenant: Tenant, actor: Actor, register: Register) -> None:
    """Against a plain list: an activation pushes, a roll-back (0) pops; the same version twice in a row is one."""
    model = create_model(tenant, name=f"m{RegisteredModel.unscoped.count()}", actor=actor)
    for _ in range(4):
        register(model, activate="never")
    stack: list[int] = []
    for move in moves:
        if move == 0 and len(stack) > 1:
            stack.pop()
            assert roll_back(model, actor=actor).number == stack[-1]
        elif move == 0:
            with pytest.raises(NothingToRollBackTo):
                roll_back(model, actor=actor)
        else:
            activate_version(model, number=move, actor=actor)
            stack += [] if stack[-1:] == [move] else [move]
        assert active(model) == (stack[-1] if stack else None)
