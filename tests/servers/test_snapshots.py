"""A test that commits leaves nothing behind, and the rows that migrations made stay."""

from __future__ import annotations

import os
import threading

import pytest
from django.db import connection, connections

from modelpool.tenants import services
from modelpool.tenants.models import AuditEvent, Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_each_test_begins_with_the_migrated_database(turn, actor):
    assert list(Tenant.objects.values_list("name", flat=True)) == [services.DEFAULT_TENANT]
    assert not AuditEvent.objects.exists()
    services.create_tenant("left-behind", actor=actor)


@pytest.mark.parametrize("turn", [1, 2])
def test_connections_of_other_threads_do_not_matter(turn, actor):
    assert Tenant.objects.count() == 1
    done, leave = threading.Event(), threading.Event()

    def keep_a_connection() -> None:
        services.create_tenant("from-a-thread", actor=actor)
        done.set()
        leave.wait(30)
        connections.close_all()

    thread = threading.Thread(target=keep_a_connection)
    thread.start()
    assert done.wait(30)
    assert Tenant.objects.filter(name="from-a-thread").exists()
    leave.set()
    thread.join()


def test_the_database_is_of_the_kind_that_was_asked_for(request):
    expected = {"sqlite": "sqlite", "postgres": "postgresql"}[os.environ.get("MODELPOOL_TEST_DATABASE", "sqlite")]
    assert connection.vendor == expected
    assert request.node.get_closest_marker("database")
