"""What is checked on two NFS clients, in a guest of its own: ``python -m tests.storage.nfs_guest /mnt/a /mnt/b``.

Prints one line of JSON for each check; ``test_nfs_store`` boots the guest once and shows each as a test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import cycle
from pathlib import Path

from modelpool.core.artifacts import ObjectMissing
from modelpool.core.errors import StoreUnavailable
from modelpool.core.testing.store_contract import PROCESS_CHECKS, STORE_CHECKS
from modelpool.storage.backends.filesystem import FilesystemStore
from modelpool.storage.backends.marker import MARKER
from tests.servers.nfs import CLIENTS, NFSD_OPTIONS
from tests.storage.nfs_nodes import environment
from tests.waiting import wait_until

MIB = 1 << 20
_FEED_S = 20.0
"""How long a node may take to hear of a version that it asked for in vain; a client of NFS remembers for 30."""
SERVERS_VIEW = Path("/proc/fs/nfsd/clients")
Clients = tuple[Path, Path]


class Expecting:
    """Remembers the marks that it was shown; the volume is known to hold something."""

    def __init__(self, *, may_start_empty: bool = False) -> None:
        self.marks: list[str] = []
        self._may = may_start_empty

    def may_start_empty(self) -> bool:
        return self._may

    def accept(self, mark: str) -> None:
        self.marks.append(mark)


def stores(clients: Clients) -> tuple[FilesystemStore, FilesystemStore]:
    """Return the same new store as both clients see it."""
    name = uuid.uuid4().hex[:8]
    return FilesystemStore(clients[0] / name), FilesystemStore(clients[1] / name)


def new_key(tenant: str | None = None) -> str:
    return f"{tenant or uuid.uuid4().hex}/{uuid.uuid4().hex}"


def read(store: FilesystemStore, key: str) -> bytes:
    with store.open(key) as pieces:
        return b"".join(pieces)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def is_missing(store: FilesystemStore, key: str) -> bool:
    try:
        store.stat(key)
    except ObjectMissing:
        return True
    return False


def put_where_it_was_missed(clients: Clients) -> None:
    """B has looked for it, and for the folder of its tenant, in vain; it reads what A puts a moment later."""
    a, b = stores(clients)
    a.check()
    for round_ in range(5):
        key = new_key()
        assert is_missing(b, key)
        a.put(key, [b"first"])
        assert read(b, key) == b"first", round_
        other = new_key(key[:32])
        assert is_missing(b, other)
        a.put(other, [b"second"])
        assert b.stat(other).size_bytes == 6
        assert read(b, other) == b"second"
        path = b.local_path(other)
        assert path is not None
        assert path.read_bytes() == b"second"


def plain_lookups_are_stale(clients: Clients) -> None:
    """The two mounts are two clients with caches of their own: a path that B looked for in vain stays missing to it.

    Without that, the other checks would prove nothing.
    """
    assert len(names_in(SERVERS_VIEW)) == 2, "the server takes both for one client"
    folder = uuid.uuid4().hex[:8]
    (clients[0] / folder).mkdir()
    assert names_in(clients[1] / folder) == []
    stale = 0
    for number in range(5):
        name = f"{folder}/{number}"
        assert not (clients[1] / name).exists()
        (clients[0] / name).write_bytes(b"x")
        stale += not (clients[1] / name).exists()
    assert stale, "B saw at once what A made"


def listed_at_once(clients: Clients) -> None:
    """B lists what A puts and what A deletes without delay."""
    a, b = stores(clients)
    tenant, keys = uuid.uuid4().hex, []
    for _ in range(5):
        keys.append(new_key(tenant))
        a.put(keys[-1], [b"x"])
        assert [found.key for found in b.list()] == sorted(keys)
        assert [found.key for found in b.list(tenant)] == sorted(keys)
    for key in keys[1:]:
        a.delete(key)
    assert [found.key for found in b.list()] == keys[:1]


def deleted_is_gone(clients: Clients) -> None:
    """What A deletes is missing at B, though B has just read it."""
    a, b = stores(clients)
    for _ in range(20):
        key = new_key()
        a.put(key, [b"x"])
        assert read(b, key) == b"x"
        a.delete(key)
        assert is_missing(b, key)


def deleted_while_read(clients: Clients) -> None:
    """B has begun to read what A deletes: it gets every byte, or is told; never other bytes."""
    a, b = stores(clients)
    key, data = new_key(), os.urandom(4 * MIB)
    a.put(key, [data])
    with b.open(key) as pieces:
        got = next(pieces)
        a.delete(key)
        with suppress(StoreUnavailable, ObjectMissing):
            got += b"".join(pieces)
            assert got == data
        assert data.startswith(got)


def fresh_writes_are_not_swept(clients: Clients) -> None:
    """B sweeps while A writes: what A writes is left alone, and what a dead process left is taken."""
    a, b = stores(clients)
    key = new_key()

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield os.urandom(MIB)
            assert b.sweep_partial(older_than_s=60) == 0

    a.put(key, chunks())
    assert b.stat(key).size_bytes == 3 * MIB
    folder = next(path for path in clients[0].rglob(key[:32]) if path.is_dir())
    (folder / f".{uuid.uuid4().hex}.{os.urandom(8).hex()}.part").write_bytes(b"left")
    assert b.sweep_partial(older_than_s=60) == 0
    assert b.sweep_partial(older_than_s=-60) == 1
    assert read(b, key) == read(a, key)


def silly_names_are_nothing(clients: Clients) -> None:
    """A client that deletes what it reads leaves ``.nfs…`` behind for a while: neither listed, swept nor in the way."""
    a, b = stores(clients)
    key = new_key()
    b.put(key, [os.urandom(2 * MIB)])
    with b.open(key) as pieces:
        next(pieces)
        b.delete(key)
        folder = next(path for path in clients[0].rglob(key[:32]) if path.is_dir())
        assert any(name.startswith(".nfs") for name in names_in(folder)), names_in(folder)
        assert list(a.list()) == []
        assert list(b.list()) == []
        assert a.sweep_partial(older_than_s=-60) == 0
        assert is_missing(a, key)
        assert sum(len(piece) for piece in pieces) == MIB
    wait_until(lambda: names_in(folder) == [], "the client to remove it")


def one_mark_for_both(clients: Clients) -> None:
    """Both begin an empty volume at once, having looked before: one mark holds for both."""
    for _ in range(2):
        name = uuid.uuid4().hex[:8]
        (clients[0] / name).mkdir()
        for client in clients:
            assert not (client / name / MARKER).exists()
        code = "import sys; from tests.storage.nfs_guest import show_mark; show_mark(sys.argv[1])"
        begun = [
            subprocess.Popen([sys.executable, "-c", code, str(client / name)], stdout=subprocess.PIPE, text=True)
            for client in clients
        ]
        marks = {process.communicate(timeout=30)[0].strip() for process in begun}
        assert len(marks) == 1, marks
        assert len(marks.pop()) == 32


def show_mark(path: str) -> None:
    record = Expecting(may_start_empty=True)
    FilesystemStore(Path(path), record=record).check()
    say(record.marks[-1])


def one_of_two_nodes_wins(clients: Clients) -> None:
    """Two nodes put the same key at once, again and again: one wins each time, and both read the winner's bytes."""
    name, keys = uuid.uuid4().hex[:8], [new_key("a" * 32) for _ in range(20)]
    FilesystemStore(clients[0] / name).check()
    code = "import sys; from tests.storage.nfs_guest import put_all; put_all(*sys.argv[1:])"
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(client / name), word, ",".join(keys)], stdout=subprocess.PIPE, text=True
        )
        for client, word in zip(clients, ("left", "right"), strict=True)
    ]
    left, right = (json.loads(process.communicate(timeout=60)[0]) for process in begun)
    assert sorted([*left, *right]) == sorted(keys)
    for client in clients:
        for key in keys:
            assert read(FilesystemStore(client / name), key) == (b"left" if key in left else b"right")


