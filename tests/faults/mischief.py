"""What goes wrong: each a context in which it does, and after which it does not any more."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from psycopg import sql

from tests.faults.site import BUCKETS, DISK, SHARE, Site
from tests.server.processes import children_running
from tests.servers.faults import Fault, FaultyProxy, answer, cut, delay, flip, flip_sent, lose, wrong_length
from tests.servers.postgres import PostgresServer
from tests.waiting import wait_until

_ALWAYS = 10**9
_SHORT_BYTES = 100
_PASSING = (
    (answer(500), None), (answer(503), None), (lose(), None), (delay(0.5), None), (delay(1.5), None), (cut(0), "GET"),
    (cut(2000), "GET"), (flip(1500), "GET"), (flip_sent(1500), "PUT"), (wrong_length(5), "GET"),
    (wrong_length(-5), "GET"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mischief:
    """Something that goes wrong; only tenants in the stores ``hurts`` may be told of it."""

    name: str
    hurts: frozenset[str]
    at: Callable[[Site], AbstractContextManager[None]]
    seconds: float = 1.0
    """For how long, so that it can be met and got over."""
    needs_volume: bool = False
    """Without a file system for the store alone, everybody may be told of it."""
    starts_servers: bool = False
    """Those end with the thread that started them: this must not be a short one."""

    def __str__(self) -> str:
        return self.name


_REMOTE = frozenset({BUCKETS, SHARE})
_DISK = frozenset({DISK})
EVERYBODY = frozenset({"everybody"})


def _by_proxy(name: str, *faults: tuple[Fault, str | None]) -> Mischief:
    """Both remote stores do these things wrong, whatever they are asked."""

    @contextmanager
    def at(site: Site) -> Iterator[None]:
        proxies = (site.remote.bucket_proxy, site.remote.dav_proxy)
        for proxy in proxies:
            for fault, method in faults:
                proxy.add(fault, method=method, times=_ALWAYS)
        try:
            yield
        finally:
            for proxy in proxies:
                assert proxy.asked, "nobody asked the store"
                proxy.clear()

    return Mischief(name, _REMOTE, at)


@contextmanager
def _sprinkled(site: Site) -> Iterator[None]:
    """Now and then an exchange with a remote store goes wrong in some way."""
    done = threading.Event()
    proxies = (site.remote.bucket_proxy, site.remote.dav_proxy)

    def sprinkle(proxy: FaultyProxy) -> None:
        chance = random.Random(proxy.port)
        while not done.wait(chance.uniform(0.02, 0.1)):
            fault, method = chance.choice(_PASSING)
            proxy.add(fault, method=method, times=chance.choice((1, 1, 1, 4)))

    threads = [threading.Thread(target=sprinkle, args=(proxy,)) for proxy in proxies]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread, proxy in zip(threads, proxies, strict=True):
            thread.join()
            proxy.clear()


@contextmanager
def _killed_stores(site: Site) -> Iterator[None]:
    bucket, dav = site.remote.bucket, site.remote.dav
    assert dav.process is not None
    bucket.kill()
    os.killpg(dav.process.pid, signal.SIGKILL)
    dav.process.wait()
    try:
        yield
    finally:
        dav.start()
        bucket.start()


@contextmanager
def _hanging_stores(site: Site) -> Iterator[None]:
    processes = [site.remote.bucket.process, site.remote.dav.process]
    groups = [process.pid for process in processes if process is not None]
    for group in groups:
        os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        for group in groups:
            os.killpg(group, signal.SIGCONT)


@contextmanager
def _vanished_disk(site: Site) -> Iterator[None]:
    """As if the volume were not mounted any more: an empty folder is in its place."""
    away = site.disk.with_name("away")
    site.disk.rename(away)
    site.disk.mkdir()
    try:
        yield
    finally:
        assert list(site.disk.iterdir()) == [], "something was written beside the volume"
        site.disk.rmdir()
        away.rename(site.disk)


@contextmanager
def _full_disk(site: Site) -> Iterator[None]:
    """No byte more goes on the volume; without a volume of its own, no file of the server grows beyond some bytes."""
    if not site.has_volume:
        with _short_files(site):
            yield
        return
    ballast = site.disk.with_name("ballast")
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while file.write(b"0" * size) == size:
                    pass
    assert shutil.disk_usage(site.disk).free < 1 << 20, "there is room"
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def _short_files(site: Site) -> Iterator[None]:
    """``RLIMIT_FSIZE`` for the web processes that there are."""
    processes = [pid for node in site.nodes for pid in children_running(node.pid, "modelpool.server.web")]
    kept: dict[int, tuple[int, int]] = {}
    for pid in processes:
        with suppress(ProcessLookupError):
            kept[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (_SHORT_BYTES, kept[pid][1]))
    try:
        yield
    finally:
        for pid, limits in kept.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def _forbidden_disk(site: Site) -> Iterator[None]:
    """Nothing may be written any more; for those who are not root, nothing read either."""
    if site.has_volume:
        wait_until(partial(_is_remounted, site.disk.parent, "ro"), "a moment in which nobody writes")
    elif os.geteuid() == 0:
        subprocess.run(["chattr", "-R", "+i", str(site.disk)], check=True)
    else:
        site.disk.chmod(0)
    try:
        yield
    finally:
        if site.has_volume:
            assert _is_remounted(site.disk.parent, "rw")
        elif os.geteuid() == 0:
            subprocess.run(["chattr", "-R", "-i", str(site.disk)], check=True)
        else:
            site.disk.chmod(0o750)


def _is_remounted(volume: Path, how: str) -> bool:
    done = subprocess.run(["mount", "-o", f"remount,{how}", str(volume)], capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def _killed_workers(site: Site) -> Iterator[None]:
    """One web process of each node is killed."""
    for node in site.nodes:
        workers = children_running(node.pid, "modelpool.server.web")
        os.kill(random.choice(workers), signal.SIGKILL)
    yield


@contextmanager
def _killed_node(site: Site) -> Iterator[None]:
    """A whole node is killed, and started again."""
    node = site.nodes[-1]
    node.kill()
    try:
        yield
    finally:
        node.start()


@contextmanager
def _locked_sqlite(site: Site) -> Iterator[None]:
    """Another process has the database to itself."""
    path = site.database.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


STORES_FAIL = Mischief("stores killed", _REMOTE, _killed_stores, starts_servers=True)
DATABASE_LOCKED = Mischief("database locked", EVERYBODY, _locked_sqlite)
OF_STORES = (
    STORES_FAIL,
    Mischief("stores hang", _REMOTE, _hanging_stores, seconds=4),
    Mischief("some exchanges go wrong", _REMOTE, _sprinkled, seconds=3),
    _by_proxy("500", (answer(500), None)),
    _by_proxy("slow", (delay(1.5), None)),
    _by_proxy("cut", (cut(1000), "GET")),
    _by_proxy("wrong bytes", (flip(20), "GET"), (flip_sent(20), "PUT")),
    _by_proxy("lost answers", (lose(), None)),
)
OF_DISKS = (
    Mischief("disk full", _DISK, _full_disk, needs_volume=True),
    Mischief("no file can grow", EVERYBODY, _short_files),
    Mischief("disk forbidden", _DISK, _forbidden_disk),
    Mischief("disk vanished", _DISK, _vanished_disk),
)
WORKERS_KILLED = Mischief("web processes killed", EVERYBODY, _killed_workers)
NODE_KILLED = Mischief("node killed", EVERYBODY, _killed_node, starts_servers=True)
OF_NODES = (WORKERS_KILLED, NODE_KILLED)


def killed_at(step: str) -> Mischief:
    """Whoever comes to this step of store, register or delete first is killed."""

    @contextmanager
    def at(site: Site) -> Iterator[None]:
        trap = site.traps / step
        trap.touch()
        try:
            yield
            wait_until(lambda: not trap.exists(), f"somebody to come to {step}")
        finally:
            trap.unlink(missing_ok=True)

    return Mischief(f"killed at {step}", EVERYBODY, at, seconds=0)


def of_postgres(server: PostgresServer) -> tuple[Mischief, ...]:
    """What a PostgreSQL that is nobody else's can do wrong."""

    @contextmanager
    def stopped(_: Site) -> Iterator[None]:
        server.stop_at_once()
        try:
            yield
        finally:
            server.start(port=server.port)

    @contextmanager
    def terminated(site: Site) -> Iterator[None]:
        server.execute(
            sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"),
            user="postgres",
        )
        yield

    @contextmanager
    def hanging(_: Site) -> Iterator[None]:
        processes = server.processes()
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    return (
        Mischief("database stopped", EVERYBODY, stopped, starts_servers=True),
        Mischief("database connections ended", EVERYBODY, terminated),
        Mischief("database hangs", EVERYBODY, hanging),
    )
