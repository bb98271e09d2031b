"""Workers that ask at the same time do not wait for each other."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from modelpool.tenants.models import Tenant
from modelpool.training.models import TrainingJob
from modelpool.training.queue import claim_next
from tests.training.conftest import MakeJob

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_that_another_worker_has_locked_is_skipped(tenant: Tenant, make_job: MakeJob) -> None:
    """The other transaction stays open until this one has its job: who waited for it would wait for ever."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer, who waits; 'make test-postgres' runs this")
    oldest, next_one = make_job(tenant), make_job(tenant)
    is_locked, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                TrainingJob.unscoped.select_for_update().get(pk=oldest.pk)
                is_locked.set()
                may_end.wait(30)
        finally:
            connection.close()

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert is_locked.wait(10)
        taken = claim_next("host:1", lease_s=30)
        assert taken is not None
        assert taken[1].pk == next_one.pk
        assert claim_next("host:2", lease_s=30) is None
    finally:
        may_end.set()
        other.join(10)
    left = claim_next("host:2", lease_s=30)
    assert left is not None
    assert left[1].pk == oldest.pk
