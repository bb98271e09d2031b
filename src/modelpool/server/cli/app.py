"""The command line put together: one line for each group, and one place where errors become sentences."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from modelpool import __version__
from modelpool.core.errors import ConfigurationError, ModelpoolError
from modelpool.server.cli import config, doctor, keys, serving, stores, tenants, users
from modelpool.server.cli.client import activation, jobs, login, models, prediction, traffic, training, transfer
from modelpool.server.cli.output import print_error
from modelpool.server.processes.startup import EXIT_CONFIGURATION

app = typer.Typer(
    name="modelpool",
    help="Train, keep and serve pools of machine-learning models for many tenants.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
serving.register(app)
doctor.register(app)
for name, group in {"tenant": tenants, "key": keys, "user": users, "store": stores, "config": config}.items():
    app.add_typer(group.app, name=name)
for client in (login, models, training, transfer, activation, prediction):
    client.register(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(traffic.app, name="traffic")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"modelpool {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, keep and serve pools of machine-learning models for many tenants."""


def main() -> None:
    """Run the command; every error that is not a fault of the program ends as one sentence and an exit code."""
    try:
        app(prog_name="modelpool")
    except ConfigurationError as error:
        print_error(error)
        sys.exit(EXIT_CONFIGURATION)
    except ModelpoolError as error:
        print_error(error)
        sys.exit(getattr(error, "exit_code", 1))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
