"""``modelpool traffic``: show, set, end and compare how predictions are divided among the versions of a model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from modelpool.server.cli.client.session import ModelArgument, TenantOption, connect
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_fields, print_json, print_rows, tell

_PART = "VERSION=PERCENT"
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_ANSWERED = ["version", "requests", "refused", "errors", "p50", "p95", "p99"]
_COMPARED = ["version", "against", "requests", "errors", "dropped", "disagreement", "mean_difference", "p95"]

app = typer.Typer(help="New versions on live traffic: canary, split (A/B) and shadow.", no_args_is_help=True)


@app.command()
def show(model: ModelArgument, tenant: TenantOption = None, as_json: JSONOption = False) -> None:
    """Show how the predictions of a model are divided; refused where the active version answers everything."""
    with connect(tenant) as connection:
        _print_rule(connection.get(connection.path("models", model, "traffic")), as_json=as_json)


@app.command("set")
def set_rule(
    model: ModelArgument,
    canary: Annotated[
        str | None, typer.Option(help="Who answers a part; the active version the rest.", metavar=_PART)
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Who answers; repeated, up to 100 %.", metavar=_PART, show_default=False)
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(help="Who gets copies and answers nobody.", metavar=_PART, show_default=False)
    ] = None,
    sticky_header: Annotated[
        str | None,
        typer.Option(help="Its value keeps a caller at one version.", show_default="X-Modelpool-Sticky"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also versions that do not take what the active does.")
    ] = False,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Divide the predictions of a model from now on; the rule takes the place of the one there is."""
    document: dict[str, Any] = {"force": force}
    document |= {"split": _parts(split, option="--split")} if split else {}
    for name, text in (("canary", canary), ("shadow", shadow)):
        document |= {name: _part(text, option=f"--{name}")} if text is not None else {}
    if document.keys() == {"force"}:
        raise typer.BadParameter("name a canary, a split or a shadow; 'traffic end' ends the rule.")
    document |= {"sticky_header": sticky_header} if sticky_header is not None else {}
    with connect(tenant) as connection:
        _print_rule(connection.put(connection.path("models", model, "traffic"), document), as_json=as_json)


@app.command()
def end(model: ModelArgument, tenant: TenantOption = None) -> None:
    """Let the active version answer everything again; the figures stay."""
    with connect(tenant) as connection:
        connection.delete(connection.path("models", model, "traffic"))
    tell(f"The active version of {model!r} answers everything.")


@app.command()
def report(
    model: ModelArgument,
    since: Annotated[
        datetime | None,
        typer.Option(help="Begin with the hour of this moment.", show_default="the rule's beginning", formats=_TIMES),
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="The id of an earlier rule.", show_default="the rule in force")
    ] = None,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Compare the versions: requests, errors, latency in seconds, and how far a shadow's answers differ."""
    moment = None if since is None else (since if since.tzinfo else since.astimezone()).isoformat()
    with connect(tenant) as connection:
        found = connection.get(connection.path("models", model, "traffic", "report"), since=moment, rule=rule)
    if as_json:
        print_json(found)
        return
    print_rows(_flat(found["versions"]), columns=_ANSWERED, as_json=False)
    if found["shadows"]:
        print_rows(_flat(found["shadows"]), columns=_COMPARED, as_json=False)


def _parts(texts: Sequence[str], *, option: str) -> list[dict[str, Any]]:
    return [_part(text, option=option) for text in texts]


def _part(text: str, *, option: str) -> dict[str, Any]:
    """Return ``{"version": 2, "percent": 12.5}`` for ``2=12.5``."""
    version, _, percent = text.partition("=")
    try:
        return {"version": int(version), "percent": float(percent)}
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not of the form {_PART}, such as 2=12.5.", param_hint=option) from error


def _flat(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | row["latency"] for row in rows]


def _print_rule(rule: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_fields(rule, as_json=True)
        return
    parts = [("canary", rule["canary"]), *zip("abcdefghij", rule["split"], strict=False), ("shadow", rule["shadow"])]
    named = {variant: f"version {part['version']}, {part['percent']:g} %" for variant, part in parts if part}
    print_fields(named | {name: rule[name] for name in ("sticky_header", "since", "by", "id")}, as_json=False)
