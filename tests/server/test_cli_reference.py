"""``docs/reference/cli.md`` has every command with every option, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from modelpool.server.cli.app import app

_PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def _commands(command: Any, path: str = "modelpool") -> Iterator[tuple[str, Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield f"{path} {name}", inner
        yield from _commands(inner, f"{path} {name}")


_COMMANDS = dict(_commands(typer.main.get_command(app)))


def _section(title: str) -> str:
    _, found, after = _PAGE.partition(f"# `{title}`\n")
    assert found, f"cli.md has no section for '{title}'"
    return re.split(r"^#", after, maxsplit=1, flags=re.M)[0]


@pytest.mark.parametrize("path", list(_COMMANDS))
def test_command_is_documented_with_its_options(path):
    section = _section(path)
    for parameter in _COMMANDS[path].params:
        for option in parameter.opts if parameter.param_type_name == "option" else []:
            assert option == "--help" or f"`{option}`" in section, f"{path} {option}"


def test_nothing_is_documented_that_is_not_there():
    assert set(re.findall(r"^#+ `(modelpool [^`]+)`$", _PAGE, flags=re.M)) == set(_COMMANDS)
