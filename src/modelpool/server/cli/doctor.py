"""``modelpool doctor``: what works, what does not, and what to do about it."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from modelpool.server.cli.homes import HomeOption, use_home
from modelpool.server.cli.output import print_json
from modelpool.server.doctor.diagnosis import Finding, Status, run_checks

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False, home: HomeOption = None
) -> None:
    """Check settings, secret, database, stores, disk, versions, workers, trainers and the kernel.

    The exit code is 1 when something does not work, 0 with warnings alone.
    """
    findings = run_checks(use_home(home))
    if as_json:
        print_json([msgspec.structs.asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.status == Status.FAIL for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for finding in findings:
        style = _STYLES[finding.status]
        console.print(f"[{style}]{finding.status:<4}[/] [bold]{finding.name}[/]  ", end="")
        console.print(finding.detail, markup=False)
        if finding.remedy:
            console.print(f"      → {finding.remedy}", markup=False)
