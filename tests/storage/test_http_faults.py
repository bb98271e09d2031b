"""The HTTP store on real servers when everything around them goes wrong."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelpool.core.artifacts import ArtifactStore, ObjectMissing
from modelpool.core.errors import ModelpoolError, StorageQuotaExceeded, StoreUnavailable
from modelpool.storage.backends.marker import MARKER, marker_of
from modelpool.storage.backends.webdav.client import Share
from modelpool.storage.backends.webdav.store import WebDAVStore
from tests.sandbox import fresh_path
from tests.servers.faults import FaultyProxy, answer, black_hole, cut, delay, faulty_proxy, flip, flip_sent, lose
from tests.servers.faults import wrong_length as length_off_by
from tests.servers.webdav import (
    BEARER,
    PASSWORD,
    READ_ONLY,
    TOKEN,
    USER,
    WebDAV,
    WebDAVUnavailable,
    apache,
    nginx,
    serve_webdav,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 1 << 20
SERVERS = {"apache": apache, "nginx": nginx}
Connect = Callable[..., WebDAVStore]


@pytest.fixture(scope="module", params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[WebDAV]:
    try:
        with serve_webdav(fresh_path("faulty"), SERVERS[request.param]) as running:
            yield running
    except WebDAVUnavailable as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have every server: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def proxy(server: WebDAV) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.port) as running:
        yield running


@pytest.fixture
def connect(server: WebDAV, proxy: FaultyProxy) -> Iterator[Connect]:
    """Return a function that gives handles, all on the same empty folder, through the proxy unless said otherwise."""
    name = uuid.uuid4().hex[:8]
    assert httpx.request("MKCOL", f"{server.url}{name}/", auth=(USER, PASSWORD)).status_code == 201
    made: list[WebDAVStore] = []

    def make(*, port: int = proxy.port, folder: str = f"{name}/", **changes: Any) -> WebDAVStore:
        facts = {"username": USER, "password": PASSWORD, "timeout_s": 5.0} | changes
        made.append(WebDAVStore(Share("dav", f"http://127.0.0.1:{port}/{folder}", **facts)))
        return made[-1]

    yield make
    for store in made:
        client = store._files._connection._client
        if client is not None:
            client.close()


def new_key() -> str:
    return f"{uuid.uuid4().hex}/{uuid.uuid4().hex}"


def read(store: ArtifactStore, key: str, **span: int) -> bytes:
    with store.open(key, **span) as pieces:
        return b"".join(pieces)


def nothing_is_left(store: WebDAVStore) -> bool:
    return list(store.list()) == [] and store.sweep_partial(older_than_s=-60) == 0


class TestDownloads:
    @pytest.mark.parametrize(
        "fault",
        [answer(500), answer(503), cut(1), cut(70_000), lose(), length_off_by(50), delay(0.1)],
        ids=lambda fault: fault.name,
    )
    def test_bytes_are_right_though_something_went_wrong(self, fault, connect: Connect, proxy: FaultyProxy) -> None:
        store, key, data = connect(), new_key(), random.Random(1).randbytes(MIB)
        store.put(key, [data])
        proxy.clear()
        proxy.add(fault, method="GET", within=key, times=2)
        assert read(store, key) == data
        assert read(store, key, start=10, stop=900_000) == data[10:900_000]
        assert proxy.met == [fault.name] * 2

    @pytest.mark.parametrize("fault", [answer(503), cut(100), lose()], ids=lambda fault: fault.name)
    def test_one_that_never_succeeds_ends(self, fault, connect: Connect, proxy: FaultyProxy) -> None:
        store, key = connect(), new_key()
        store.put(key, [b"x" * MIB])
        proxy.clear()
        proxy.add(fault, method="GET", within=key, times=1000)
        with pytest.raises(StoreUnavailable):
            read(store, key)
        assert len(proxy.met) <= 12

    def test_a_silent_server_holds_nobody(self, connect: Connect, proxy: FaultyProxy) -> None:
        connect().check()
        store = connect(timeout_s=0.2)
        proxy.add(black_hole(), times=1000)
        began = time.monotonic()
        for call in (store.check, lambda: store.put(new_key(), [b"x"]), lambda: list(store.list())):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                call()
        assert time.monotonic() - began < 30

    def test_a_flipped_bit_is_the_readers_to_notice(self, connect: Connect, proxy: FaultyProxy) -> None:
        """The digest is in the database, and whoever reads compares: the store only passes bytes on."""
        store, key = connect(), new_key()
        store.put(key, [b"\0" * 1000])
        proxy.add(flip(7), method="GET", within=key)
        assert read(store, key) == b"\0" * 7 + b"\1" + b"\0" * 992
        assert read(store, key) == b"\0" * 1000


class TestUploads:
    @pytest.mark.parametrize(
        ("fault", "words"),
        [(flip_sent(5), "other bytes"), (answer(500), "status 500"), (answer(413), "client_max_body_size"),
         (lose(), "broke off")],
        ids=lambda value: getattr(value, "name", ""),
    )  # fmt: skip
    def test_one_that_went_wrong_leaves_nothing(self, fault, words, connect: Connect, proxy: FaultyProxy) -> None:
        store, key = connect(), new_key()
        store.check()
        proxy.add(fault, method="PUT")
        with pytest.raises(StoreUnavailable, match=words):
            store.put(key, [b"x" * 300_000])
        assert proxy.met == [fault.name]
        assert nothing_is_left(store)
        store.put(key, [b"again"])
        assert read(store, key) == b"again"

    @pytest.mark.parametrize("losses", [1, 2, 3])
    def test_a_lost_answer_to_a_move_is_looked_into(self, losses: int, connect: Connect, proxy: FaultyProxy) -> None:
        store, key = connect(), new_key()
        store.check()
        proxy.clear()
        proxy.add(lose(), method="MOVE", times=losses)
        assert store.put(key, [b"whole"]).size_bytes == 5
        assert proxy.met == ["lose"] * losses
        assert read(store, key) == b"whole"
        assert store.sweep_partial(older_than_s=-60) == 0

    def test_a_move_that_is_answered_wrongly_does_not_take_anothers_file(
        self, connect: Connect, proxy: FaultyProxy
    ) -> None:
        """The upload is swept and the name taken by somebody else, while the answer to the first try was 503."""
        store, rival, key = connect(), connect(), new_key()
        store.put(new_key(), [b"first"])
        proxy.add(answer(503), method="MOVE")
        moved = store._files.move

        def move_late(source: str, target: str, *, sha256: str) -> None:
            store._files.delete(source)
            proxy.clear()
            rival.put(key, [b"theirs"])
            proxy.add(answer(503), method="MOVE")
            moved(source, target, sha256=sha256)

        store._files.move = move_late  # type: ignore[method-assign]
        with pytest.raises((StoreUnavailable, FileExistsError)):
            store.put(key, [b"ours"])
        assert read(rival, key) == b"theirs"

    def test_many_random_faults_lose_and_change_nothing(self, connect: Connect, proxy: FaultyProxy) -> None:
        """Every upload that was acknowledged is there and right; what was not is there whole, or not at all."""
        chance = random.Random(4)
        store, sent, kept = connect(), {}, set()
        store.check()
        for _ in range(40):
            key, data = new_key(), chance.randbytes(chance.randrange(1, 200_000))
            sent[key] = data
            fault = chance.choice([answer(500), answer(503), cut(20), flip_sent(0), lose(), length_off_by(3)])
            proxy.add(fault, method=chance.choice(["PUT", "MOVE", "GET", "HEAD", "MKCOL"]))
            try:
                store.put(key, [data])
                kept.add(key)
            except ModelpoolError:
                pass
        proxy.clear()
        there = {found.key for found in store.list()}
        assert kept <= there <= set(sent)
        assert kept
        assert all(read(store, key) == sent[key] for key in there)
        store.sweep_partial(older_than_s=-60)
        assert store.sweep_partial(older_than_s=-60) == 0


class TestTheFolder:
    def test_nothing_is_missing_from_a_folder_that_is_another_one(self, server: WebDAV, connect: Connect) -> None:
        """Its volume is gone for a moment, and an empty folder is there instead."""
        store, key = connect(folder="volume/"), new_key()
        volume, aside = server.data / "volume", server.data / "aside"
        assert httpx.request("MKCOL", f"{server.url}volume/", auth=(USER, PASSWORD)).status_code == 201
        store.put(key, [b"kept"])
        volume.rename(aside)
        volume.mkdir(mode=0o777)
        volume.chmod(0o777)
        try:
            for call in (
                lambda: store.stat(key), lambda: read(store, key), lambda: list(store.list()), store.check,
                lambda: store.delete(key), lambda: store.put(new_key(), [b"lost"]),
                lambda: store.sweep_partial(older_than_s=-60),
            ):  # fmt: skip
                with pytest.raises(StoreUnavailable, match="no marker"):
                    call()
        finally:
            shutil.rmtree(volume)
            aside.rename(volume)
        assert read(store, key) == b"kept"
        shutil.rmtree(volume)

    def test_a_read_only_folder_is_read_and_said_to_be_one(self, server: WebDAV, connect: Connect) -> None:
        key, folder = new_key(), server.data / READ_ONLY
        (folder / key).parent.mkdir()
        (folder / key).write_bytes(b"there")
        (folder / MARKER).write_bytes(marker_of("0" * 32))
        store = connect(folder=READ_ONLY)
        assert read(store, key) == b"there"
        for call in (store.check, lambda: store.put(new_key(), [b"x"]), lambda: store.delete(key)):
            with pytest.raises(StoreUnavailable, match=r"does not allow it .* stores\.dav"):
                call()
        assert read(store, key) == b"there"

    def test_a_token_is_taken_in_place_of_an_account(self, connect: Connect) -> None:
        def open_with(token: str) -> WebDAVStore:
            return connect(folder=BEARER, username=None, password=None, bearer_token=token)

        store, key = open_with(TOKEN), new_key()
        store.check()
        store.put(key, [b"x"])
        assert read(store, key) == b"x"
        with pytest.raises(StoreUnavailable) as refused:
            open_with("wrong-token").check()
        assert "wrong-token" not in f"{refused.value} {refused.value.__notes__}"

    def test_a_full_disk_is_said_and_nothing_is_left(self, server: WebDAV, connect: Connect) -> None:
        with small_volume(server.data / "small", 6 * MIB):
            store, small, large = connect(folder="small/"), new_key(), new_key()
            store.put(small, [b"x" * MIB])
            with pytest.raises((StorageQuotaExceeded, StoreUnavailable)):
                store.put(large, [b"x" * MIB] * 8)
            with pytest.raises(ObjectMissing):
                store.stat(large)
            assert read(store, small) == b"x" * MIB
            store.sweep_partial(older_than_s=-60)
            store.put(large, [b"y" * 3 * MIB])
            assert [found.key for found in store.list()] == sorted([small, large])


@contextmanager
def small_volume(path: Path, size: int) -> Iterator[None]:
    """Mount a small tmpfs, where that is allowed."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(path)], capture_output=True, check=False
    )
    if done.returncode:
        path.rmdir()
        pytest.skip(f"a small volume cannot be mounted here ({os.strerror(errno.EPERM)})")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
        path.rmdir()
