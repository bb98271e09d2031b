"""More requests than a model can answer: ``python benchmarks/bench_overload.py``.

A forest of 100 trees, served as the estimator it is and without joining requests, so that the generator of the load is
never the bottleneck, gets requests at half, one, two and four times the rate that it answers when 16 connections keep
it busy. Requests come at their time whether or not earlier ones were answered (an open loop), and latency counts from
that time. The claim: what is admitted is answered within a bound, however much is
refused, and refusals are quick.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

from bench_predict import fetch
from installation import serving, temporary_installation
from load import Request, apply_load
from report import print_table, write_results

TIMES = (0.5, 1.0, 2.0, 4.0)
_CONNECTIONS = 1000
_TICK_S = 0.002

_ALONE = {"MODELPOOL_SERVING_MAX_BATCH_ROWS": "1"}

Outcome = tuple[int, float]
"""Status and milliseconds."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with temporary_installation() as installation:
        made = installation.run_script("register_estimator.py", "forest")
        with serving(installation, workers=1, **_ALONE) as ours, _one_process() as pool:
            request = Request.for_row(ours.url, "forest", made)
            fetch(request)
            capacity = apply_load(request, connections=16, seconds=options.seconds).per_second
            rows = []
            for times in TIMES:
                found = pool.submit(offer, request, capacity * times, options.seconds).result()
                rows.append(_row(times, capacity * times, found))
    columns = ["times capacity", "offered/s", "admitted/s", "refused %", "failed", "p50 ms", "p99 ms", "refusal p99 ms"]
    for row in rows:
        row[2] = round(row[2] / options.seconds, 1)
    print(f"capacity {capacity:.0f}/s; forest of 100 trees as an estimator, 1 row a request")
    print_table(columns, rows)
    print(write_results("overload", {"capacity": capacity, "columns": columns, "rows": rows, "options": vars(options)}))


def _one_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _row(times: float, rate: float, found: list[Outcome]) -> list[Any]:
    admitted = sorted(spent for status, spent in found if status == 200)
    refused = sorted(spent for status, spent in found if status == 503)
    failed = len(found) - len(admitted) - len(refused)
    share = round(100 * len(refused) / max(len(found), 1), 1)
    figures = [_at(admitted, 0.5), _at(admitted, 0.99), _at(refused, 0.99)]
    return [times, round(rate, 1), len(admitted), share, failed, *figures]


def _at(values: list[float], share: float) -> float:
    return round(values[int(len(values) * share)], 2) if values else 0.0


def offer(request: Request, rate: float, seconds: float) -> list[Outcome]:
    """Send requests at a rate, for some seconds, and return what became of each."""
    return asyncio.run(_offer(request, rate, seconds))


async def _offer(request: Request, rate: float, seconds: float) -> list[Outcome]:
    parts = urlsplit(request.url)
    head = {"Host": parts.netloc, "Content-Length": str(len(request.body)), **request.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    raw = f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body
    idle: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        idle.put_nowait(None)
    found: list[Outcome] = []
    tasks: set[asyncio.Task[None]] = set()
    began, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - began) < seconds:
        while sent < now * rate:
            task = asyncio.ensure_future(_send(raw, parts, idle, due=began + sent / rate, found=found))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(_TICK_S)
    await asyncio.gather(*tasks)
    return found


async def _send(raw: bytes, parts: Any, idle: asyncio.Queue[Any], *, due: float, found: list[Outcome]) -> None:
    pair = await idle.get()
    status = 0
    try:
        reader, writer = pair or await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        status = int(head[9:12])
        pair = None if b"connection: close" in head.lower() else (reader, writer)
    except (OSError, EOFError, ValueError):
        pair = None
    idle.put_nowait(pair)
    found.append((status, (time.perf_counter() - due) * 1000))


if __name__ == "__main__":
    main()
