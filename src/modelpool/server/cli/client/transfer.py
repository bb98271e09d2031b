"""``modelpool push`` and ``pull``: files of versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from modelpool.server.cli.client.files import open_upload, save_download
from modelpool.server.cli.client.session import ModelArgument, TenantOption, connect
from modelpool.server.cli.client.values import parse_pairs
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_fields, tell


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("push")(push)
    app.command("pull")(pull)


def push(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(help="The model's file, such as .onnx or .skops.", show_default=False)],
    format: Annotated[str | None, typer.Option(help="Its format.", show_default="by the file's name")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.", show_default=False)] = None,
    tag: Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.", show_default=False)] = None,
    description: Annotated[str, typer.Option(help="What it is.", show_default=False)] = "",
    metadata: Annotated[
        Path | None, typer.Option(help="A JSON file with more, such as the signature.", show_default=False)
    ] = None,
    activate: Annotated[str | None, typer.Option(help="if_better, always or never.", show_default="the policy")] = None,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Upload a file as a new version; the model is created when it is new."""
    document = _read_metadata(metadata)
    given = {"format": format, "activate": activate, "description": description or None}
    document |= {name: value for name, value in given.items() if value is not None}
    for name, pairs in (("metrics", metric), ("tags", tag)):
        if pairs:
            document[name] = document.get(name, {}) | parse_pairs(pairs, option=f"--{name.rstrip('s')}")
    with connect(tenant) as connection:
        _create_model(connection, model)
        with open_upload(file) as stream:
            form = {"metadata": msgspec.json.encode(document).decode()}
            path = connection.path("models", model, "versions")
            version = connection.post(path, once=True, data=form, files={"file": (file.name, stream)})
    shown = ("model", "number", "active", "format", "serving_format", "size_bytes", "sha256")
    print_fields(version if as_json else {name: version[name] for name in shown}, as_json=as_json)
    if not version["active"]:
        tell(f"It does not answer yet: modelpool activate {model} {version['number']}", as_json=as_json)


def pull(
    model: ModelArgument,
    number: Annotated[int | None, typer.Argument(help="The version.", show_default="the active one")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write.", show_default="its own name")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="The compiled form that answers predictions.")] = False,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """Download a version's file and verify its sha256."""
    with connect(tenant) as connection:
        if number is None:
            number = _active_number(connection, model)
        artifact = "compiled" if compiled else None
        path = connection.path("models", model, "versions", number)
        with connection.download(f"{path}/download", artifact=artifact) as response:
            sha256 = response.headers["ETag"].strip('"')
            name = response.headers.get("Content-Disposition", "").partition('filename="')[2].partition('"')[0]
            target = _target(output, name=Path(name).name or f"{model}-{number}")
            size = save_download(response, path=target, sha256=sha256)
    document = {"path": str(target), "model": model, "number": number, "size_bytes": size, "sha256": sha256}
    print_fields(document, as_json=as_json)


def _target(output: Path | None, *, name: str) -> Path:
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _create_model(connection: Any, model: str) -> None:
    from modelpool.server.cli.client.failures import Refused

    try:
        connection.get(connection.path("models", model))
    except Refused:
        connection.post(connection.path("models"), {"name": model})
        tell(f"Created model {model!r}.")


def _active_number(connection: Any, model: str) -> int:
    number = connection.get(connection.path("models", model)).get("active_version")
    if number is None:
        raise typer.BadParameter(f"model {model!r} has no active version; name one.", param_hint="NUMBER")
    return int(number)


def _read_metadata(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--metadata") from error
