"""``--home``: which installation a server-side command is about, and Django for those that need it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from modelpool import conf

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="MODELPOOL_HOME",
        help="The installation's folder.  [default: ~/.modelpool]",
        show_default=False,
    ),
]

JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def use_home(path: Path | None) -> conf.Home:
    """Make ``--home`` the home of this process and of its children."""
    if path is not None:
        os.environ["MODELPOOL_HOME"] = str(path.expanduser().absolute())
    conf.settings.cache_clear()
    return conf.home()


def use_django(path: Path | None) -> conf.Home:
    """As :func:`use_home`; sets Django up, and creates the tables of a new database."""
    from modelpool.server.processes.prepare import prepare_database
    from modelpool.server.telemetry.logs import configure_logging

    home = use_home(path)
    configure_logging(conf.settings().server)
    logging.getLogger().setLevel(logging.WARNING)
    prepare_database()
    return home
