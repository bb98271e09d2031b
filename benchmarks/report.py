"""How results are shown and kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
_LIBRARIES = ("uvicorn", "uvloop", "httptools", "msgspec", "numpy", "onnxruntime", "scikit-learn", "django")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under their columns, numbers to the right."""
    texts = [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in [list(columns), *texts]) for at in range(len(columns))]
    print("  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)))
    for row, text in zip(rows, texts, strict=True):
        cells = zip(row, text, widths, strict=True)
        print(
            "  ".join(
                shown.ljust(width) if isinstance(cell, str) else shown.rjust(width) for cell, shown, width in cells
            )
        )


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write ``results/NAME.json`` with the date and the machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    about = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in _LIBRARIES},
    }
    path.write_text(json.dumps({**about, **results}, indent=2) + "\n")
    return path
