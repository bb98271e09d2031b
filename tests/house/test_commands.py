"""What the documents tell people to type exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer

from modelpool.server.cli.app import app
from tests.house.source import ROOT

_DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)\b")
_MODELPOOL = re.compile(r"(?:^|[\s`$(])modelpool ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", re.M)


def _code(document: str) -> str:
    """Return what stands in code: fenced blocks, indented blocks and `code` in a line."""
    text = (ROOT / document).read_text(encoding="utf-8")
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.M | re.S)
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    indented = re.findall(r"^(?: {4}|\t)(.+)$", text, flags=re.M)
    return "\n".join([*fenced, *indented, *re.findall(r"`([^`\n]+)`", text)])


def _make_commands() -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+):.*?## (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))


@pytest.mark.parametrize("document", _DOCUMENTS)
def test_make_commands_exist(document):
    assert set(_MAKE.findall(_code(document))) - set(_make_commands()) == set()


@pytest.mark.slow
@pytest.mark.parametrize("document", _DOCUMENTS)
def test_modelpool_commands_exist(document):
    unknown = {words for words in _MODELPOOL.findall(_code(document)) if not _exists(words)}
    assert unknown == set()


def test_make_alone_lists_the_commands_of_the_contract():
    assert set(_make_commands()) >= {
        "run",
        "setup",
        "test",
        "test-fast",
        "lint",
        "fmt",
        "types",
        "bench",
        "docs",
        "clean",
    }


def test_every_file_that_a_recipe_starts_exists():
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8") + (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    named = set(re.findall(r"\bscripts/[a-z-]+\b", recipes))
    assert named
    assert all((ROOT / path).stat().st_mode & 0o111 for path in named)


def test_ci_runs_the_test_command_and_nothing_else():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in script if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test"]


def _exists(words: str) -> bool:
    """Say whether the first word is a command, and the second, where that is a group, one of its commands."""
    command: Any = typer.main.get_command(app)
    for word in words.split():
        if not hasattr(command, "commands"):
            return True  # a plain command: what follows is its argument
        command = command.commands.get(word)
        if command is None:
            return False
    return True
