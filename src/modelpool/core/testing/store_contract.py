"""The contract check of artifact stores, for the built-in ones and for those that others write.

Each check takes ``connect``, which returns a new handle on the same, at first empty place every time it is called, as
another process would have it::

    @pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check, tmp_path):
        check(lambda: MyStore(tmp_path))

Checks raise ``AssertionError``. Those of :data:`PROCESS_CHECKS` fork: ``connect`` is called in the child, too.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from modelpool.core.artifacts import CHUNK_BYTES, ArtifactStore, ObjectMissing, StoredBytes

Connect = Callable[[], ArtifactStore]
Check = Callable[[Connect], None]


def check_round_trip(connect: Connect) -> None:
    """What was put is read back byte for byte by another handle, with its size and digest, whatever the size."""
    store = connect()
    for size in (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17):
        data, key = _data(size), _key()
        stored = store.put(key, _cut(data, 700_001))
        assert stored == StoredBytes(size, hashlib.sha256(data).hexdigest())
        assert _read(connect(), key) == data
        assert connect().stat(key).size_bytes == size


def check_pieces_are_small(connect: Connect) -> None:
    """One large chunk goes in, pieces of at most 1 MiB come out, none of them empty."""
    store, key = connect(), _key()
    store.put(key, [_data(2 * CHUNK_BYTES + 5)])
    with store.open(key) as pieces:
        sizes = [len(piece) for piece in pieces]
    assert sum(sizes) == 2 * CHUNK_BYTES + 5
    assert all(0 < size <= CHUNK_BYTES for size in sizes)


def check_tiny_and_empty_chunks(connect: Connect) -> None:
    """Chunks of no bytes and of one byte are as good as any."""
    store, key = connect(), _key()
    store.put(key, [b"", b"a", b"", b"b", b"c", b""])
    assert _read(store, key) == b"abc"


def check_ranges(connect: Connect) -> None:
    """Every range gives exactly its bytes, over the borders of pieces and beyond the end."""
    store, key = connect(), _key()
    size = 2 * CHUNK_BYTES + 100
    data = _data(size)
    store.put(key, [data])
    borders = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, size - 1, size, size + 10)
    for start in borders:
        for stop in (*borders, None):
            assert _read(store, key, start, stop) == data[start : max(stop, start) if stop is not None else None], (
                start,
                stop,
            )


def check_keys_are_never_reused(connect: Connect) -> None:
    """A key that exists is refused, and what it names stays as it is."""
    store, key = connect(), _key()
    store.put(key, [b"first"])
    assert isinstance(_failure(lambda: store.put(key, [b"second"])), FileExistsError)
    assert _read(store, key) == b"first"


def check_wrong_keys_are_faults(connect: Connect) -> None:
    """A key that the server could not have made reaches nothing."""
    store, good = connect(), _key()
    wrong = ("", "a", f"../{good}", good.upper(), f"{good}/x", f"{good}\n", f"/{good}", good.replace("/", "//"))
    for key in wrong:
        put, stat = partial(store.put, key, [b"x"]), partial(store.stat, key)
        for call in (put, stat, partial(store.delete, key), partial(_read, store, key)):
            assert isinstance(_failure(call), ValueError), key


def check_missing_objects(connect: Connect) -> None:
    """What is not there is said to be missing, by a store that answers; deleting it is success."""
    store, key = connect(), _key()
    assert isinstance(_failure(lambda: store.stat(key)), ObjectMissing)
    assert isinstance(_failure(lambda: _read(store, key)), ObjectMissing)
    assert isinstance(_failure(lambda: _read(store, key, 5, 5)), ObjectMissing)
    store.delete(key)


def check_failed_put_leaves_nothing(connect: Connect) -> None:
    """When the sender fails in the middle, its error passes through and nothing is left, not even half a file."""
    store, key = connect(), _key()
    error = OSError("the client went away")
    assert _failure(lambda: store.put(key, _fail_after([_data(CHUNK_BYTES), _data(CHUNK_BYTES)], error))) is error
    assert list(store.list()) == []
    assert store.sweep_partial(older_than_s=-60) == 0
    store.put(key, [b"again"])
    assert _read(store, key) == b"again"


def check_half_written_is_invisible(connect: Connect) -> None:
    """While bytes arrive, no other handle sees, lists or reads the object."""
    seen: list[object] = []
    key, other = _key(), connect()

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield _data(CHUNK_BYTES)
            seen.append(list(other.list()))
            seen.append(type(_failure(lambda: other.stat(key))))
            seen.append(type(_failure(lambda: _read(other, key))))

    connect().put(key, chunks())
    assert seen == [[], ObjectMissing, ObjectMissing] * 3
    assert [found.key for found in other.list()] == [key]


def check_delete(connect: Connect) -> None:
    """A deleted object is gone for every handle; deleting again is success; others stay."""
    store, key, other = connect(), _key(), _key()
    store.put(key, [b"x"])
    store.put(other, [b"y"])
    store.delete(key)
    store.delete(key)
    assert isinstance(_failure(lambda: connect().stat(key)), ObjectMissing)
    assert [found.key for found in connect().list()] == [other]


def check_listing(connect: Connect) -> None:
    """Listings are in the order of keys, can be narrowed by any prefix, and tell sizes and aware times."""
    store = connect()
    tenants = [uuid.uuid4().hex for _ in range(3)]
    keys = sorted(_key(tenant) for tenant in tenants for _ in range(4))
    before = datetime.now(UTC) - timedelta(minutes=5)
    for number, key in enumerate(random.sample(keys, len(keys))):
        store.put(key, [b"x" * number])
    found = list(connect().list())
    assert [entry.key for entry in found] == keys
    assert sorted(entry.size_bytes for entry in found) == list(range(len(keys)))
    assert all(before < entry.modified_at < before + timedelta(minutes=10) for entry in found)
    for prefix in (tenants[0], f"{tenants[1]}/", keys[5][:40], keys[7], "nothing", keys[0][:1]):
        assert [entry.key for entry in store.list(prefix)] == [key for key in keys if key.startswith(prefix)], prefix


def check_one_winner(connect: Connect) -> None:
    """Of several that put the same key at once exactly one succeeds, and its bytes are there."""
    key, barrier = _key(), threading.Barrier(6)
    won: list[bytes] = []
    lost: list[BaseException | None] = []

    def put(number: int) -> None:
        data = bytes([number]) * (CHUNK_BYTES + number)
        store = connect()
        barrier.wait(30)
        failure = _failure(lambda: store.put(key, _cut(data, 100_000)))
        won.append(data) if failure is None else lost.append(failure)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(failure) for failure in lost] == [FileExistsError] * 5, lost
    assert _read(connect(), key) == won[0]
    assert connect().sweep_partial(older_than_s=-60) == 0


def check_partial_writes_are_swept_by_age(connect: Connect) -> None:
    """The sweep leaves a write that is under way alone, and whole objects always."""
    store, key, whole = connect(), _key(), _key()
    store.put(whole, [b"whole"])
    store.put(key, _call_between([b"one", b"two"], lambda: _assert_equal(connect().sweep_partial(older_than_s=60), 0)))
    assert store.sweep_partial(older_than_s=-60) == 0
    assert _read(store, whole) == b"whole"
    assert _read(store, key) == b"onetwo"


def check_local_path(connect: Connect) -> None:
    """A local path, where there is one, names a file with the same bytes; a missing object has none."""
    store, key = connect(), _key()
    store.put(key, [b"bytes"])
    path = store.local_path(key)
    if path is not None:
        assert path.read_bytes() == b"bytes"
        assert isinstance(_failure(lambda: store.local_path(_key())), ObjectMissing)


def check_health(connect: Connect) -> None:
    """A store that works says so, and checking leaves nothing behind."""
    store = connect()
    store.check()
    assert list(store.list()) == []
    assert store.sweep_partial(older_than_s=-60) == 0


def check_killed_put(connect: Connect) -> None:
    """A process killed in the middle of a put leaves nothing to see; what it left can be swept."""
    key = _key()
    assert (
        _in_child(lambda: connect().put(key, _killing([_data(CHUNK_BYTES + 1), _data(CHUNK_BYTES + 1)])))
        == -signal.SIGKILL
    )
    store = connect()
    assert list(store.list()) == []
    assert isinstance(_failure(lambda: store.stat(key)), ObjectMissing)
    assert isinstance(_failure(lambda: _read(store, key)), ObjectMissing)
    store.sweep_partial(older_than_s=-60)
    assert store.sweep_partial(older_than_s=-60) == 0
    store.put(key, [b"again"])
    assert _read(store, key) == b"again"


def check_acknowledged_put_survives_a_kill(connect: Connect) -> None:
    """What :meth:`put` returned for is there, whole, after the process is killed the moment it returned."""
    key, data = _key(), _data(CHUNK_BYTES + 7)

    def put_and_die() -> None:
        connect().put(key, [data])
        os.kill(os.getpid(), signal.SIGKILL)

    assert _in_child(put_and_die) == -signal.SIGKILL
    assert _read(connect(), key) == data


STORE_CHECKS: tuple[Check, ...] = (
    check_round_trip,
    check_pieces_are_small,
    check_tiny_and_empty_chunks,
    check_ranges,
    check_keys_are_never_reused,
    check_wrong_keys_are_faults,
    check_missing_objects,
    check_failed_put_leaves_nothing,
    check_half_written_is_invisible,
    check_delete,
    check_listing,
    check_one_winner,
    check_partial_writes_are_swept_by_age,
    check_local_path,
    check_health,
)
"""Every store passes these."""

PROCESS_CHECKS: tuple[Check, ...] = (check_killed_put, check_acknowledged_put_survives_a_kill)
"""Every store passes these that keeps its objects outside of the process."""


def _key(tenant: str | None = None) -> str:
    return f"{tenant or uuid.uuid4().hex}/{uuid.uuid4().hex}"


def _data(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311 - not a secret


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _read(store: ArtifactStore, key: str, start: int = 0, stop: int | None = None) -> bytes:
    with store.open(key, start=start, stop=stop) as pieces:
        return b"".join(pieces)


def _failure(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - the checks look at whatever it is
        return error
    return None


def _fail_after(chunks: list[bytes], error: Exception) -> Iterator[bytes]:
    yield from chunks
    raise error


def _call_between(chunks: list[bytes], call: Callable[[], None]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        call()


def _killing(chunks: list[bytes]) -> Iterator[bytes]:
    yield from chunks
    os.kill(os.getpid(), signal.SIGKILL)


def _assert_equal(one: object, other: object) -> None:
    assert one == other


def _in_child(call: Callable[[], object]) -> int:
    """Run the call in a forked child; return its exit status, negative for the signal that ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads: the child only stores and ends
        pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            call()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
