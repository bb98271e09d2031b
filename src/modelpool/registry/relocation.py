"""Where a tenant's new files go, changed for the tenant and its models alike."""

from __future__ import annotations

from django.db import transaction

from modelpool.registry.models import RegisteredModel
from modelpool.registry.pools import update_model
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.tenants.services import update_tenant


def send_new_files(tenant: Tenant, *, to: str, source: str | None, actor: Actor) -> None:
    """Let what goes to the store ``source`` go to ``to`` from now on; ``None`` is all that the tenant stores.

    Raises :class:`~modelpool.core.errors.InvalidField` for a store that is not configured.
    """
    with transaction.atomic():
        if source is None or tenant.store == source:
            tenant = update_tenant(tenant, actor=actor, store=to)
        for model in RegisteredModel.objects.for_tenant(tenant).exclude(store__in=("", to)):
            if source is None or model.store == source:
                update_model(model, actor=actor, store="" if tenant.store == to else to)
