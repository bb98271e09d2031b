"""Each decision fits on a page and says why, and what was not chosen."""

from __future__ import annotations

import re

import pytest

from tests.house.source import ROOT

_FOLDER = ROOT / "docs" / "decisions"
_PAGES = sorted(path.name for path in _FOLDER.glob("[0-9]*.md"))


def test_they_are_numbered_without_gaps():
    assert [int(name[:4]) for name in _PAGES] == list(range(1, len(_PAGES) + 1))
    assert len(_PAGES) >= 10


@pytest.mark.parametrize("name", _PAGES)
def test_page_has_context_decision_and_rejected(name):
    text = (_FOLDER / name).read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, flags=re.M) == ["Context", "Decision", "Rejected"]
    assert text.startswith(f"# {int(name[:4])}. ")
    assert len(text.splitlines()) <= 60
