"""Every text of the console is marked for translation: in templates, in messages, in titles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import ROOT

CONSOLE = ROOT / "src/modelpool/console"
TEMPLATES = sorted((CONSOLE / "templates").rglob("*.html"))
MODULES = sorted(CONSOLE.rglob("*.py"))

_BLOCKS = re.compile(
    r"\{#.*?#\}|\{% *comment.*?endcomment *%\}|\{% *blocktrans(?:late)?\b.*?\{% *endblocktrans(?:late)? *%\}"
    r"|<(script|style|code|pre|svg)\b.*?</\1>",
    re.DOTALL,
)
_CODE = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
_SPOKEN = re.compile(r"\b(?:aria-label|placeholder|title|alt|data-copied)=\"([^\"]*)\"")
_ICON = re.compile(r"<span class=\"[^\"]*material-symbols[^\"]*\"[^>]*>[^<]*</span>")
_TAG = re.compile(r"<[^>]*>", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{3,}")
_NAMES = frozenset(
    ["SHA", "CPU", "JSON", "CSV", "API", "URL", "UTC", "HTTP", "AUC", "ONNX", "Modelpool", "curl", "Python"]
)
_EXAMPLES = frozenset(("champion", "2026/sales.csv.gz"))
"""Of placeholders: names as people choose them, the same in every language."""


def unmarked(template: str) -> list[str]:
    """Return the words of a template that stand there as they are."""
    text = _CODE.sub("", _ICON.sub("", _BLOCKS.sub("", template)))
    spoken = [found[1] for found in _SPOKEN.finditer(text) if found[1] not in _EXAMPLES]
    shown = _TAG.sub(" ", text)
    words = [word for part in (*spoken, shown) for word in _WORD.findall(part)]
    return [word for word in words if word not in _NAMES and not re.fullmatch(r"p\d\d|nbsp|middot|mdash|times", word)]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(CONSOLE / "templates")))
def test_templates_have_no_text_of_their_own(template: Path) -> None:
    assert unmarked(template.read_text(encoding="utf-8")) == []


def test_words_are_found() -> None:
    assert unmarked('<p title="{{ x }}">{% translate "Yes" %} No <code>not this</code></p>') == []
    assert unmarked('<p aria-label="Close it">{% if x %}Never{% endif %}</p>') == ["Close", "Never"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CONSOLE)))
def test_messages_and_titles_are_marked(module: Path) -> None:
    assert list(_plain(ast.parse(module.read_text(encoding="utf-8")))) == []


def _plain(tree: ast.AST) -> Iterator[str]:
    """What goes to people without passing gettext: messages, titles, labels and help texts."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = [word.value for word in node.keywords if word.arg in ("title", "label", "help_text", "empty_label")]
        said = node.args[1:2] if _is_message(node.func) else []
        yield from (f"line {value.lineno}: {ast.unparse(value)}" for value in (*named, *said) if _is_text(value))


def _is_message(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "messages"
    )


def _is_text(value: ast.expr) -> bool:
    is_constant = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return isinstance(value, ast.JoinedStr) or (is_constant and bool(_WORD.search(ast.unparse(value))))
