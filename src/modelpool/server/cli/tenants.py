"""``modelpool tenant``: the tenants of this installation, on the server and without a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpool.server.cli.homes import HomeOption, JSONOption, use_django
from modelpool.server.cli.output import print_fields, print_rows, tell

if TYPE_CHECKING:
    from modelpool.tenants.models import Tenant

Name = Annotated[str, typer.Argument(help="The tenant's name.")]
app = typer.Typer(help="Tenants of this installation (on the server, without a key).", no_args_is_help=True)


@app.command()
def create(
    name: Name,
    display_name: Annotated[str, typer.Option(help="What people read.")] = "",
    store: Annotated[str, typer.Option(help="Alias of its artifact store.")] = "default",
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Create a tenant."""
    use_django(home)
    from modelpool.tenants import services

    tenant = services.create_tenant(name, actor=_cli(), display_name=display_name, store=store)
    tell(
        f"Created tenant {name!r}. A key for it: modelpool key create --tenant {name} --role scientist", as_json=as_json
    )
    if as_json:
        print_fields(_describe(tenant), as_json=True)


@app.command("list")
def list_tenants(as_json: JSONOption = False, home: HomeOption = None) -> None:
    """List all tenants."""
    use_django(home)
    from modelpool.tenants.models import Tenant

    rows = [_describe(tenant) for tenant in Tenant.objects.order_by("name")]
    print_rows(rows, columns=["name", "display_name", "active", "store", "created_at"], as_json=as_json)


@app.command()
def show(name: Name, as_json: JSONOption = False, home: HomeOption = None) -> None:
    """Show a tenant: quotas, what it uses of them, what it owns."""
    use_django(home)
    from modelpool.registry.models import RegisteredModel
    from modelpool.storage.services import storage_quota, storage_used
    from modelpool.tenants import services
    from modelpool.tenants.models import APIKey

    tenant = services.get_tenant(name)
    counts = {
        "models": RegisteredModel.objects.for_tenant(tenant).count(),
        "keys": APIKey.objects.for_tenant(tenant).filter(revoked_at=None).count(),
        "storage_used_bytes": storage_used(tenant),
        "storage_quota_bytes": storage_quota(tenant),
    }
    print_fields(_describe(tenant) | counts, as_json=as_json)


@app.command()
def suspend(name: Name, home: HomeOption = None) -> None:
    """Refuse the tenant's keys and people from now on; nothing is deleted."""
    _set_active(name, home, is_active=False)
    tell(f"Suspended tenant {name!r}; modelpool tenant resume {name} lets it in again.")


@app.command()
def resume(name: Name, home: HomeOption = None) -> None:
    """Let a suspended tenant in again."""
    _set_active(name, home, is_active=True)
    tell(f"Tenant {name!r} is active.")


@app.command()
def delete(
    name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, home: HomeOption = None
) -> None:
    """Delete a tenant that owns nothing any more, with its keys and members."""
    use_django(home)
    from modelpool.tenants import services
    from modelpool.training.emptiness import refuse_unless_empty

    tenant = services.get_tenant(name)
    refuse_unless_empty(tenant)
    if not yes:
        typer.confirm(f"Delete tenant {name!r}, its keys and its members?", abort=True)
    services.delete_tenant(tenant, actor=_cli(), check=refuse_unless_empty)
    tell(f"Deleted tenant {name!r}.")


def _set_active(name: str, home: Path | None, *, is_active: bool) -> None:
    use_django(home)
    from modelpool.tenants import services

    services.update_tenant(services.get_tenant(name), actor=_cli(), is_active=is_active)


def _describe(tenant: Tenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "display_name": tenant.display_name,
        "active": tenant.is_active,
        "store": tenant.store,
        "max_storage_bytes": tenant.max_storage_bytes,
        "max_models": tenant.max_models,
        "max_queued_jobs": tenant.max_queued_jobs,
        "dataset_days": tenant.dataset_days,
        "predictions_per_second": tenant.predictions_per_second,
        "burst": tenant.burst,
        "created_at": tenant.created_at,
    }


def _cli() -> Any:
    from modelpool.server.cli.actors import CLI

    return CLI
