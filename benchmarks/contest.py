"""Servers that answer for the same model, measured in turns: what is common to the benchmarks that compare."""

from __future__ import annotations

import json
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from load import LoadResult, Request, apply_load
from processes import cpu_seconds, memory_of, tree_of

COLUMNS = ("server", "per second", "p50 ms", "p99 ms", "CPU µs each", "PSS MiB", "errors")
_SLOW_S = 8.0
_SLOW_ROUNDS = 2
_IDLE_S = 60.0  # until processes of unanswered requests have ended


@dataclass(frozen=True, slots=True)
class Contender:
    """A running server. ``request_for`` asks it for the prediction of a row, ``read`` finds it in the answer.

    ``pids`` are the roots of the processes that work for an answer. One that is ``slow`` gets longer runs, but fewer,
    and is waited for until what it started for unanswered requests has ended.
    """

    name: str
    pids: tuple[int, ...]
    request_for: Callable[[list[float]], Request]
    read: Callable[[Any], Any]
    slow: bool = False


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
        got = [contender.read(_fetch(contender.name, contender.request_for(row))) for row in rows]
        if got != expected:
            raise SystemExit(f"{contender.name} answers {got}, and the estimator {expected}")


def hold(
    contenders: list[Contender], row: list[float], *, connections: int, seconds: float, rounds: int
) -> list[Figures]:
    """Load each in turn, round by round, so that all see the same machine."""
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        if not contender.slow:
            apply_load(contender.request_for(row), connections=connections, seconds=1)
    for number in range(rounds):
        for contender in contenders:
            if not contender.slow:
                runs[contender.name].append(_run(contender, row, connections, seconds))
            elif number < _SLOW_ROUNDS:
                runs[contender.name].append(_run(contender, row, connections, max(seconds, _SLOW_S)))
                _wait_until_idle(contender)
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


def _run(contender: Contender, row: list[float], connections: int, seconds: float) -> Run:
    before = _cpu_of(contender)
    load = apply_load(contender.request_for(row), connections=connections, seconds=seconds)
    used = _cpu_of(contender) - before
    return Run(load, used * 1e6 / max(1.0, load.per_second * seconds))


def _wait_until_idle(contender: Contender) -> None:
    deadline = time.monotonic() + _IDLE_S
    while any(len(tree_of(pid)) > 1 for pid in contender.pids) and time.monotonic() < deadline:
        time.sleep(0.05)


def _cpu_of(contender: Contender) -> float:
    return sum(cpu_seconds(pid) for pid in contender.pids)


def _fetch(name: str, request: Request) -> Any:
    call = urllib.request.Request(request.url, request.body, request.headers, method="POST")
    try:
        with urllib.request.urlopen(call, timeout=60) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[-2000:]
        raise SystemExit(f"{name} answers {error.code} to {request.body[:300]!r}: {said}") from error
    except OSError as error:
        raise SystemExit(f"{name} does not answer: {error}") from error
