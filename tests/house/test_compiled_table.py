"""The page on compilation names exactly what has a compiled form."""

from __future__ import annotations

import re

from modelpool.core.compile import compile_estimator
from modelpool.core.compile.parity import MAX_SAMPLE_ROWS, TOLERANCE
from modelpool.core.compile.predictors import PREDICTORS
from modelpool.core.compile.preprocessing import TRANSFORMERS
from tests.house.source import ROOT

PAGE = (ROOT / "docs/explanation/compilation.md").read_text(encoding="utf-8")


def _named_in(row: str) -> set[str]:
    (cells,) = re.findall(rf"^\| {row} \| (.+) \|$", PAGE, flags=re.MULTILINE)
    return set(cells.split(", "))


def test_every_compiled_form_is_named_and_no_other():
    assert compile_estimator  # importing it registers all forms
    named = set().union(*(_named_in(row) for row in ("Linear models", "Trees", "Others", "Around others")))
    assert named == set(PREDICTORS)
    assert _named_in("Steps") == set(TRANSFORMERS) - {"Pipeline"}


def test_figures_are_those_of_the_code():
    assert f"{MAX_SAMPLE_ROWS:,} rows" in PAGE
    assert TOLERANCE == 1e-5
    assert "differ by 10⁻⁵" in PAGE
