"""Load: ``wrk`` where it is installed, otherwise processes of Python, which cost more themselves."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}
_PYTHON_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent over and over, but that the header ``varied`` has another value each time."""

    url: str
    body: bytes
    headers: dict[str, str]
    varied: str = ""

    @classmethod
    def for_row(cls, server: str, model: str, made: Any) -> Request:
        """The prediction of one row by a model of ``register_model.py``, whose output ``made`` is."""
        body = json.dumps({"instances": [made["row"]]}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {made['key']}"}
        return cls(f"{server}/api/v1/tenants/bench/models/{model}/predict", body, headers)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One run: answers a second, latencies in milliseconds, and answers other than 200."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def generator() -> str:
    """Say which one is used."""
    return "wrk" if shutil.which("wrk") else f"python ({_PYTHON_PROCESSES} processes)"


def apply_load(request: Request, *, connections: int, seconds: float) -> LoadResult:
    """Keep ``connections`` busy, one request at a time on each, for some seconds."""
    run = _run_wrk if shutil.which("wrk") else _run_python
    return run(request, connections=connections, seconds=seconds)


def _run_wrk(request: Request, *, connections: int, seconds: float) -> LoadResult:
    lines = ['wrk.method = "POST"', f"wrk.body = [==[{request.body.decode()}]==]"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in request.headers.items()]
    if request.varied:
        lines += ["local number = 0", "request = function()", "  number = number + 1"]
        lines += [f'  wrk.headers["{request.varied}"] = "load-" .. number', "  return wrk.format()", "end"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text("\n".join(lines))
        threads = str(min(2, connections))
        options = [
            "-t",
            threads,
            "-c",
            str(connections),
            "-d",
            f"{seconds:.0f}s",
            "--latency",
            "--timeout",
            "30s",
            "-s",
            str(script),
        ]
        text = subprocess.run(["wrk", *options, request.url], capture_output=True, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, failed.groups())) if failed else 0)
    return LoadResult(float(rate[1]), _latency(text, "50%"), _latency(text, "99%"), errors)


def _latency(text: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s|m)", text)
    assert found is not None, text
    return float(found[1]) * _MILLISECONDS[found[2]]


def _run_python(request: Request, *, connections: int, seconds: float) -> LoadResult:
    shares = [
        connections // _PYTHON_PROCESSES + (at < connections % _PYTHON_PROCESSES) for at in range(_PYTHON_PROCESSES)
    ]
    with ProcessPoolExecutor(_PYTHON_PROCESSES, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_run_share, [(request, share, seconds) for share in shares if share]))
    times = sorted(value for found, _ in parts for value in found)
    p99 = times[int(len(times) * 0.99)] if times else float("nan")
    return LoadResult(len(times) / seconds, statistics.median(times), p99, sum(errors for _, errors in parts))


def _run_share(job: tuple[Request, int, float]) -> tuple[list[float], int]:
    return asyncio.run(_keep_busy(*job))


async def _keep_busy(request: Request, connections: int, seconds: float) -> tuple[list[float], int]:
    end = time.perf_counter() + seconds
    found = await asyncio.gather(*(_one_connection(request, end) for _ in range(connections)))
    return [value for times, _ in found for value in times], sum(errors for _, errors in found)


async def _one_connection(request: Request, end: float) -> tuple[list[float], int]:
    parts = urlsplit(request.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = {"Host": parts.netloc, "Content-Length": str(len(request.body)), **request.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    start, rest = f"POST {parts.path} HTTP/1.1\r\n".encode(), f"{lines}\r\n".encode() + request.body
    times, errors = [], 0
    while (began := time.perf_counter()) < end:
        varied = f"{request.varied}: load-{len(times)}\r\n".encode() if request.varied else b""
        writer.write(start + varied + rest)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        errors += b" 200 " not in answer[:16]
        times.append((time.perf_counter() - began) * 1000)
    writer.close()
    return times, errors
