"""The page on performance holds the figures of the results, in every shape that results have."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.house.source import ROOT

ABOUT = {
    "measured_at": "2026-01-02T03:04:05+00:00",
    "machine": "one, 4 cores",
    "python": "3.11.7",
    "load_average": {"start": 0.1, "end": 3.0},
    "others_cores": 0.02,
}


@pytest.fixture(scope="module")
def tables() -> Any:
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return _load("tables")
    finally:
        sys.path.remove(folder)
        sys.modules.pop("report", None)


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_on_performance_is_what_the_results_say():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_columns_and_rows_become_a_table_with_numbers_to_the_right(tables):
    text = tables.section({**ABOUT, "columns": ["server", "per second"], "rows": [["bare", 12345.6]]})
    assert "| server | per second |\n| --- | --: |\n| bare | 12,346 |" in text


def test_runs_are_shown_by_their_medians_and_all_their_errors(tables):
    runs = [{"load": {"per_second": n, "p50_ms": n, "p99_ms": n, "errors": 1}, "cpu_us": n} for n in (1, 2, 9)]
    assert "| ours | 2 | 2 | 2 | 2 | 3 |" in tables.section({**ABOUT, "runs": {"ours": runs}})


def test_single_figures_and_lists_of_figures_are_shown(tables):
    text = tables.section({**ABOUT, "loads": 7, "ready_s": [1.0, 3.0, 2.0], "ratios": {"forest": {"of peers": 9.5}}})
    assert "| loads | 7 |" in text
    assert "| ready s, median of 3 | 2 |" in text
    assert "| forest: of peers | 9.5 |" in text


def test_figures_of_a_busy_machine_are_marked(tables):
    quiet, busy = (tables.section({**ABOUT, "others_cores": cores, "loads": 7}) for cores in (0.1, 2.0))
    assert "busy machine" in busy
    assert "busy machine" not in quiet


def test_results_without_a_place_go_to_the_others(tables):
    results = {"one": {**ABOUT, "loads": 1}, "two": {**ABOUT, "loads": 2}}
    pages = {"page": "<!-- measured: one -->\n<!-- end -->\n<!-- measured: others -->\nold\n<!-- end -->\n"}
    (filled,) = tables.fill(pages, results).values()
    assert filled.index("| loads | 1 |") < filled.index("measured: others") < filled.index("| loads | 2 |")
    assert "old" not in filled
    assert tables.fill({"page": filled}, results) == {"page": filled}
