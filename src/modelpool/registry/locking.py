"""The row of a model as the lock and the counter of everything that changes in its pool."""

from __future__ import annotations

from typing import Any

from django.db import connection

from modelpool.core.errors import ModelNotFound
from modelpool.registry.models import RegisteredModel

_NEXT_NUMBER = "UPDATE modelpool_model SET last_number = last_number + 1 WHERE id = %s RETURNING last_number"


def lock_model(model: RegisteredModel) -> RegisteredModel:
    """Return the model's present row, locked until the transaction ends; raise :class:`ModelNotFound` when it is gone.

    Every change to a pool takes this lock first, then others: an order that cannot dead-lock. On SQLite the
    transaction itself is the lock. The row is read alone: PostgreSQL gives a row that it had to wait for as it is by
    then, but joined ones as they were before, so the active version is asked for afterwards.
    """
    rows = RegisteredModel.objects.for_tenant(model.tenant_id).select_for_update(no_key=True)
    locked: RegisteredModel | None = rows.filter(pk=model.pk).first()
    if locked is None:
        raise ModelNotFound(model.tenant.name, model.name)
    locked.tenant = model.tenant
    return locked


def next_number(model: RegisteredModel) -> int:
    """Take the model's next version number, in one statement; it is given back when the transaction is rolled back."""
    key = RegisteredModel._meta.pk.get_db_prep_value(model.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_NUMBER, [key])
        row: Any = cursor.fetchone()
    if row is None:
        raise ModelNotFound(model.tenant.name, model.name)
    return int(row[0])
