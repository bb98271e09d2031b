"""Every benchmark is at least a command that explains itself, and the plan of all of them names what exists."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.house.source import ROOT

FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("bench_*.py"))


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "modelpool.server.settings"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_benchmark_reads_its_options(script):
    done = _run(script, "--no-such-option")
    assert done.returncode == 2, done.stderr
    assert "unrecognized arguments: --no-such-option" in done.stderr


@pytest.mark.slow
def test_options_of_the_plan_are_those_of_the_scripts():
    code = "import run; print(*(c for n in run.PLAN for q in (False, True) for c in run.commands(n, q)), sep='\\n')"
    plan = _run("-c", code)
    assert plan.returncode == 0, plan.stderr
    for script, *options in {tuple(line.split()) for line in plan.stdout.splitlines()}:
        assert (FOLDER / script).is_file()
        done = _run(script, *options, "--help")
        assert done.returncode == 0, done.stderr
        assert all(name in done.stdout for name in options if name.startswith("--")), (script, options)


def test_an_unknown_benchmark_is_refused_with_the_names_of_all():
    done = _run("run.py", "nothing")
    assert done.returncode == 2
    assert "no benchmark is called nothing" in done.stderr
    assert all(name.removeprefix("bench_").removesuffix(".py") in done.stderr for name in SCRIPTS)
