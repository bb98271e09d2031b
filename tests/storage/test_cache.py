"""The local cache of remote files: one fetch for many, verified, bounded, and none the worse for a crash."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelpool.core.errors import StoreUnavailable
from modelpool.storage.cache import ArtifactCache, NotCached, Wanted

KIB = 1 << 10
TENANT = uuid.uuid4()


def wanted(data: bytes, *, tenant: uuid.UUID = TENANT) -> Wanted:
    return Wanted(tenant, hashlib.sha256(data).hexdigest(), len(data))


class Origin:
    """A remote file, and how often it was asked for."""

    def __init__(self, *pieces: bytes, between: Callable[[], object] = lambda: None) -> None:
        self.pieces = pieces
        self.between = between
        self.opened = 0

    @contextmanager
    def __call__(self) -> Iterator[Iterator[bytes]]:
        self.opened += 1
        yield self._stream()

    def _stream(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.between()
            yield piece


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", budget_bytes=100 * KIB)


def read(file: Any) -> bytes:
    with file:
        return bytes(file.read())


def is_there(cache: ArtifactCache, data: bytes) -> bool:
    file = cache.find(wanted(data))
    return file is not None and read(file) == data


def files(cache: ArtifactCache) -> list[Path]:
    return sorted(path for path in cache._root.rglob("*") if path.is_file())


def test_a_file_is_fetched_once(cache: ArtifactCache) -> None:
    origin = Origin(b"some", b"", b"thing")
    for _ in range(3):
        assert read(cache.fetch(wanted(b"something"), origin)) == b"something"
    assert origin.opened == 1
    assert read(cache.find(wanted(b"something"))) == b"something"
    assert [oct(path.stat().st_mode & 0o777) for path in files(cache)] == ["0o600"]


def test_an_empty_file_is_a_file(cache: ArtifactCache) -> None:
    origin = Origin()
    assert [read(cache.fetch(wanted(b""), origin)) for _ in range(2)] == [b"", b""]
    assert origin.opened == 1


def test_tenants_share_nothing(cache: ArtifactCache) -> None:
    read(cache.fetch(wanted(b"same"), Origin(b"same")))
    assert cache.find(wanted(b"same", tenant=uuid.uuid4())) is None


@pytest.mark.parametrize("damage", [b"Something", b"some", b"something else", b""])
def test_a_spoilt_entry_is_fetched_again(cache: ArtifactCache, damage: bytes) -> None:
    origin = Origin(b"something")
    read(cache.fetch(wanted(b"something"), origin))
    files(cache)[0].write_bytes(damage)
    assert read(cache.fetch(wanted(b"something"), origin)) == b"something"
    assert origin.opened == 2


def test_wrong_bytes_are_never_kept(cache: ArtifactCache) -> None:
    for pieces in ((b"somethinG",), (b"some",), (b"something", b"!")):
        with pytest.raises(NotCached):
            cache.fetch(wanted(b"something"), Origin(*pieces))
    assert files(cache) == []


def test_a_store_that_fails_says_so_and_leaves_nothing(cache: ArtifactCache) -> None:
    def fail() -> None:
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable, match="gone"):
        cache.fetch(wanted(b"something"), Origin(b"some", between=fail))
    assert files(cache) == []


def test_many_callers_fetch_once(cache: ArtifactCache) -> None:
    all_ask = threading.Barrier(8)
    origin = Origin(b"some", b"thing", between=lambda: threading.Event().wait(0.05))

    def ask(_: int) -> bytes:
        all_ask.wait(10)
        return read(cache.fetch(wanted(b"something"), origin))

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(8))) == {b"something"}
    assert origin.opened == 1


def test_nobody_waits_for_ever_for_a_slow_fetch(tmp_path: Path) -> None:
    go, asked = threading.Event(), threading.Event()

    def be_slow() -> None:
        asked.set()
        go.wait(20)

    cache = ArtifactCache(tmp_path, budget_bytes=KIB, wait_s=0.1)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(cache.fetch, wanted(b"x"), Origin(b"x", between=be_slow))
        asked.wait(10)
        with pytest.raises(NotCached):
            cache.fetch(wanted(b"x"), Origin(b"x"))
        go.set()
        assert read(slow.result(10)) == b"x"


def test_what_was_not_used_for_longest_goes_first(cache: ArtifactCache) -> None:
    contents = [bytes([number]) * (20 * KIB) for number in range(4)]
    for age, data in zip((400, 100, 300, 200), contents, strict=True):
        read(cache.fetch(wanted(data), Origin(data)))
        path = cache._path(wanted(data))
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    read(cache.find(wanted(contents[0])))  # the oldest, used again
    large = b"l" * (30 * KIB)
    read(cache.fetch(wanted(large), Origin(large)))
    assert [is_there(cache, data) for data in contents] == [True, True, False, True]
    assert cache.held_bytes() <= 100 * KIB


def test_the_budget_holds_whoever_fills_it(tmp_path: Path) -> None:
    caches = [ArtifactCache(tmp_path, budget_bytes=100 * KIB) for _ in range(4)]
    for number in range(200):
        data = number.to_bytes(2, "big") * (2 * KIB)
        read(caches[number % 4].fetch(wanted(data), Origin(data)))
        assert caches[0].held_bytes() <= 100 * KIB + 4 * 4 * KIB
    assert caches[0].held_bytes() > 50 * KIB


def test_what_is_too_large_is_not_kept(cache: ArtifactCache) -> None:
    data = b"x" * (95 * KIB)
    origin = Origin(data)
    with pytest.raises(NotCached):
        cache.fetch(wanted(data), origin)
    assert (origin.opened, files(cache)) == (0, [])


def test_one_who_reads_keeps_reading_what_is_put_out(cache: ArtifactCache) -> None:
    first = b"1" * (60 * KIB)
    with cache.fetch(wanted(first), Origin(first)) as file:
        second = b"2" * (60 * KIB)
        read(cache.fetch(wanted(second), Origin(second)))
        assert cache.find(wanted(first)) is None
        assert file.read() == first


def test_strangers_in_the_folder_are_left_alone(cache: ArtifactCache) -> None:
    stranger = cache._root / TENANT.hex / "notes.txt"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"n" * (90 * KIB))
    data = b"x" * (20 * KIB)
    with pytest.raises(NotCached):
        cache.fetch(wanted(data), Origin(data))
    assert stranger.exists()


def test_a_killed_fetch_leaves_nothing_in_the_way(cache: ArtifactCache) -> None:
    """Its unfinished copy is taken over by the next one who wants the file, or makes room for others."""
    for data in (b"a" * 60 * KIB, b"b" * 60 * KIB):
        pid = os.fork()
        if pid == 0:
            half = Origin(data[:1000], data[1000:])
            half.between = _kill_at_second(half)
            cache.fetch(wanted(data), half)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert len(files(cache)) == 2
    data = b"a" * 60 * KIB
    assert read(cache.fetch(wanted(data), Origin(data))) == data
    other = b"c" * 60 * KIB
    assert read(cache.fetch(wanted(other), Origin(other))) == other
    assert cache.held_bytes() <= 100 * KIB


def _kill_at_second(origin: Origin) -> Callable[[], object]:
    calls = iter(range(10))
    return lambda: os.kill(os.getpid(), signal.SIGKILL) if next(calls) == 1 else None


def test_a_disk_that_takes_nothing_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = ArtifactCache(tmp_path / "file", budget_bytes=KIB)
    with pytest.raises(NotCached):
        cache.fetch(wanted(b"x"), Origin(b"x"))


def test_a_forgotten_file_is_gone(cache: ArtifactCache) -> None:
    read(cache.fetch(wanted(b"x"), Origin(b"x")))
    cache.forget(wanted(b"x"))
    cache.forget(wanted(b"x"))
    assert cache.find(wanted(b"x")) is None
