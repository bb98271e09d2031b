"""``modelpool store``: the artifact stores, checked and swept on the server."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from modelpool import conf
from modelpool.core.errors import ModelpoolError, NotFound
from modelpool.server.cli.homes import HomeOption, JSONOption, use_django, use_home
from modelpool.server.cli.output import print_fields, print_rows, tell

app = typer.Typer(help="Artifact stores (on the server, without a key).", no_args_is_help=True)


@app.command("list")
def list_stores(as_json: JSONOption = False, home: HomeOption = None) -> None:
    """List the configured stores."""
    use_home(home)
    rows = [{"alias": alias, **_describe(store)} for alias, store in sorted(conf.settings().stores.items())]
    print_rows(rows, columns=["alias", "kind", "path"], as_json=as_json)


@app.command()
def check(
    alias: Annotated[str | None, typer.Argument(help="One store.", show_default="all")] = None,
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Write and remove a small file in each store; exit code 1 when one does not work."""
    use_django(home)
    from modelpool.storage.services import get_store

    known = sorted(conf.settings().stores)
    if alias is not None and alias not in known:
        raise NotFound(f"There is no store {alias!r}; configured are {', '.join(known)}.")
    rows = []
    for name in [alias] if alias else known:
        try:
            get_store(name).check()
            rows.append({"alias": name, "works": True, "detail": ""})
        except ModelpoolError as error:
            rows.append({"alias": name, "works": False, "detail": error.detail})
    print_rows(rows, columns=["alias", "works", "detail"], as_json=as_json)
    if not all(row["works"] for row in rows):
        raise typer.Exit(1)


@app.command()
def sweep(
    grace: Annotated[
        str | None, typer.Option(help="Leave alone what is younger, such as 1h.", show_default="limits.orphan_grace")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Remove what interrupted uploads and deletions left behind; exit code 1 when artifacts are missing."""
    use_django(home)
    from modelpool.storage.services import sweep as run

    report = run(grace_s=_seconds(grace), is_dry_run=dry_run, progress=lambda sentence: tell(sentence, as_json=as_json))
    print_fields(dataclasses.asdict(report), as_json=as_json)
    if report.missing or report.skipped:
        raise typer.Exit(1)


def _seconds(grace: str | None) -> float:
    if grace is None:
        return conf.settings().limits.orphan_grace
    try:
        return conf.parse_duration(grace)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--grace") from error


def _describe(store: conf.StoreSettings) -> dict[str, Any]:
    return {"kind": store.__struct_config__.tag, "path": getattr(store, "path", None)}
