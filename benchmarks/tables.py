"""Write the tables of all results into the pages of the docs: ``python benchmarks/tables.py [--check]``.

Between ``<!-- measured: NAME -->`` and ``<!-- end -->`` stands what ``results/NAME.json`` holds; ``others`` takes all
that have no place of their own. ``--check`` changes nothing, and ends with 1 where a page is not what results say.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from report import RESULTS

_EXPLANATION = Path(__file__).resolve().parents[1] / "docs" / "explanation"
PAGES = (_EXPLANATION / "performance.md", _EXPLANATION / "fast-lane-profile.md")
_PLACE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ABOUT = ("measured_at", "machine", "python", "libraries", "load_average", "others_cores", "stolen_cores", "took_s")
_NOISE = 0.5  # cores that other programs used
Table = tuple[str, list[str], list[list[Any]]]


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 where the page is not current")
    check = parser.parse_args().check
    pages = {path: path.read_text(encoding="utf-8") for path in PAGES}
    wanted = fill(pages, read_results())
    wrong = [path for path, text in pages.items() if text != wanted[path]]
    if check and wrong:
        sys.exit(f"{wrong[0]} is not what benchmarks/results say: run python benchmarks/tables.py")
    for path in wrong:
        path.write_text(wanted[path], encoding="utf-8")


def read_results() -> dict[str, dict[str, Any]]:
    """Return all results by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def fill(pages: dict[Path, str], results: dict[str, dict[str, Any]]) -> dict[Path, str]:
    """Return the pages with the tables of these results in their places."""
    placed = {name for text in pages.values() for _, name, _ in _PLACE.findall(text)}
    others = [f"### {name}\n\n{section(found)}" for name, found in results.items() if name not in placed]

    def write(place: re.Match[str]) -> str:
        name = place[2]
        text = "\n".join(others) if name == "others" else section(results[name]) if name in results else ""
        return f"{place[1]}\n{text or 'Not measured yet.'}\n{place[3]}"

    return {path: _PLACE.sub(write, text) for path, text in pages.items()}


def section(result: dict[str, Any]) -> str:
    """Return when and where it was measured, and its tables."""
    parts = [_about(result)]
    for title, columns, rows in tables_of(result):
        parts += [*([f"**{title}**"] if title else []), _markdown(columns, rows)]
    return "\n\n".join(parts) + "\n"


def tables_of(result: dict[str, Any]) -> list[Table]:
    """Find the tables in a result, whichever of the known shapes it has, and its single figures."""
    found = [table for key, read in _SHAPES.items() if key in result for table in _known(read, result)]
    taken = {*_ABOUT, *_SHAPES, "options", "columns", "figures", "load", "how"}
    singles = list(_figures({key: value for key, value in result.items() if key not in taken}))
    return [*found, *([("", ["", "value"], singles)] if singles else [])]


def _known(read: Callable[[dict[str, Any]], Iterator[Table]], result: dict[str, Any]) -> list[Table]:
    """What a shape's reader makes of a result; nothing where a benchmark gives the name another meaning."""
    try:
        return list(read(result))
    except (AttributeError, IndexError, KeyError, TypeError):
        return []


def _about(result: dict[str, Any]) -> str:
    words = [f"{result['measured_at'][:16].replace('T', ' ')} UTC", result["machine"], f"Python {result['python']}"]
    options = {name: value for name, value in result.get("options", {}).items() if value not in (None, [], {})}
    if options:
        words.append(", ".join(f"`{name}` {_cell(value)}" for name, value in options.items()))
    text = "; ".join(words)
    if "others_cores" not in result:
        return f"*{text}.*"
    others = result["others_cores"]
    noise = " – **a busy machine: only the ratios say something**" if others > _NOISE else ""
    average = result["load_average"]
    return f"*{text}; load {average['start']} → {average['end']}, other programs used {others} cores{noise}.*"


def _given(result: dict[str, Any]) -> Iterator[Table]:
    for table in result["tables"]:
        yield table["title"], list(table["columns"]), table["rows"]


def _plain(result: dict[str, Any]) -> Iterator[Table]:
    yield "", list(result["columns"]), result["rows"]


def _runs(result: dict[str, Any]) -> Iterator[Table]:
    rows = [
        [
            name,
            *(
                round(statistics.median(run["load"][key] for run in runs), 2)
                for key in ("per_second", "p50_ms", "p99_ms")
            ),
            round(statistics.median(run["cpu_us"] for run in runs), 1),
            sum(run["load"]["errors"] for run in runs),
        ]
        for name, runs in result["runs"].items()
    ]
    yield "", ["server", "per second", "p50 ms", "p99 ms", "CPU µs each", "errors"], rows


def _phases(result: dict[str, Any]) -> Iterator[Table]:
    keys = [key for key, value in next(iter(result["phases"].values())).items() if isinstance(value, int | float | str)]
    rows = [[name, *(phase.get(key, "") for key in keys)] for name, phase in result["phases"].items()]
    yield "", ["phase", *keys], rows


def _processes(result: dict[str, Any]) -> Iterator[Table]:
    keys = list(result["processes"][0])
    yield "", keys, [[process[key] for key in keys] for process in result["processes"]]


def _listed(result: dict[str, Any]) -> Iterator[Table]:
    keys = list(result["table"][0])
    yield "", keys, [[row[key] for key in keys] for row in result["table"]]


def _stages(result: dict[str, Any]) -> Iterator[Table]:
    yield "", ["stage", "µs"], [["· " * depth + name, value] for depth, name, value in result["stages"]]


def _ratios(result: dict[str, Any]) -> Iterator[Table]:
    yield "Ratios", ["", "value"], list(_figures(result["ratios"]))


def _figures(values: dict[str, Any], before: str = "") -> Iterator[list[Any]]:
    for key, value in values.items():
        name = f"{before}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _figures(value, f"{name}: ")
        elif isinstance(value, list) and value and all(isinstance(each, int | float) for each in value):
            yield [f"{name}, median of {len(value)}", statistics.median(value)]
        elif isinstance(value, int | float | str):
            yield [name, value]


_SHAPES: dict[str, Callable[[dict[str, Any]], Iterator[Table]]] = {
    "tables": _given,
    "rows": _plain,
    "runs": _runs,
    "phases": _phases,
    "processes": _processes,
    "table": _listed,
    "stages": _stages,
    "ratios": _ratios,
}


def _markdown(columns: list[str], rows: list[list[Any]]) -> str:
    right = [any(isinstance(row[at], int | float) for row in rows) for at in range(len(columns))]
    lines = [
        columns,
        ["--:" if numbers else "---" for numbers in right],
        *[[_cell(cell) for cell in row] for row in rows],
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    main()
