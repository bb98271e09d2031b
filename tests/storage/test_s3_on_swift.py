"""The S3 store on a server whose conditions do not hold: Swift lets several writers of one key win at once.

Modelpool's keys are made by the server and used once; so only the check of two writers of one key is left out here.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelpool.core.testing.store_contract import PROCESS_CHECKS, STORE_CHECKS, Check, check_one_winner
from modelpool.storage.backends.s3.client import Bucket
from modelpool.storage.backends.s3.store import S3Store
from tests.children import MIB
from tests.sandbox import fresh_path
from tests.servers.swift import BUCKET, KEY, SECRET, Swift, SwiftUnavailable, serve_swift

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swift() -> Iterator[Swift]:
    try:
        with serve_swift(fresh_path("swift")) as running:
            yield running
    except SwiftUnavailable as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have every server: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def connect(swift: Swift) -> Callable[[], S3Store]:
    prefix = f"{uuid.uuid4().hex}/"
    keys = {"access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
    return lambda: S3Store(Bucket("bucket", BUCKET, prefix=prefix, endpoint=swift.endpoint, **keys))


CHECKS = [check for check in (*STORE_CHECKS, *PROCESS_CHECKS) if check is not check_one_winner]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Check, connect: Callable[[], S3Store]) -> None:
    check(connect)


@pytest.mark.parametrize("size", [MIB, 9 * MIB])
def test_writers_of_one_key_leave_the_whole_object_of_a_winner(connect: Callable[[], S3Store], size: int) -> None:
    """Which is what can be had where conditions do not hold; who lost is told so."""
    key, barrier = f"{uuid.uuid4().hex}/{uuid.uuid4().hex}", threading.Barrier(4)

    def put(number: int) -> bytes | None:
        store, data = connect(), bytes([number]) * size
        barrier.wait(30)
        try:
            store.put(key, [data])
        except FileExistsError:
            return None
        return data

    with ThreadPoolExecutor(4) as threads:
        winners = set(threads.map(put, range(4))) - {None}
    with connect().open(key) as pieces:
        assert b"".join(pieces) in winners
    assert connect().sweep_partial(older_than_s=-60) == 0
