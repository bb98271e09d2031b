"""``modelpool models``, ``versions``, ``trainers`` and ``delete``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from modelpool.server.cli.client.session import ModelArgument, TenantOption, connect
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_fields, print_rows, tell

LimitOption = Annotated[int, typer.Option(min=1, help="At most so many rows.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("models")(models)
    app.command("versions")(versions)
    app.command("trainers")(trainers)
    app.command("delete")(delete)


def models(
    name: Annotated[str | None, typer.Argument(help="Show this one.", show_default=False)] = None,
    limit: LimitOption = 100,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """List models, or show one."""
    with connect(tenant) as connection:
        if name is not None:
            print_fields(connection.get(connection.path("models", name)), as_json=as_json)
            return
        rows = connection.rows(connection.path("models"), limit=limit)
        columns = ["name", "active_version", "last_version", "policy", "description", "created_at"]
        print_rows(rows, columns=_present(columns, rows), as_json=as_json)


def versions(
    model: ModelArgument,
    number: Annotated[int | None, typer.Argument(help="Show this one.", show_default=False)] = None,
    order: Annotated[str | None, typer.Option(help="Such as -number or -metrics.accuracy.", show_default=False)] = None,
    limit: LimitOption = 100,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """List the versions of a model with their metrics, or show one."""
    with connect(tenant) as connection:
        if number is not None:
            print_fields(connection.get(connection.path("models", model, "versions", number)), as_json=as_json)
            return
        rows = connection.rows(connection.path("models", model, "versions"), limit=limit, ordering=order)
        if not as_json:
            rows = [row | {"metric": _main_metric(row)} for row in rows]
        columns = [
            "number",
            "active",
            "aliases",
            "state",
            "format",
            "serving_format",
            "metric",
            "size_bytes",
            "created_at",
        ]
        print_rows(rows, columns=columns, as_json=as_json)


def trainers(as_json: JSONOption = False) -> None:
    """List what can be trained, with the parameters of each."""
    with connect() as connection:
        rows = connection.rows("trainers", limit=1000)
    if not as_json:
        rows = [row | {"parameters": sorted(row["params_schema"].get("properties", {}))} for row in rows]
    print_rows(rows, columns=["name", "description", "parameters"], as_json=as_json)


def delete(
    model: ModelArgument,
    number: Annotated[int | None, typer.Argument(help="This version only.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    tenant: TenantOption = None,
) -> None:
    """Delete a version, or a model with all its versions."""
    what = f"version {number} of {model!r}" if number is not None else f"model {model!r} and all its versions"
    if not yes:
        typer.confirm(f"Delete {what}?", abort=True)
    with connect(tenant) as connection:
        version: list[str | int] = [] if number is None else ["versions", number]
        connection.delete(connection.path("models", model, *version))
    tell(f"Deleted {what}.")


def _main_metric(version: dict[str, Any]) -> str:
    name = version.get("primary_metric")
    value = (version.get("metrics") or {}).get(name)
    return f"{name} {value:.4g}" if isinstance(value, int | float) else ""


def _present(columns: list[str], rows: list[dict[str, Any]]) -> list[str]:
    return [column for column in columns if not rows or column in rows[0]]
