"""A large artifact to each store and back: ``python benchmarks/bench_stores.py [--mib 1024] [s3 nginx …]``.

Up is everything that an upload takes: the rows, the bytes, what proves that the store has them. Down is a download,
which is verified. Each runs in a process of its own, whose memory must not grow with the file. Beside the local stores
``cp`` and ``cat``, beside the remote ones a bare botocore or httpx that proves nothing; and the local cache. A store
whose server cannot be started here is left out, which is said.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from installation import HERE, Installation, temporary_installation
from report import print_table, write_results

sys.path.append(str(HERE.parent))  # the servers are those of the tests

MIB = 1 << 20
CLAIM_MIB = 64
COLUMNS = ["store", "step", "MB/s", "beside it", "MB/s of that", "ratio", "memory grew MiB"]
Settings = dict[str, str]
Row = list[Any]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", metavar="STORE", help=f"of {', '.join(STORES)} (all)")
    parser.add_argument("--mib", type=int, default=1024, help="size of the file (1024)")
    options = parser.parse_args()
    if unknown := set(options.stores) - set(STORES):
        parser.error(f"there is no store {', '.join(sorted(unknown))}; there are {', '.join(STORES)}")
    rows: list[Row] = []
    with temporary_installation() as installation:
        installation.home.parent.chmod(0o711)  # servers that refuse to run as root are other users
        file = installation.home.parent / "file"
        with file.open("wb") as written:
            for _ in range(options.mib):
                written.write(os.urandom(MIB))
        for name in options.stores or STORES:
            rows += _measured(name, installation, file)
    print_table(COLUMNS, rows)
    largest = max(row[-1] for row in rows if row[-1] != "")
    print(f"memory grew by at most {largest} MiB (claim: {CLAIM_MIB})")
    facts = {"claim_mib": CLAIM_MIB, "largest_growth_mib": largest, "options": {"mib": options.mib}}
    print(write_results("stores", {"columns": COLUMNS, "rows": rows, **facts}))


def _measured(name: str, installation: Installation, file: Path) -> list[Row]:
    with ExitStack() as stack:
        try:
            settings = stack.enter_context(STORES[name](installation.home.parent / name))
        except Exception as error:
            if not type(error).__name__.endswith("Unavailable"):
                raise
            print(f"{name}: left out, {error}")
            return []
        rows = list(_rows(name, installation, file, settings))
    for row in rows:
        print(" ", *row, flush=True)
    return rows


def _rows(name: str, installation: Installation, file: Path, settings: Settings) -> Iterator[Row]:
    size = file.stat().st_size

    def run(step: str, *artifact: str) -> dict[str, Any]:
        done: dict[str, Any] = installation.run_script(
            "store_transfer.py", step, name, str(file), *artifact, **settings
        )
        return done

    is_remote = settings[f"MODELPOOL_STORES_{name.upper()}_KIND"] in ("s3", "http")
    if "MODELPOOL_DATABASE_URL" in settings:
        installation.run("manage", "migrate", "--verbosity", "0", **settings)
    up = run("up")
    beside = ("botocore" if name == "s3" else "httpx") if is_remote else "cp && sync"
    bare_s = run("bare_up")["seconds"] if is_remote else _timed_copy(file, sync=True)
    yield _row(name, "up", size, up, beside, bare_s)
    if name == "filesystem":
        yield _row(name, "up", size, up, "cp", _timed_copy(file, sync=False))
    down = run("down", up["found"])
    bare_s = run("bare_down", "")["seconds"] if is_remote else _timed(["cat", str(file)])
    yield _row(name, "down", size, down, beside if is_remote else "cat", bare_s)
    if is_remote:
        yield _row(name, "down, into the cache", size, run("fetch", up["found"]), beside, bare_s)
        yield _row(name, "from the cache", size, run("cached", up["found"]), beside, bare_s)


def _row(name: str, step: str, size: int, found: dict[str, Any], beside: str, beside_s: float) -> Row:
    speed, other = (size / seconds / 1e6 for seconds in (found["seconds"], beside_s))
    return [name, step, round(speed), beside, round(other), round(speed / other, 2), round(found["grew_bytes"] / MIB)]


def _timed_copy(file: Path, *, sync: bool) -> float:
    target = file.with_name("copy")
    try:
        return _timed(["cp", str(file), str(target)]) + (_timed(["sync", str(target)]) if sync else 0.0)
    finally:
        target.unlink()


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


# --- stores -----------------------------------------------------------------------------------------------------------


def _settings(folder: Path, kind: str, **more: str) -> Settings:
    """Return the settings of a store, whose alias is the folder's name."""
    alias = f"MODELPOOL_STORES_{folder.name.upper()}"
    return {f"{alias}_{key.upper()}": value for key, value in {"kind": kind, **more}.items()}


@contextmanager
def _filesystem(folder: Path) -> Iterator[Settings]:
    yield _settings(folder, "filesystem", path=str(folder))


@contextmanager
def _sqlite(folder: Path) -> Iterator[Settings]:
    yield _settings(folder, "database")


@contextmanager
def _postgres(folder: Path) -> Iterator[Settings]:
    from tests.servers.postgres import start_postgres

    server = start_postgres(folder)
    try:
        yield {**_settings(folder, "database"), "MODELPOOL_DATABASE_URL": server.create_database("bench")}
    finally:
        server.stop()


@contextmanager
def _s3(folder: Path) -> Iterator[Settings]:
    from tests.servers.seaweedfs import BUCKET, KEY, SECRET, serve_seaweedfs

    with serve_seaweedfs(folder) as server:
        keys = {"access_key_id": KEY, "secret_access_key": SECRET}
        yield _settings(folder, "s3", bucket=BUCKET, endpoint=server.endpoint, region="us-east-1", **keys)


@contextmanager
def _webdav(folder: Path) -> Iterator[Settings]:
    from tests.servers import webdav

    with webdav.serve_webdav(folder, getattr(webdav, folder.name)) as server:
        url = f"{server.url}models/"
        httpx.request("MKCOL", url, auth=(webdav.USER, webdav.PASSWORD)).raise_for_status()
        yield _settings(folder, "http", url=url, username=webdav.USER, password=webdav.PASSWORD)


STORES: dict[str, Callable[[Path], Any]] = {
    "filesystem": _filesystem,
    "sqlite": _sqlite,
    "postgres": _postgres,
    "s3": _s3,
    "apache": _webdav,
    "nginx": _webdav,
}


if __name__ == "__main__":
    main()
