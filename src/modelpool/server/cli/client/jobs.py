"""``modelpool jobs``: list, show, log, cancel; and following one to its end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from modelpool.server.cli.client.failures import JobFailed
from modelpool.server.cli.client.session import TenantOption, connect
from modelpool.server.cli.homes import JSONOption
from modelpool.server.cli.output import print_fields, print_rows, tell

if TYPE_CHECKING:
    from modelpool.server.cli.client.connection import Connection

_FINAL = ("succeeded", "failed", "cancelled")
_FIRST_POLL_S = 0.2
_SLOWEST_POLL_S = 2.0

JobArgument = Annotated[str, typer.Argument(help="The job's id.", show_default=False)]
app = typer.Typer(help="Training jobs.", invoke_without_command=True)


@app.callback()
def group(context: typer.Context) -> None:
    """Training jobs; without a command, the newest."""
    if context.invoked_subcommand is None:
        list_jobs()


@app.command("list")
def list_jobs(
    state: Annotated[
        str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="Of this model.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    tenant: TenantOption = None,
    as_json: JSONOption = False,
) -> None:
    """List jobs, newest first."""
    with connect(tenant) as connection:
        rows = connection.rows(connection.path("jobs"), limit=limit, state=state, model=model)
    if not as_json:
        rows = [row | {"progress": f"{row['progress']:.0%}"} for row in rows]
    columns = ["id", "model", "trainer", "state", "stage", "progress", "version", "created_at"]
    print_rows(rows, columns=columns, as_json=as_json)


@app.command()
def show(job: JobArgument, tenant: TenantOption = None, as_json: JSONOption = False) -> None:
    """Show a job."""
    with connect(tenant) as connection:
        print_fields(connection.get(connection.path("jobs", job)), as_json=as_json)


@app.command()
def log(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job is over.")] = False,
    tenant: TenantOption = None,
) -> None:
    """Print what a job says."""
    with connect(tenant) as connection:
        after = _print_log(connection, job, after="0")
        while follow and connection.get(connection.path("jobs", job))["state"] not in _FINAL:
            time.sleep(_FIRST_POLL_S)
            after = _print_log(connection, job, after=after)
        if follow:
            _print_log(connection, job, after=after)


@app.command()
def cancel(job: JobArgument, tenant: TenantOption = None) -> None:
    """Cancel a job; a running one stops within seconds."""
    with connect(tenant) as connection:
        state = connection.post(connection.path("jobs", job, "cancel"), {})["state"]
    tell(f"Job {job} is {state}." if state == "cancelled" else f"Job {job} will stop.")


@app.command()
def wait(job: JobArgument, tenant: TenantOption = None, as_json: JSONOption = False) -> None:
    """Wait for a job and show its progress; exit code 5 when it does not succeed."""
    with connect(tenant) as connection:
        finish(follow(connection, job), as_json=as_json)


def follow(connection: Connection, job: str) -> dict[str, Any]:
    """Show a bar, or lines where there is no terminal, until the job is over; return it."""
    path = connection.path("jobs", job)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("queued", total=1.0)
        pause_s, said = _FIRST_POLL_S, ""
        while True:
            state: dict[str, Any] = connection.get(path)
            stage = state["stage"] or state["state"]
            bar.update(task, completed=state["progress"], description=stage)
            if bar.disable and stage != said:
                tell(f"{stage} ({state['progress']:.0%})")
            if state["state"] in _FINAL:
                return state
            said = stage
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, _SLOWEST_POLL_S)


def finish(job: dict[str, Any], *, as_json: bool) -> None:
    """Print a finished job; raise :class:`JobFailed` when it did not succeed."""
    if job["state"] != "succeeded":
        if as_json:
            print_fields(job, as_json=True)
        error = job["error"] or {}
        raise JobFailed(f"Job {job['id']} {job['state']}: {error.get('detail') or 'no reason was given'}")
    shown = ("id", "model", "version", "metrics")
    print_fields(job if as_json else {name: job[name] for name in shown}, as_json=as_json)


def _print_log(connection: Connection, job: str, *, after: str) -> str:
    response = connection.text(connection.path("jobs", job, "log"), after=after)
    sys.stdout.write(response.text)
    sys.stdout.flush()
    return str(response.headers.get("X-Log-After", after))
