"""A large file goes to each store and back in the memory of a small one."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connections

from modelpool.core.artifacts import ArtifactStore
from modelpool.storage.backends.database import DatabaseStore
from modelpool.storage.backends.filesystem import FilesystemStore
from modelpool.storage.backends.s3.client import Bucket
from modelpool.storage.backends.s3.store import S3Store
from modelpool.storage.backends.webdav.client import Share
from modelpool.storage.backends.webdav.store import WebDAVStore
from modelpool.storage.cache import ArtifactCache, Wanted, pieces_of
from tests.children import CONSTANT_BYTES, MIB, check_memory_is_constant
from tests.servers.seaweedfs import BUCKET, KEY, SECRET, SeaweedFS
from tests.servers.webdav import PASSWORD, USER, WebDAV

pytestmark = pytest.mark.slow

SIZE_MIB = 192
PIECE = os.urandom(MIB)


def move_through(store: ArtifactStore) -> None:
    """Send a file that is larger than what memory may grow by, read it, and remove it; in a child."""
    key = f"{uuid.uuid4().hex}/{uuid.uuid4().hex}"
    store.check()

    def work() -> None:
        stored = store.put(key, (PIECE for _ in range(SIZE_MIB)))
        digest = hashlib.sha256()
        with store.open(key) as pieces:
            for piece in pieces:
                digest.update(piece)
        assert (stored.size_bytes, stored.sha256) == (SIZE_MIB * MIB, digest.hexdigest())

    check_memory_is_constant(work)
    assert store.stat(key).size_bytes == SIZE_MIB * MIB
    store.delete(key)


def test_files(tmp_path: Path) -> None:
    move_through(FilesystemStore(tmp_path / "store"))


def test_database(transactional_db: None) -> None:
    connections.close_all()  # a forked child must not share one
    move_through(DatabaseStore())


def test_bucket(seaweedfs: SeaweedFS) -> None:
    keys = {"access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
    move_through(S3Store(Bucket("bucket", BUCKET, prefix="memory/", endpoint=seaweedfs.endpoint, **keys)))


def test_http_server(webdav: WebDAV) -> None:
    move_through(WebDAVStore(Share("dav", webdav.make_folder(), username=USER, password=PASSWORD)))


def test_cache(tmp_path: Path) -> None:
    cache, digest = ArtifactCache(tmp_path / "cache", budget_bytes=1 << 30), hashlib.sha256()
    for _ in range(SIZE_MIB):
        digest.update(PIECE)
    wanted = Wanted(uuid.uuid4(), digest.hexdigest(), SIZE_MIB * MIB)

    def source() -> closing[Iterator[bytes]]:
        return closing(PIECE for _ in range(SIZE_MIB))

    def work() -> None:
        for _ in range(2):
            with pieces_of(cache.fetch(wanted, source)) as pieces:
                assert sum(map(len, pieces)) == SIZE_MIB * MIB

    check_memory_is_constant(work)


@pytest.mark.parametrize("grow", [lambda: bytearray(PIECE * (2 * CONSTANT_BYTES // MIB)), lambda: 1 / 0])
def test_a_child_that_grows_or_fails_is_noticed(grow: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match=r"memory grew|ended with 1"):
        check_memory_is_constant(grow)
