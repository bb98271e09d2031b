"""``modelpool store``: the artifact stores, checked and swept on the server."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpool import conf
from modelpool.core.errors import ModelpoolError, NotFound
from modelpool.server.cli.actors import CLI
from modelpool.server.cli.bars import TransferBar
from modelpool.server.cli.homes import HomeOption, JSONOption, use_django, use_home
from modelpool.server.cli.output import print_fields, print_rows, tell

if TYPE_CHECKING:
    from modelpool.storage.services import TransferReport
    from modelpool.tenants.models import Tenant

TenantOption = Annotated[str | None, typer.Option(help="Only this tenant's files.", show_default="all")]
SourceOption = Annotated[str | None, typer.Option("--from", help="Only what is in this store.", show_default="all")]
app = typer.Typer(help="Artifact stores (on the server, without a key).", no_args_is_help=True)


@app.command("list")
def list_stores(as_json: JSONOption = False, home: HomeOption = None) -> None:
    """List the configured stores."""
    use_home(home)
    rows = [{"alias": alias, **_describe(store)} for alias, store in sorted(conf.settings().stores.items())]
    print_rows(rows, columns=["alias", "kind", "place"], as_json=as_json)


@app.command()
def check(
    alias: Annotated[str | None, typer.Argument(help="One store.", show_default="all")] = None,
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Write and remove a small file in each store; exit code 1 when one does not work."""
    use_django(home)
    from modelpool.storage.services import get_store

    _check_alias(alias)
    rows = []
    for name in [alias] if alias else sorted(conf.settings().stores):
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


@app.command()
def verify(
    tenant: TenantOption = None,
    store: Annotated[str | None, typer.Option(help="Only what is in this store.", show_default="all")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make what is wrong anew from another good copy.")] = False,
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Read and hash every stored file again; exit code 1 when one is not what was stored."""
    use_django(home)
    from modelpool.storage.services import verify as run

    _check_alias(store)
    with TransferBar("reading") as bar:
        report = run(tenant=_find(tenant), store=store, may_repair=repair, progress=bar)
    print_fields(dataclasses.asdict(report), as_json=as_json)
    if not report.is_good:
        raise typer.Exit(1)


@app.command()
def copy(
    to: Annotated[str, typer.Option(help="Alias of the store that gets the second copies.")],
    tenant: TenantOption = None,
    source: SourceOption = None,
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Give files a second, verified copy in another store, which is read when the first one fails."""
    use_django(home)
    from modelpool.storage.services import copy_files

    _check_alias(to)
    with TransferBar("copying") as bar:
        reports = {row.name: copy_files(row, to=to, source=source, progress=bar) for row in _tenants_with_files(tenant)}
    _print_transfers(reports, as_json=as_json)


@app.command()
def move(
    to: Annotated[str, typer.Option(help="Alias of the store to move to.")],
    tenant: TenantOption = None,
    source: SourceOption = None,
    keep: Annotated[str, typer.Option(help="How long old copies stay for those who are reading them.")] = "1m",
    as_json: JSONOption = False,
    home: HomeOption = None,
) -> None:
    """Move files to another store while predictions go on; new files go there, too. Interrupted, run it again."""
    use_django(home)
    from modelpool.registry.relocation import send_new_files
    from modelpool.storage.services import get_store, move_files

    _check_alias(to)
    get_store(to).check()
    reports = {}
    with TransferBar("moving") as bar:
        for row in _tenants_with_files(tenant):
            send_new_files(row, to=to, source=source, actor=CLI)
            reports[row.name] = move_files(row, to=to, source=source, keep_s=_duration(keep), progress=bar)
    _print_transfers(reports, as_json=as_json)


def _find(tenant: str | None) -> Tenant | None:
    from modelpool.tenants.services import get_tenant

    return None if tenant is None else get_tenant(tenant)


def _tenants_with_files(tenant: str | None) -> list[Tenant]:
    from modelpool.tenants.models import Tenant

    found = _find(tenant)
    return list(Tenant.objects.order_by("name")) if found is None else [found]


def _check_alias(alias: str | None) -> None:
    known = sorted(conf.settings().stores)
    if alias is not None and alias not in known:
        raise NotFound(f"There is no store {alias!r}; configured are {', '.join(known)}.")


def _print_transfers(reports: dict[str, TransferReport], *, as_json: bool) -> None:
    rows = [{"tenant": name, **dataclasses.asdict(report)} for name, report in reports.items()]
    columns = ["tenant", "files", "size_bytes", "left_to_others", "under_way", "old_copies_left", "failed"]
    print_rows(rows, columns=columns, as_json=as_json)
    if not all(report.is_complete for report in reports.values()):
        tell("Not everything is done; run the same command again.", as_json=as_json)
        raise typer.Exit(1)


def _seconds(grace: str | None) -> float:
    return conf.settings().limits.orphan_grace if grace is None else _duration(grace, "--grace")


def _duration(text: str, option: str = "--keep") -> float:
    try:
        return conf.parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _describe(store: conf.StoreSettings) -> dict[str, Any]:
    return {"kind": store.__struct_config__.tag, "place": _place_of(store)}


def _place_of(store: conf.StoreSettings) -> str | None:
    if isinstance(store, conf.S3StoreSettings):
        return f"{store.endpoint or 'AWS'} {store.bucket}/{store.prefix}"
    if isinstance(store, conf.HttpStoreSettings):
        return store.url
    return getattr(store, "path", None)
