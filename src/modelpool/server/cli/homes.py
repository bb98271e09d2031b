"""``--home``: which installation a server-side command is about, and Django for those that need it."""

from __future__ import annotations

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


def use_home(path: Path | None) -> conf.Home:
    """Make ``--home`` the home of this process and of its children."""
    if path is not None:
        os.environ["MODELPOOL_HOME"] = str(path.expanduser().absolute())
    conf.settings.cache_clear()
    return conf.home()


def use_django(path: Path | None) -> conf.Home:
    """As :func:`use_home`; prepares the home where that was never done, and sets Django up."""
    from modelpool.server.prepare import prepare_home

    home = use_home(path)
    prepare_home()
    return home
