"""``modelpool config show``: the effective settings and where each comes from."""

from __future__ import annotations

import os
from typing import Any

import typer

from modelpool import conf
from modelpool.core.effective import effective_settings
from modelpool.server.cli.homes import HomeOption, JSONOption, use_home
from modelpool.server.cli.output import print_rows

app = typer.Typer(help="Settings of this installation.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Settings of this installation."""


@app.command()
def show(as_json: JSONOption = False, home: HomeOption = None) -> None:
    """Show every setting, its value and its origin: default, the file, or a variable. Secrets are masked."""
    place = use_home(home)
    rows: list[dict[str, Any]] = [{"key": "home", "value": str(place.path), "origin": "MODELPOOL_HOME or --home"}]
    rows += [
        {"key": setting.key, "value": setting.value, "origin": setting.origin}
        for setting in effective_settings(conf.settings(), origins=conf.origins(place, os.environ))
    ]
    print_rows(rows, columns=["key", "value", "origin"], as_json=as_json)
