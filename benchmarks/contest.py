"""Servers that answer for the same model, measured in turns: what is common to the benchmarks that compare."""

from __future__ import annotations

import json
import statistics
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from load import LoadResult, Request, apply_load
from processes import cpu_seconds, memory_of

COLUMNS = ("server", "per second", "p50 ms", "p99 ms", "CPU µs each", "PSS MiB", "errors")


@dataclass(frozen=True, slots=True)
class Contender:
    """A running server. ``request_for`` asks it for the prediction of a row, ``read`` finds it in the answer.

    ``pids`` are the roots of the processes that work for an answer.
    """

    name: str
    pids: tuple[int, ...]
    request_for: Callable[[list[float]], Request]
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One run against one server; ``cpu_us`` is the processor time of its whole tree for each answer."""

    load: LoadResult
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The medians of a server's runs."""

    name: str
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    pss_mib: float
    errors: int

    @property
    def row(self) -> list[Any]:
        """As :data:`COLUMNS` name it."""
        return [
            self.name,
            round(self.per_second, 1) if self.per_second < 100 else round(self.per_second),
            round(self.p50_ms, 2),
            round(self.p99_ms, 2),
            round(self.cpu_us, 1),
            round(self.pss_mib),
            self.errors,
        ]


def check_answers(contenders: list[Contender], rows: list[list[float]], expected: list[Any]) -> None:
    """Ask everyone for every row; whoever answers anything but the estimator's prediction ends the benchmark."""
    for contender in contenders:
        got = [contender.read(_fetch(contender.request_for(row))) for row in rows]
        if got != expected:
            raise SystemExit(f"{contender.name} answers {got}, and the estimator {expected}")


def hold(
    contenders: list[Contender], row: list[float], *, connections: int, seconds: float, rounds: int
) -> list[Figures]:
    """Load each in turn, round by round, so that all see the same machine."""
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        apply_load(contender.request_for(row), connections=connections, seconds=1)
    for _ in range(rounds):
        for contender in contenders:
            before = _cpu_of(contender)
            load = apply_load(contender.request_for(row), connections=connections, seconds=seconds)
            used = _cpu_of(contender) - before
            answered = max(1.0, load.per_second * seconds)
            runs[contender.name].append(Run(load, used * 1e6 / answered))
    return [_median(contender, runs[contender.name]) for contender in contenders]


def as_json(found: list[Figures]) -> list[dict[str, Any]]:
    """As it is kept."""
    return [asdict(figures) for figures in found]


def _median(contender: Contender, runs: list[Run]) -> Figures:
    rate, p50, p99 = (
        statistics.median(getattr(run.load, field) for run in runs) for field in ("per_second", "p50_ms", "p99_ms")
    )
    cpu = statistics.median(run.cpu_us for run in runs)
    memory = sum(process.pss_mib for pid in contender.pids for process in memory_of(pid))
    return Figures(contender.name, rate, p50, p99, cpu, memory, sum(run.load.errors for run in runs))


def _cpu_of(contender: Contender) -> float:
    return sum(cpu_seconds(pid) for pid in contender.pids)


def _fetch(request: Request) -> Any:
    call = urllib.request.Request(request.url, request.body, request.headers, method="POST")
    try:
        with urllib.request.urlopen(call, timeout=60) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[-2000:]
        raise SystemExit(f"{request.url} answers {error.code} to {request.body[:300]!r}: {said}") from error
