"""``modelpool config show``: the effective settings and where each comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import typer

from modelpool import conf
from modelpool.server.cli.homes import HomeOption, JSONOption, use_home
from modelpool.server.cli.output import print_rows
from modelpool.server.telemetry.logs import redact

_SECRET_WORDS = ("password", "secret_access_key", "bearer_token", "token")
app = typer.Typer(help="Settings of this installation.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Settings of this installation."""


@app.command()
def show(as_json: JSONOption = False, home: HomeOption = None) -> None:
    """Show every setting, its value and its origin: default, the file, or a variable. Secrets are masked."""
    place = use_home(home)
    origins = conf.origins(place, os.environ)
    rows: list[dict[str, Any]] = [{"key": "home", "value": str(place.path), "origin": "MODELPOOL_HOME or --home"}]
    for key, value in _leaves(msgspec.to_builtins(conf.settings(), builtin_types=(conf.Size, conf.Duration))):
        rows.append({"key": key, "value": _masked(key, value), "origin": origins.get(key, "default")})
    print_rows(rows, columns=["key", "value", "origin"], as_json=as_json)


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _masked(key: str, value: Any) -> Any:
    if key.rpartition(".")[2] in _SECRET_WORDS and value:
        return "***"
    return redact(value) if isinstance(value, str) else value