def put_all(path: str, word: str, keys: str) -> None:
    store, won = FilesystemStore(Path(path)), []
    for key in keys.split(","):
        try:
            store.put(key, [word.encode()])
            won.append(key)
        except FileExistsError:
            pass
    say(json.dumps(won))


def registered_here_predicted_there(clients: Clients) -> None:
    """What node A registers, node B predicts with as soon as the change feed tells it: the file is there by then."""
    home = Path("/dev/shm/nodes")
    home.mkdir(mode=0o700)
    python = [sys.executable, "-m"]
    subprocess.run([*python, "modelpool", "manage", "migrate", "-v0"], env=environment(home, clients[0]), check=True)
    with ExitStack() as stack:
        a, b = (
            stack.enter_context(
                subprocess.Popen(
                    [*python, "tests.storage.nfs_nodes", work],
                    env=environment(home, client),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for work, client in zip(("register", "predict"), clients, strict=True)
        )
        assert told(b, told(a)) == "ready"
        for number in (1, 2, 3):
            status, text = json.loads(told(b, str(number)))
            assert status == 404, text
            deadline = time.monotonic() + _FEED_S
            assert told(a, str(number)) == str(number)
            while status == 404 and time.monotonic() < deadline:
                status, answer = json.loads(told(b, str(number)))
            assert (status, answer) == (200, [[1.0 + number]]), answer


def told(process: subprocess.Popen[str], question: str | None = None) -> str:
    """Return the line with which a node answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    if question is not None:
        process.stdin.write(f"{question}\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def vanished_mount(clients: Clients) -> None:
    """The folder below a mount that went away is not taken for an empty store."""
    a, _ = stores(clients)
    key = new_key()
    a.put(key, [b"x"])
    store = FilesystemStore(clients[1] / a._root.path.name, record=Expecting())
    assert read(store, key) == b"x"
    subprocess.run(["umount", "-l", str(clients[1])], check=True)
    try:
        for call in (store.check, lambda: store.stat(key), lambda: list(store.list())):
            assert is_unavailable(call), "an unmounted volume was taken for the store"
        assert names_in(clients[1]) == []
    finally:
        mount(clients[1])
    assert read(store, key) == b"x"


def mount_that_hides(clients: Clients) -> None:
    """A mount that hides from B what A makes is refused by the check, and says which option does so."""
    a, b = stores(clients)
    a.check()
    remount(clients[1], ",nocto")
    try:
        assert is_unavailable(b.check)
    finally:
        remount(clients[1])
    b.check()


def server_away(clients: Clients) -> None:
    """A client that does not wait for ever says that the store does not answer, and goes on when the server is back."""
    a, b = stores(clients)
    key, data = new_key(), os.urandom(MIB)
    a.put(key, [data])
    remount(clients[1], ",soft,timeo=10,retrans=1")
    assert read(b, key) == data
    subprocess.run(["rpc.nfsd", "0"], check=True)
    try:
        for call in (lambda: read(b, key), lambda: b.put(new_key(), [data])):
            assert is_unavailable(call)
    finally:
        subprocess.run(["rpc.nfsd", *NFSD_OPTIONS.split()], check=True)
    wait_until(lambda: not is_unavailable(lambda: read(b, key)), "the server", timeout_s=30)
    assert read(b, key) == data
    b.put(new_key(), [data])
    assert len(list(a.list())) == 2


def is_unavailable(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreUnavailable:
        return True
    return False


def remount(client: Path, options: str = "") -> None:
    subprocess.run(["umount", "-l", str(client)], check=True)
    mount(client, options)


def mount(client: Path, options: str = "") -> None:
    all_options = CLIENTS[client.name] + options
    subprocess.run(["mount", "-t", "nfs4", "-o", all_options, "127.0.0.1:/", str(client)], check=True)


TWO_CLIENTS: tuple[Callable[[Clients], None], ...] = (
    plain_lookups_are_stale,
    put_where_it_was_missed,
    listed_at_once,
    deleted_is_gone,
    deleted_while_read,
    fresh_writes_are_not_swept,
    silly_names_are_nothing,
    one_mark_for_both,
    one_of_two_nodes_wins,
    registered_here_predicted_there,
    vanished_mount,
    mount_that_hides,
    server_away,
)
CONTRACT = (*STORE_CHECKS, *PROCESS_CHECKS)
NAMES = [
    *(f"one client: {check.__name__}" for check in CONTRACT),
    *(f"two clients: {check.__name__}" for check in CONTRACT),
    *(check.__name__ for check in TWO_CLIENTS),
]


def main() -> None:
    """Run all checks, whatever the others do."""
    clients = (Path(sys.argv[1]), Path(sys.argv[2]))
    calls = [
        *(partial(check, lambda check=check: FilesystemStore(clients[0] / check.__name__)) for check in CONTRACT),
        *(partial(check, _taking_turns(clients, f"2{check.__name__}")) for check in CONTRACT),
        *(partial(check, clients) for check in TWO_CLIENTS),
    ]
    for name, call in zip(NAMES, calls, strict=True):
        began, failure = time.monotonic(), ""
        try:
            call()
        except Exception:  # noqa: BLE001 - it is shown
            failure = traceback.format_exc()
        seconds = round(time.monotonic() - began, 2)
        say(json.dumps({"check": name, "failure": failure, "seconds": seconds}))


def _taking_turns(clients: Clients, name: str) -> Callable[[], FilesystemStore]:
    turns = cycle(clients)
    return lambda: FilesystemStore(next(turns) / name)


if __name__ == "__main__":
    main()
