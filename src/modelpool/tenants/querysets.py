"""The manager that cannot forget the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from uuid import UUID

from django.db import models

if TYPE_CHECKING:
    from modelpool.tenants.models import Tenant

M = TypeVar("M", bound=models.Model)


class UnscopedQuery(RuntimeError):
    """A tenant's table was read without saying whose rows are wanted: a fault in the calling code."""


class TenantManager(models.Manager[M]):
    """Refuses to build a queryset unless asked ``.for_tenant(tenant)``.

    ``Model.unscoped`` is Django's ordinary manager, for the admin's own querysets and for maintenance; a house rule
    forbids it elsewhere. Foreign keys of tenants' tables have no reverse managers (``related_name="+"``): ask the other
    table ``.for_tenant(tenant).filter(…)``.
    """

    use_in_migrations = False

    def get_queryset(self) -> NoReturn:
        """Refuse: whose rows?"""
        raise UnscopedQuery(f"{self.model.__name__}.objects needs .for_tenant(tenant)")

    def for_tenant(self, tenant: Tenant | UUID) -> models.QuerySet[M]:
        """Return the rows of one tenant, given as the row, which each of them then has, or its id."""
        tenant_id = tenant if isinstance(tenant, UUID) else tenant.pk
        queryset: models.QuerySet[M] = self._queryset_class(self.model, using=self._db).filter(tenant_id=tenant_id)  # type: ignore[attr-defined]
        return queryset if isinstance(tenant, UUID) else knowing(queryset, tenant=tenant)

    def create(self, **values: Any) -> M:
        """Insert a row; the tenant must be named."""
        if "tenant" not in values and "tenant_id" not in values:
            raise UnscopedQuery(f"{self.model.__name__}.objects.create() needs tenant=…")
        row = self.model(**values)
        row.save(force_insert=True, using=self._db)
        return row


def knowing(rows: models.QuerySet[M], **known: models.Model) -> models.QuerySet[M]:
    """Return the same rows, which will have these related rows without a join or a query.

    Django's managers of related rows do the same. A join with a single row costs more than that row: it can keep the
    database from reading the others in the order of an index.
    """
    related = {rows.model._meta.get_field(name): {row.pk: row} for name, row in known.items()}
    rows._known_related_objects = {**rows._known_related_objects, **related}  # type: ignore[attr-defined]
    return rows
