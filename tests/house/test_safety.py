"""What must never be in the code, whoever reviews it."""

from __future__ import annotations

import ast
import re

from tests.house.source import SourceFile, package_files

_UNPICKLES = re.compile(r"(.*\.)?(pickle|_pickle|joblib|cloudpickle|dill|marshal|shelve)\.(load|loads|open|Unpickler)")
_RUNS_TEXT = re.compile(r"eval|exec|os\.system|os\.popen|subprocess\.(getoutput|getstatusoutput)")
_MAY_RUN_TEXT: dict[str, str] = {}


def test_nothing_unpickles():
    assert _calls(_UNPICKLES) == []


def test_nothing_runs_text_as_code():
    assert [call for call in _calls(_RUNS_TEXT) if call.split(":")[0] not in _MAY_RUN_TEXT] == []


def test_numpy_and_pandas_are_not_asked_to_unpickle():
    asked = [
        f"{file.path}" for file in package_files() if re.search(r"allow_pickle\s*=\s*True|read_pickle\(", file.text)
    ]
    assert asked == []


def test_the_expressions_find_what_they_are_for():
    assert all(
        _UNPICKLES.fullmatch(name) for name in ("pickle.loads", "joblib.load", "cloudpickle.load", "x.pickle.load")
    )
    assert not _UNPICKLES.fullmatch("json.loads")
    assert _RUNS_TEXT.fullmatch("eval")
    assert not _RUNS_TEXT.fullmatch("session.eval")


def _calls(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{file.path}:{line} {name}"
        for file in package_files()
        for name, line in _named_calls(file)
        if pattern.fullmatch(name)
    ]


def _named_calls(file: SourceFile) -> list[tuple[str, int]]:
    """Calls with the names that ``from pickle import loads`` hides put back."""
    hidden = {
        alias.asname or alias.name: f"{node.module}.{alias.name}" for node in _imports(file) for alias in node.names
    }
    return [(hidden.get(name, name), line) for name, line in file.calls()]


def _imports(file: SourceFile) -> list[ast.ImportFrom]:
    return [node for node in ast.walk(file.tree) if isinstance(node, ast.ImportFrom)]
