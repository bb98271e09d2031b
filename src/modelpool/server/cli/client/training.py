"""``modelpool train``: send a table, follow the job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from modelpool.server.cli.client.files import open_upload
from modelpool.server.cli.client.jobs import finish, follow
from modelpool.server.cli.client.session import ModelArgument, TenantOption, connect
from modelpool.server.cli.client.values import parse_pairs
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_fields, tell

if TYPE_CHECKING:
    from modelpool.server.cli.client.connection import Connection


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    model: ModelArgument,
    file: Annotated[
        Path | None, typer.Argument(help="A table: .csv, .parquet or .jsonl.", show_default=False, dir_okay=False)
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A stored dataset's id, instead of a file.", show_default=False)
    ] = None,
    trainer: Annotated[str, typer.Option(help="What trains; see 'modelpool trainers'.")] = "tabular_classifier",
    target: Annotated[str, typer.Option(help="The column to predict.", show_default=False)] = "",
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter, name=value; may be repeated.", show_default=False)
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A tag, name=value; may be repeated.", show_default=False)
    ] = None,
    activate: Annotated[
        str | None, typer.Option(help="if_better, always or never.", show_default="the model's policy")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")] = True,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Train a model on a table and show how it goes; the model is created when it is new."""
    if (file is None) == (dataset is None):
        raise typer.BadParameter("give a file or --dataset, one of them.", param_hint="FILE")
    document: dict[str, Any] = {
        "trainer": trainer,
        "target": target,
        "params": parse_pairs(param or [], option="--param"),
        "tags": {name: str(value) for name, value in parse_pairs(tag or [], option="--tag").items()},
    }
    document |= {name: value for name, value in {"activate": activate, "dataset": dataset}.items() if value is not None}
    with connect(tenant) as connection:
        job = _submit(connection, model, document, file=file)
        if not wait:
            tell(f"Job {job['id']} is {job['state']}; follow it with: modelpool jobs wait {job['id']}", as_json=as_json)
            print_fields(job if as_json else {"id": job["id"], "state": job["state"]}, as_json=as_json)
            return
        finish(follow(connection, job["id"]), as_json=as_json)


def _submit(connection: Connection, model: str, document: dict[str, Any], *, file: Path | None) -> dict[str, Any]:
    path = connection.path("models", model, "train")
    if file is None:
        return dict(connection.post(path, document, once=True))
    with open_upload(file) as stream:
        form = {"request": msgspec.json.encode(document).decode()}
        return dict(connection.post(path, once=True, data=form, files={"data": (file.name, stream)}))
