"""``modelpool predict``: rows from a file, standard input or the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from modelpool.server.cli.client.session import ModelArgument, TenantOption, connect
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_json, print_rows

_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.stream",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("predict")(predict)


def predict(
    model: ModelArgument,
    data: Annotated[str, typer.Argument(help="A file (.json, .csv …), '-' for standard input, or JSON.")] = "-",
    version: Annotated[int | None, typer.Option(help="This version.", show_default="the active one")] = None,
    alias: Annotated[str | None, typer.Option(help="The version of this alias.", show_default=False)] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Probabilities of the classes as well.")] = False,
    content_type: Annotated[
        str | None, typer.Option(help="What the data is.", show_default="by its name or look")
    ] = None,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Predict for rows.

    JSON may be {"instances": [...]}, {"inputs": {...}} or a bare list of rows.
    """
    if version is not None and alias is not None:
        raise typer.BadParameter("a version and an alias exclude each other.", param_hint="--alias")
    body, kind = _read(data, content_type)
    selector: list[str | int] = []
    if version is not None:
        selector = ["versions", version]
    elif alias is not None:
        selector = ["aliases", alias]
    with connect(tenant) as connection:
        path = connection.path("models", model, *selector, "predict")
        query = "?method=predict_proba" if proba else ""
        answer = connection.post(f"{path}{query}", content=body, headers={"Content-Type": kind})
    _print(answer, as_json=as_json)


def _read(data: str, content_type: str | None) -> tuple[bytes, str]:
    if data.lstrip()[:1] in ("{", "["):
        body, kind = data.encode(), "application/json"
    elif data == "-":
        body = sys.stdin.buffer.read()
        kind = "application/json" if body.lstrip()[:1] in (b"{", b"[") else "text/csv"
    else:
        try:
            body = Path(data).read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"{data}: {error.strerror}.", param_hint="DATA") from error
        kind = _TYPES.get(Path(data).suffix.lower(), "application/json")
    kind = content_type or kind
    if kind == "application/json" and body.lstrip()[:1] == b"[":
        body = b'{"instances":' + body + b"}"
    return body, kind


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    predictions = answer["predictions"]
    rows = (
        [{"prediction": value} for value in predictions]
        if isinstance(predictions, list)
        else [{"prediction": predictions}]
    )
    classes = [str(name) for name in answer.get("classes") or []]
    for row, values in zip(rows, answer.get("probabilities") or [], strict=False):
        row |= dict(zip(classes, values, strict=False))
    print_rows(rows, columns=["prediction", *classes], as_json=False)
