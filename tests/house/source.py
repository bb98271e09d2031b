"""The source as the rules of the house see it: files and syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "modelpool"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One Python file: its path from the root of the project, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def is_migration(self) -> bool:
        """Whether Django wrote it."""
        return "/migrations/" in self.path

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield every function, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, _FUNCTIONS))

    def attributes(self) -> Iterator[ast.Attribute]:
        """Yield every ``something.name``."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Attribute))

    def calls(self) -> Iterator[tuple[str, int]]:
        """Yield the dotted name and line of every call of a plain name, ``pickle.load`` for example."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node.lineno


@lru_cache(maxsize=1)
def package_files() -> tuple[SourceFile, ...]:
    """Return all of ``src/modelpool``."""
    return tuple(read_source(path) for path in sorted(PACKAGE.rglob("*.py")))


@lru_cache(maxsize=1)
def all_files() -> tuple[SourceFile, ...]:
    """Return all Python files of the project that are written by hand."""
    folders = ("tests", "examples", "benchmarks", "docs", "clients")
    others = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return (*package_files(), *(read_source(path) for path in [*others, ROOT / "manage.py"]))


def read_source(path: Path) -> SourceFile:
    """Read and parse one file."""
    text = path.read_text(encoding="utf-8")
    return SourceFile(str(path.relative_to(ROOT)), text, ast.parse(text))
