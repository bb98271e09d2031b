"""Several at once, in real threads with connections of their own, on the real database."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connections

from modelpool.core.errors import (
    ActiveVersionMoved,
    Conflict,
    ModelNotFound,
    ModelpoolError,
    QuotaExceeded,
    TenantNotFound,
    VersionIsActive,
    VersionNotFound,
)
from modelpool.registry.models import Activation, ModelVersion, RegisteredModel
from modelpool.registry.services import (
    NewVersion,
    activate_version,
    create_model,
    delete_model,
    delete_version,
    get_or_create_model,
    get_version,
    register_version,
    roll_back,
    set_alias,
)
from modelpool.storage.models import Artifact
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Change, Tenant
from modelpool.tenants.services import create_key, create_tenant, delete_tenant, update_tenant

MakeNew = Callable[..., NewVersion]
THREADS = 8


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    row: Tenant = Tenant.objects.create(name="acme")
    return row


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run each call in a thread; return the results, or the errors of ours, in the order of the calls."""
    barrier, outcomes = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index: int) -> None:
        try:
            barrier.wait(30)
            outcomes[index] = calls[index]()
        except ModelpoolError as error:
            outcomes[index] = error  # type: ignore[call-overload]
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_numbers_are_distinct_and_without_gaps(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    """Some registrations fail after they took a number: it is given back."""
    each = 5

    def refuse(version: ModelVersion) -> None:
        raise Conflict("lost the lease")

    def register(thread: int) -> list[int]:
        numbers = []
        for round_ in range(each):
            new = make_new(model, thread / 10)
            if (thread + round_) % 3 == 0:
                with pytest.raises(Conflict):
                    register_version(model, new=new, actor=actor, in_transaction=refuse)
            else:
                numbers.append(register_version(model, new=new, actor=actor).number)
        return numbers

    outcomes = at_once(*(lambda thread=thread: register(thread) for thread in range(THREADS)))
    numbers = sorted(number for outcome in outcomes for number in outcome)
    assert numbers == list(range(1, len(numbers) + 1))
    assert THREADS * each // 2 < len(numbers) < THREADS * each
    assert all(outcome == sorted(outcome) for outcome in outcomes)  # acknowledged one after the other: in this order
    model.refresh_from_db()
    assert model.last_number == len(numbers)
    assert ModelVersion.unscoped.count() == Artifact.unscoped.filter(state="ready").count() == len(numbers)


def test_the_pointer_moves_one_step_at_a_time(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    """The history is a chain: each entry's previous is the number of the one before, and nothing is lost."""
    for _ in range(THREADS):
        register_version(model, new=make_new(model), actor=actor, activate="never")

    def move(thread: int) -> int:
        for step in range(6):
            activate_version(model, number=(thread + step) % THREADS + 1, actor=actor)
        return thread

    assert at_once(*(lambda thread=thread: move(thread) for thread in range(THREADS))) == list(range(THREADS))
    history = list(Activation.unscoped.order_by("sequence"))
    assert [entry.sequence for entry in history] == list(range(1, len(history) + 1))
    assert [entry.previous for entry in history] == [None, *(entry.number for entry in history[:-1])]
    model.refresh_from_db()
    assert model.active_version is not None
    assert model.active_version.number == history[-1].number
    assert AuditEvent.objects.filter(action="version.activate").count() == len(history)
    assert Change.objects.filter(kind="model").count() == 1 + THREADS + len(history)


def test_of_those_that_expect_the_same_one_wins(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    for _ in range(THREADS + 1):
        register_version(model, new=make_new(model), actor=actor, activate="never")
    activate_version(model, number=1, actor=actor)
    outcomes = at_once(
        *(
            lambda number=number: activate_version(model, number=number, expected=1, actor=actor).number
            for number in range(2, THREADS + 2)
        )
    )
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert kinds == {int: 1, ActiveVersionMoved: THREADS - 1}


def test_rolling_back_at_once_goes_one_step_each(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    for _ in range(THREADS + 1):
        register_version(model, new=make_new(model), actor=actor, activate="always")
    outcomes = at_once(*(lambda: roll_back(model, actor=actor).number for _ in range(THREADS)))
    assert sorted(outcomes) == list(range(1, THREADS + 1))


def test_a_version_is_never_active_and_deleted(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    for _ in range(6):
        register_version(model, new=make_new(model), actor=actor, activate="never")
    for number in range(1, 7):
        version = get_version(model, number)
        outcomes = at_once(
            lambda number=number: activate_version(model, number=number, actor=actor),
            lambda version=version: delete_version(version, actor=actor),
            lambda number=number: set_alias(model, name=f"a{number}", number=number, actor=actor),
        )
        model.refresh_from_db()
        row = ModelVersion.unscoped.get(number=number)
        is_active = model.active_version_id == row.pk
        assert is_active is not (row.state == "deleted")
        assert (row.state == "deleted") is (outcomes[1] is None)
        assert isinstance(outcomes[0] if outcomes[1] is None else outcomes[1], VersionNotFound | Conflict)
        assert (row.artifact is None) is (row.state == "deleted")


def test_a_job_registers_once(model: RegisteredModel, actor: Actor, make_new: MakeNew) -> None:
    job = model.pk
    news = [make_new(model, job_id=job) for _ in range(THREADS)]
    outcomes = at_once(*(lambda new=new: register_version(model, new=new, actor=actor).number for new in news))
    assert outcomes == [1] * THREADS
    assert Artifact.unscoped.count() == 1


def test_a_name_is_created_once(tenant: Tenant, actor: Actor) -> None:
    models = at_once(*(lambda: get_or_create_model(tenant, name="churn", actor=actor).pk for _ in range(THREADS)))
    assert len(set(models)) == RegisteredModel.unscoped.count() == 1


def test_the_number_of_models_is_kept(tenant: Tenant, actor: Actor) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(max_models=3)
    outcomes = at_once(
        *(lambda number=number: create_model(tenant, name=f"m{number}", actor=actor) for number in range(THREADS))
    )
    assert Counter(type(outcome) for outcome in outcomes) == {RegisteredModel: 3, QuotaExceeded: THREADS - 3}


def test_a_model_deleted_while_others_work_on_it_leaves_nothing(
    model: RegisteredModel, actor: Actor, make_new: MakeNew
) -> None:
    for _ in range(3):
        register_version(model, new=make_new(model), actor=actor, activate="always")
    news = [make_new(model) for _ in range(4)]
    outcomes = at_once(
        *(lambda new=new: register_version(model, new=new, actor=actor) for new in news),
        lambda: delete_model(model, actor=actor),
        lambda: activate_version(model, number=1, actor=actor),
        lambda: roll_back(model, actor=actor),
    )
    assert outcomes[4] is None
    assert all(
        not isinstance(o, ModelpoolError) or isinstance(o, ModelNotFound | Conflict | VersionIsActive) for o in outcomes
    )
    for table in (RegisteredModel, ModelVersion, Activation):
        assert not table.unscoped.exists()
    assert not Artifact.unscoped.filter(state="ready").exists()


def test_a_tenant_is_deleted_or_gets_a_model_but_never_both(actor: Actor, transactional_db: None) -> None:
    def refuse_if_it_has_models(row: Tenant) -> None:
        if RegisteredModel.objects.for_tenant(row).exists():
            raise Conflict("it owns models")

    for round_ in range(5):
        tenant = create_tenant(f"short-lived-{round_}", actor=actor)
        deleted, made, *_ = at_once(
            partial(delete_tenant, tenant, actor=actor, check=refuse_if_it_has_models),
            partial(create_model, tenant, name="churn", actor=actor),
            partial(create_key, tenant=tenant, role="viewer", actor=actor),
            partial(update_tenant, tenant, actor=actor, display_name="x"),
        )
        assert isinstance(made, TenantNotFound if deleted is None else RegisteredModel)
        assert Tenant.objects.filter(pk=tenant.pk).exists() is (deleted is not None)
