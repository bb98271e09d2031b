"""``modelpool activate``, ``rollback``, ``alias`` and ``release``: which version answers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from modelpool.server.cli.client.session import ModelArgument, TenantOption, connect
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_fields, tell


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("activate")(activate)
    app.command("rollback")(roll_back)
    app.command("alias")(alias)
    app.command("release")(release)


def activate(
    model: ModelArgument,
    number: Annotated[int | None, typer.Argument(help="The version.", show_default=False)] = None,
    by: Annotated[str | None, typer.Option(help="Choose the best by this metric instead.", show_default=False)] = None,
    mode: Annotated[str, typer.Option(help="max or min.")] = "max",
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Make a version the active one: by its number, or the best of the pool by a metric."""
    if (number is None) == (by is None):
        raise typer.BadParameter("give a version's number or --by, one of them.", param_hint="NUMBER")
    with connect(tenant) as connection:
        if by is not None:
            version = connection.post(connection.path("models", model, "activate"), {"by": by, "mode": mode})
        else:
            version = connection.post(connection.path("models", model, "versions", int(number or 0), "activate"), {})
    _show(version, as_json=as_json)


def roll_back(model: ModelArgument, tenant: TenantOption = None, as_json: JSONOption = False) -> None:
    """Return to the version that was active before."""
    with connect(tenant) as connection:
        _show(connection.post(connection.path("models", model, "rollback"), {}), as_json=as_json)


def alias(
    model: ModelArgument,
    name: Annotated[str, typer.Argument(help="The alias, such as champion.", show_default=False)],
    number: Annotated[int | None, typer.Argument(help="The version it is to name.", show_default=False)] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the alias; the version stays.")] = False,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Set an alias of a version, show one, or delete it."""
    if delete and number is not None:
        raise typer.BadParameter("a version and --delete exclude each other.", param_hint="NUMBER")
    with connect(tenant) as connection:
        path = connection.path("models", model, "aliases", name)
        if delete:
            connection.delete(path)
            tell(f"Deleted alias {name!r} of {model!r}.")
            return
        print_fields(
            connection.get(path) if number is None else connection.put(path, {"version": number}), as_json=as_json
        )


def release(
    model: ModelArgument,
    number: Annotated[int, typer.Argument(help="The version in quarantine.", show_default=False)],
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Let a version out of quarantine; refused while its signature or its file is still wrong."""
    with connect(tenant) as connection:
        version = connection.post(connection.path("models", model, "versions", number, "release"), {})
    if as_json:
        print_fields(version, as_json=True)
    else:
        tell(f"Version {version['number']} of {version['model']!r} may answer.")


def _show(version: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_fields(version, as_json=True)
    else:
        tell(f"Version {version['number']} of {version['model']!r} is active.")
