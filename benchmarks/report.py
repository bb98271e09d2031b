"""How results are shown and kept: a table, and ``results/NAME.json`` with the date, the machine and how busy it was."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
_LIBRARIES = ("uvicorn", "uvloop", "httptools", "msgspec", "numpy", "onnxruntime", "scikit-learn", "django")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Moment:
    """How busy the machine and this benchmark have been until now, in seconds of processors."""

    at: float
    load: float
    busy_s: float
    stolen_s: float
    own_s: float

    @classmethod
    def now(cls) -> Moment:
        """Look at the clock, ``/proc/stat``, and what this process and its ended children have used."""
        user, nice, system, _idle, _wait, irq, soft, stolen = _processor_ticks()
        own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        busy = (user + nice + system + irq + soft) / _TICKS
        spent = sum(used.ru_utime + used.ru_stime for used in own)
        return cls(time.monotonic(), os.getloadavg()[0], busy, stolen / _TICKS, spent)


def _processor_ticks() -> list[int]:
    try:
        words = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:  # not Linux
        return [0] * 8
    return [int(word) for word in words[1:9]]


_BEGAN = Moment.now()


def environment() -> dict[str, Any]:
    """What a figure depends on; ``others_cores`` is what other programs used meanwhile: above 0.5, all is noise."""
    now = Moment.now()
    seconds = max(now.at - _BEGAN.at, 0.01)
    others = (now.busy_s - _BEGAN.busy_s) - (now.own_s - _BEGAN.own_s)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib()} GiB, Linux {platform.release()}",
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in _LIBRARIES},
        "load_average": {"start": round(_BEGAN.load, 2), "end": round(now.load, 2)},
        "others_cores": round(max(0.0, others) / seconds, 2),
        "stolen_cores": round((now.stolen_s - _BEGAN.stolen_s) / seconds, 2),
        "took_s": round(seconds, 1),
    }


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
    """Write ``results/NAME.json`` with what :func:`environment` says."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**environment(), **results}, indent=2) + "\n")
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
