"""Every built-in artifact store keeps to the contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from django.db import connections

from modelpool.core.artifacts import ArtifactStore, StoredBytes
from modelpool.core.testing.store_contract import PROCESS_CHECKS, STORE_CHECKS, Check, Connect
from modelpool.storage.backends.database import DatabaseStore
from modelpool.storage.backends.filesystem import FilesystemStore
from modelpool.storage.backends.memory import MemoryStore


def connect_filesystem(root: Path) -> Connect:
    return lambda: FilesystemStore(root)


def connect_memory(root: Path) -> Connect:
    store = MemoryStore()
    return lambda: store


class ThreadsDatabaseStore(DatabaseStore):
    """Closes its connection after a write in another thread than the test's, as a server does after a request."""

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        try:
            return super().put(key, chunks)
        finally:
            if threading.current_thread() is not threading.main_thread():
                connections.close_all()


def connect_database(root: Path) -> Connect:
    return ThreadsDatabaseStore


@pytest.mark.parametrize("connect", [connect_filesystem, connect_memory], ids=["filesystem", "memory"])
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Check, connect: Callable[[Path], Connect], tmp_path: Path) -> None:
    check(connect(tmp_path / "store"))


@pytest.mark.parametrize("check", PROCESS_CHECKS, ids=lambda check: check.__name__)
def test_contract_over_processes(check: Check, tmp_path: Path) -> None:
    check(connect_filesystem(tmp_path / "store"))


@pytest.mark.slow
@pytest.mark.parametrize("check", [*STORE_CHECKS, *PROCESS_CHECKS], ids=lambda check: check.__name__)
def test_contract_in_the_database(check: Check, transactional_db: None, tmp_path: Path) -> None:
    connections.close_all()  # a forked child must not share one
    check(connect_database(tmp_path))


class ForgetfulStore(MemoryStore):
    """Looks at what it should remove."""

    def delete(self, key: str) -> None:
        self.list(key)


class SloppyStore(MemoryStore):
    """Overwrites."""

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        super().delete(key)
        return super().put(key, chunks)


@pytest.mark.parametrize("broken", [ForgetfulStore, SloppyStore])
def test_a_broken_store_fails_the_contract(broken: type[ArtifactStore]) -> None:
    failed = 0
    for check in STORE_CHECKS:
        store = broken()
        try:
            check(lambda store=store: store)  # type: ignore[misc]
        except (AssertionError, ValueError):
            failed += 1
    assert failed >= 1
