"""``modelpool serve``, ``worker`` and ``manage``."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

from modelpool.server.cli.homes import HomeOption, use_home


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("worker")(worker)
    app.command("manage", context_settings=_PASS_ON, add_help_option=False)(manage)


_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen at.  [default: 127.0.0.1]", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes any free one.  [default: 8000]", show_default=False)
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Web processes.  [default: 2]", show_default=False)] = None,
    job_workers: Annotated[
        int | None, typer.Option(min=0, help="Job processes.  [default: 1]", show_default=False)
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Train and serve an example when ready.")] = False,
    home: HomeOption = None,
) -> None:
    """Serve the installation: web and job processes, until Ctrl-C or SIGTERM."""
    from modelpool.server.serve import serve as run  # keeps the start of client commands short

    given = {"SERVER_HOST": host, "SERVER_PORT": port, "SERVER_WORKERS": workers, "JOBS_WORKERS": job_workers}
    os.environ.update({f"MODELPOOL_{name}": str(value) for name, value in given.items() if value is not None})
    use_home(home)
    raise typer.Exit(run(on_ready=_run_demo) if demo else run())


def _run_demo(url: str) -> None:
    command = [sys.executable, "-P", "-m", "modelpool.server.demo", "--url", url, "--parent", str(os.getpid())]
    subprocess.run(command, check=False, stdin=subprocess.DEVNULL, process_group=0)


def worker(home: HomeOption = None) -> None:
    """Work on training jobs only; for machines that train for a server elsewhere."""
    use_home(home)
    from modelpool.server.jobs import run

    run()


def manage(context: typer.Context, home: HomeOption = None) -> None:
    """Run one of Django's own commands, such as 'migrate' or 'shell'."""
    from django.core.management import execute_from_command_line

    use_home(home)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelpool.server.settings")
    execute_from_command_line(["modelpool manage", *context.args])
