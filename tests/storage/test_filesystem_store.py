from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import signal
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from modelpool.core.artifacts import ObjectMissing
from modelpool.core.errors import StorageQuotaExceeded, StoreUnavailable
from modelpool.storage.backends.filesystem import FilesystemStore
from modelpool.storage.backends.marker import MARKER
from modelpool.storage.backends.mounts import check_mount

TENANT = uuid.uuid4().hex


def make_key() -> str:
    return f"{TENANT}/{uuid.uuid4().hex}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(root: Path) -> FilesystemStore:
    return FilesystemStore(root)


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*/*"))


class Spy:
    """Records calls of the operating system in order, and makes one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.failing: dict[str, int] = {}
        for name in ("open", "write", "fsync", "link", "rename", "unlink"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            kind = self._kind(name, args)
            if kind in self.failing:
                raise OSError(self.failing[kind], os.strerror(self.failing[kind]))
            result = call(*args, **kwargs)
            self.calls.append(kind)
            return result

        return recorded

    @staticmethod
    def _kind(name: str, args: tuple[Any, ...]) -> str:
        if name == "fsync":
            return "fsync folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else "fsync file"
        return name


@pytest.fixture
def spy(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> Spy:
    store.put(make_key(), [b"makes the folders"])
    return Spy(monkeypatch)


@pytest.mark.parametrize(
    ("line", "is_refused"),
    [
        ("36 35 {device} / /srv rw,noatime shared:1 - nfs4 host:/ rw,vers=4.2,nocto,hard", True),
        ("36 35 {device} / /srv rw,noatime - nfs host:/ rw,nocto", True),
        ("36 35 {device} / /srv rw,noatime - nfs4 host:/ rw,vers=4.2,hard", False),
        ("36 35 {device} / /srv rw,noatime - ext4 /dev/nocto rw,nocto", False),
        ("36 35 999:1 / /srv rw,noatime - nfs4 host:/ rw,nocto", False),
        ("broken", False),
        ("", False),
    ],
)
def test_a_mount_that_hides_new_files_is_refused(tmp_path: Path, line: str, is_refused: bool) -> None:
    device, mounts = tmp_path.stat().st_dev, tmp_path / "mountinfo"
    mounts.write_text(f"{line}\n".format(device=f"{os.major(device)}:{os.minor(device)}"))
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(StoreUnavailable, match="nocto") if is_refused else nullcontext():
            check_mount(folder, mounts=mounts)
    finally:
        os.close(folder)


def test_a_file_is_durable_before_it_is_visible_and_its_name_before_put_returns(
    store: FilesystemStore, spy: Spy
) -> None:
    store.put(make_key(), [b"one", b"two"])
    wanted = ("write", "fsync file", "link", "unlink", "fsync folder")
    calls = [call for call in spy.calls if call in wanted]
    assert calls == ["write", "write", "fsync file", "link", "unlink", "fsync folder"]


@pytest.mark.parametrize("failing", ["write", "fsync file", "link", "fsync folder"])
@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, StorageQuotaExceeded), (errno.EDQUOT, StorageQuotaExceeded), (errno.EIO, StoreUnavailable),
     (errno.ESTALE, StoreUnavailable), (errno.EROFS, StoreUnavailable)],
)  # fmt: skip
def test_nothing_is_left_when_the_system_fails(
    store: FilesystemStore, root: Path, spy: Spy, failing: str, number: int, error: type[Exception]
) -> None:
    before, key = visible(root), make_key()
    spy.failing = {failing: number}
    with pytest.raises(error) as caught:
        store.put(key, [b"data"])
    assert str(root) not in str(caught.value)
    spy.failing = {}
    assert visible(root) == before
    store.put(key, [b"data"])


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_where_links_are_not_supported_files_are_renamed_but_never_over_others(
    store: FilesystemStore, root: Path, spy: Spy, number: int
) -> None:
    spy.failing = {"link": number}
    key = make_key()
    store.put(key, [b"first"])
    assert (root / key).read_bytes() == b"first"

    def late() -> Iterator[bytes]:
        yield b"second"
        (root / other).write_bytes(b"somebody else's")

    other = make_key()
    with pytest.raises(FileExistsError):
        store.put(other, late())
    assert (root / other).read_bytes() == b"somebody else's"
    assert not [name for name in visible(root) if name.startswith(".")]


def test_a_link_that_was_made_though_the_answer_was_lost_counts(
    store: FilesystemStore, root: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over NFS a repeated request finds its own link."""
    link = os.link

    def twice(*args: Any, **kwargs: Any) -> None:
        link(*args, **kwargs)
        link(*args, **kwargs)

    monkeypatch.setattr(os, "link", twice)
    key = make_key()
    assert store.put(key, [b"data"]).size_bytes == 4
    assert (root / key).read_bytes() == b"data"


def test_files_and_folders_are_closed_to_others(store: FilesystemStore, root: Path) -> None:
    mask = os.umask(0)
    try:
        key = make_key()
        store.put(key, [b"data"])
    finally:
        os.umask(mask)
    assert stat.S_IMODE((root / key).stat().st_mode) == 0o640
    assert stat.S_IMODE((root / TENANT).stat().st_mode) == 0o750
    assert stat.S_IMODE(root.stat().st_mode) == 0o750


def test_a_size_limit_of_the_system_is_no_space(store: FilesystemStore, root: Path) -> None:
    """A real limit: in a child, because it cannot be taken back."""
    store.check()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            store.put(make_key(), [b"x" * (1 << 17)])
        except StorageQuotaExceeded:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert visible(root) == []


def test_foreign_names_are_not_listed(store: FilesystemStore, root: Path) -> None:
    key = make_key()
    store.put(key, [b"data"])
    folder = root / TENANT
    (folder / ".nfs0000000000000001").write_bytes(b"silly")
    (folder / "README").write_bytes(b"hello")
    (folder / uuid.uuid4().hex).mkdir()
    (folder / uuid.uuid4().hex).symlink_to(root / key)
    (root / "lost+found").mkdir()
    assert [found.key for found in store.list()] == [key]
    assert store.sweep_partial(older_than_s=-60) == 0
    assert (folder / ".nfs0000000000000001").exists()


def test_links_are_not_followed(store: FilesystemStore, root: Path, tmp_path: Path) -> None:
    store.check()
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / uuid.uuid4().hex).write_bytes(b"secret")
    inside = next(secret.iterdir()).name
    (root / TENANT).symlink_to(secret)
    with pytest.raises(StoreUnavailable), store.open(f"{TENANT}/{inside}"):
        pass
    with pytest.raises(StoreUnavailable):
        store.put(make_key(), [b"data"])
    assert len(list(secret.iterdir())) == 1
    (root / TENANT).unlink()
    (root / TENANT).mkdir()
    (root / TENANT / inside).symlink_to(secret / inside)
    with pytest.raises(StoreUnavailable), store.open(f"{TENANT}/{inside}"):
        pass


def test_what_is_not_a_file_is_not_read(store: FilesystemStore, root: Path) -> None:
    store.check()
    key = make_key()
    (root / TENANT).mkdir()
    os.mkfifo(root / key)
    with pytest.raises(ObjectMissing), store.open(key):
        pass


def test_a_reader_is_not_disturbed_by_deletion(store: FilesystemStore) -> None:
    key, data = make_key(), os.urandom(3 << 20)
    store.put(key, [data])
    with store.open(key) as pieces:
        first = next(pieces)
        store.delete(key)
        assert first + b"".join(pieces) == data


def test_old_private_files_are_swept_and_young_ones_kept(store: FilesystemStore, root: Path) -> None:
    store.put(make_key(), [b"data"])
    names = [f".{uuid.uuid4().hex}.{'0' * 16}.part", f".{uuid.uuid4().hex}.claim"]
    for name in names:
        (root / TENANT / name).write_bytes(b"half")
    (root / f".modelpool-store.{'0' * 16}.part").write_bytes(b"half")
    assert store.sweep_partial(older_than_s=600) == 0
    os.utime(root / TENANT / names[0], (1, 1))
    assert store.sweep_partial(older_than_s=600) == 1
    assert store.sweep_partial(older_than_s=-60) == 2
    assert len(list(store.list())) == 1


# --- the marker: is it the right volume? ------------------------------------------------------------------------------


class Record:
    """Remembers like an installation that has artifacts in the store."""

    def __init__(self, *, has_artifacts: bool) -> None:
        self.has_artifacts = has_artifacts
        self.marks: list[str] = []

    def may_start_empty(self) -> bool:
        return not self.has_artifacts

    def accept(self, mark: str) -> None:
        self.marks.append(mark)
        if len(set(self.marks)) > 1:
            raise StoreUnavailable("another volume")


def test_the_first_use_marks_an_empty_folder(root: Path) -> None:
    record = Record(has_artifacts=False)
    FilesystemStore(root, record=record).check()
    assert (root / MARKER).read_text().splitlines()[1] == record.marks[0]
    FilesystemStore(root, record=record).check()
    assert len(set(record.marks)) == 1


def test_a_new_volume_with_lost_and_found_is_empty(root: Path) -> None:
    (root / "lost+found").mkdir(parents=True)
    FilesystemStore(root).check()
    assert (root / MARKER).exists()


def test_a_folder_of_other_things_is_refused(root: Path) -> None:
    root.mkdir()
    (root / "thesis.docx").write_bytes(b"mine")
    with pytest.raises(StoreUnavailable, match="marker"):
        FilesystemStore(root).check()
    assert sorted(path.name for path in root.iterdir()) == ["thesis.docx"]


USES: dict[str, Callable[[FilesystemStore, str], Any]] = {
    "put": lambda store, key: store.put(make_key(), [b"x"]),
    "open": lambda store, key: store.open(key).__enter__(),
    "stat": lambda store, key: store.stat(key),
    "delete": lambda store, key: store.delete(key),
    "list": lambda store, key: list(store.list()),
    "check": lambda store, key: store.check(),
    "local_path": lambda store, key: store.local_path(key),
    "sweep_partial": lambda store, key: store.sweep_partial(older_than_s=0),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("vanished", ["empty folder", "no folder"])
@pytest.mark.parametrize("handle", ["old", "new"])
def test_a_vanished_volume_is_an_error_never_an_empty_store(
    root: Path, tmp_path: Path, use: Callable[[FilesystemStore, str], Any], vanished: str, handle: str
) -> None:
    record = Record(has_artifacts=False)
    store, key = FilesystemStore(root, record=record), make_key()
    store.put(key, [b"data"])
    record.has_artifacts = True
    root.rename(tmp_path / "unmounted")
    if vanished == "empty folder":
        root.mkdir()
    with pytest.raises(StoreUnavailable, match="mounted"):
        use(store if handle == "old" else FilesystemStore(root, record=record), key)
    assert not root.exists() or list(root.iterdir()) == []
    if root.exists():
        root.rmdir()
    (tmp_path / "unmounted").rename(root)
    use(store, key)


def test_another_volume_is_refused(root: Path, tmp_path: Path) -> None:
    record = Record(has_artifacts=True)
    FilesystemStore(tmp_path / "other").check()
    FilesystemStore(root).check()
    store = FilesystemStore(root, record=record)
    store.check()
    shutil.rmtree(root)
    (tmp_path / "other").rename(root)
    with pytest.raises(StoreUnavailable, match="another volume"):
        store.check()


def test_a_spoilt_marker_is_not_a_marker(root: Path) -> None:
    FilesystemStore(root).check()
    (root / MARKER).write_bytes(b"")
    record = Record(has_artifacts=True)
    FilesystemStore(root, record=record)
    with pytest.raises(StoreUnavailable):
        FilesystemStore(root, record=record).check()


def test_the_digest_is_of_what_was_written(store: FilesystemStore) -> None:
    data = os.urandom(1 << 21)
    assert store.put(make_key(), [data[:5], data[5:]]).sha256 == hashlib.sha256(data).hexdigest()


def test_of_two_first_uses_at_once_the_second_takes_the_firsts_mark(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir, key = os.listdir, make_key()

    def late(folder: int) -> list[str]:
        monkeypatch.setattr(os, "listdir", listdir)
        FilesystemStore(root).put(key, [b"first"])
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", late)
    store = FilesystemStore(root)
    store.put(make_key(), [b"second"])
    assert len(list(store.list())) == 2
