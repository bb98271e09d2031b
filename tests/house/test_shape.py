"""Small files, small functions, names that say what is inside, imports by full name."""

from __future__ import annotations

import ast
from pathlib import PurePath

from tests.house.source import all_files, package_files

_MOST_LINES_OF_A_FILE = 500
_MOST_LINES_OF_A_FUNCTION = 50
_SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}


def test_no_module_has_a_name_that_says_nothing():
    named = [file.path for file in all_files() if _SAYS_NOTHING.intersection(_words(file.path))]
    assert named == []


def test_no_file_is_longer_than_500_lines():
    long = [(file.path, lines) for file in all_files() if (lines := file.text.count("\n")) > _MOST_LINES_OF_A_FILE]
    assert long == []


def test_no_function_is_longer_than_50_lines():
    long = [
        f"{file.path}:{function.lineno} {function.name}"
        for file in all_files()
        for function in file.functions()
        if (function.end_lineno or 0) - function.lineno + 1 > _MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_imports_are_absolute():
    relative = [
        f"{file.path}:{node.lineno}"
        for file in all_files()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_every_public_name_of_the_package_has_a_docstring():
    bare = [f"{file.path}: {name}" for file in package_files() for name in _undocumented(file.tree)]
    assert [name for name in bare if "/migrations/" not in name] == []


def test_the_rules_see_the_code():
    assert len(package_files()) > 100
    assert {"src/modelpool/conf/tables.py", "tests/conftest.py", "manage.py"} <= {file.path for file in all_files()}
    assert list(_undocumented(ast.parse('"""A."""\nclass A:\n    def b(self): ...\n    def _c(self): ...'))) == [
        "A",
        "A.b",
    ]


def _words(path: str) -> set[str]:
    parts = PurePath(path).with_suffix("").parts
    return {word for part in parts for word in (part, *part.split("_"))}


def _undocumented(tree: ast.Module) -> list[str]:
    found = [] if ast.get_docstring(tree) else ["the module itself"]
    for node in tree.body:
        found += _undocumented_below(node, prefix="")
    return found


def _undocumented_below(node: ast.AST, *, prefix: str) -> list[str]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
        return []
    if node.name == "Meta" or _is_repeated(node):
        return []
    found = [] if ast.get_docstring(node) else [prefix + node.name]
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            found += _undocumented_below(inner, prefix=f"{prefix}{node.name}.")
    return found


def _is_repeated(node: ast.AST) -> bool:
    """What overrides or overloads documented names need not repeat it."""
    decorators = {ast.unparse(decorator).split(".")[-1] for decorator in getattr(node, "decorator_list", [])}
    return bool(decorators & {"override", "overload", "setter"})
