"""``modelpool key``: the secrets that programs send, made and revoked on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from modelpool.core.errors import InvalidField, KeyNotFound
from modelpool.server.cli.homes import HomeOption, JSONOption, use_django
from modelpool.server.cli.output import print_fields, print_rows, tell

if TYPE_CHECKING:
    from modelpool.tenants.models import APIKey, Tenant

TenantOption = Annotated[
    str | None,
    typer.Option("--tenant", envvar="MODELPOOL_TENANT", help="Whose key.  [default: default]", show_default=False),
]
OperatorOption = Annotated[bool, typer.Option("--operator", help="A key of the installation, for all tenants.")]
app = typer.Typer(help="Keys of programs (on the server, without a key).", no_args_is_help=True)


@app.command()
def create(
    tenant: TenantOption = None,
    role: Annotated[str | None, typer.Option(help="viewer, predictor, scientist or admin.")] = None,
    operator: OperatorOption = False,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires: Annotated[float | None, typer.Option(help="Days until it expires.", show_default="never")] = None,
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Create a key; its secret is shown this once."""
    use_django(home)
    from modelpool.server.cli.actors import CLI
    from modelpool.tenants import services

    owner = _owner(tenant, is_operator=operator)
    if not operator and role is None:
        raise InvalidField("--role", "say what the key may do: viewer, predictor, scientist or admin.")
    if operator and role not in (None, "operator"):
        raise InvalidField("--role", "an operator's key has no other role; leave one of --operator and --role out.")
    chosen = "operator" if operator else str(role)
    key, secret = services.create_key(tenant=owner, role=chosen, actor=CLI, name=name, expires_in_days=expires)
    if as_json:
        print_fields({"id": str(key.pk), "key": secret} | _describe(key), as_json=True)
    else:
        typer.echo(secret)
        tell("This is shown once. Send it as 'Authorization: Bearer …', or save it with 'modelpool login URL'.")


@app.command("list")
def list_keys(
    tenant: TenantOption = None,
    operator: OperatorOption = False,
    all_keys: Annotated[bool, typer.Option("--all", help="Revoked and expired ones as well.")] = False,
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """List the keys of a tenant, or those of operators."""
    use_django(home)
    from django.utils import timezone

    from modelpool.tenants import services

    found = services.keys_of(_owner(tenant, is_operator=operator)).order_by("created_at")
    if not all_keys:
        now = timezone.now()
        found = [key for key in found.filter(revoked_at=None) if key.expires_at is None or key.expires_at > now]
    columns = ["id", "prefix", "name", "role", "created_at", "expires_at", "revoked_at", "last_used_at"]
    print_rows([{"id": str(key.pk)} | _describe(key) for key in found], columns=columns, as_json=as_json)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id or the prefix, as 'key list' shows it.")],
    tenant: TenantOption = None,
    operator: OperatorOption = False,
    home: HomeOption = None,
) -> None:
    """Revoke a key: it is refused within a second, everywhere."""
    use_django(home)
    from modelpool.server.cli.actors import CLI
    from modelpool.tenants import services

    owner = _owner(tenant, is_operator=operator)
    key = services.revoke_key(_find_id(services.keys_of(owner), key_id), tenant=owner, actor=CLI)
    tell(f"Revoked key {key.prefix}….")


def _owner(tenant: str | None, *, is_operator: bool) -> Tenant | None:
    from modelpool.tenants import services

    return None if is_operator else services.get_tenant(tenant or services.DEFAULT_TENANT)


def _find_id(keys: Any, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        found = list(keys.filter(prefix=text.rstrip("…"))[:2]) if text.startswith("mp_") else []
    if len(found) != 1:
        raise KeyNotFound(text)
    pk: UUID = found[0].pk
    return pk


def _describe(key: APIKey) -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "role": key.role,
        "tenant": key.tenant.name if key.tenant else None,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
