"""Wrong between the S3 store and a real server: what is acknowledged is right, and everything else is said so."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from modelpool.core.errors import ModelpoolError, StoreUnavailable
from modelpool.storage.backends.s3.client import Bucket
from modelpool.storage.backends.s3.store import S3Store
from tests.servers.faults import Fault, FaultyProxy, answer, cut, delay, flip, flip_sent, lose, wrong_length
from tests.servers.seaweedfs import BUCKET, KEY, SECRET

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MIB = 1 << 20
SMALL = bytes(range(256)) * 100
LARGE = SMALL * 800  # three parts


@pytest.fixture(scope="module")
def handle(bucket_proxy: FaultyProxy) -> S3Store:
    bucket = Bucket(
        "bucket",
        BUCKET,
        prefix=f"{uuid.uuid4().hex}/",
        endpoint=f"http://127.0.0.1:{bucket_proxy.port}",
        region="us-east-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        timeout_s=0.5,
    )
    return S3Store(bucket)


@pytest.fixture
def store(handle: S3Store, bucket_proxy: FaultyProxy) -> Iterator[S3Store]:
    bucket_proxy.clear()
    handle.check()
    yield handle
    bucket_proxy.clear()


def new_key() -> str:
    return f"{uuid.uuid4().hex}/{uuid.uuid4().hex}"


def pieces_of(data: bytes) -> Iterator[bytes]:
    return (data[at : at + MIB] for at in range(0, len(data), MIB))


def read(store: S3Store, key: str) -> bytes:
    with store.open(key) as pieces:
        return b"".join(pieces)


_PASSING = (answer(500), lose(), delay(0.8))
_SENDING = [
    *[("at once", "PUT", fault, 1) for fault in (*_PASSING, flip_sent(50))],
    *[("in parts", method, fault, 1) for fault in _PASSING for method in ("PUT", "POST", "HEAD")],
    ("in parts", "PUT", flip_sent(50), 2),
    *[("at once", "PUT", fault, 9) for fault in (answer(503), lose())],
    *[("in parts", method, lose(), 9) for method in ("PUT", "POST", "HEAD")],
]


@pytest.mark.parametrize(
    ("form", "method", "fault", "times"), _SENDING, ids=[f"{s[1]} {s[0]} {s[2].name} {s[3]}" for s in _SENDING]
)
def test_an_object_is_whole_or_its_sender_is_told(
    store: S3Store, bucket_proxy: FaultyProxy, form: str, method: str, fault: Fault, times: int
) -> None:
    data = SMALL if form == "at once" else LARGE
    key = new_key()
    bucket_proxy.add(fault, method=method, times=times)
    try:
        store.put(key, pieces_of(data))
    except ModelpoolError:
        acknowledged = False
    else:
        acknowledged = True
    assert bucket_proxy.met
    bucket_proxy.clear()
    visible = [found.key for found in store.list(key[:32])]
    assert visible == [key] if acknowledged else visible in ([], [key])
    if visible:
        assert read(store, key) == data
    if times == 1 and fault.name != "flip_sent":
        assert acknowledged, "a passing fault is got over"
    store.delete(key)
    store.sweep_partial(older_than_s=-5)
    assert list(store.list()) == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["at once", "in parts"])
@pytest.mark.parametrize(
    "fault", [answer(500), lose(), cut(1000), cut(0), flip(50), wrong_length(-9), wrong_length(9)],
    ids=lambda fault: fault.name,
)  # fmt: skip
def test_a_read_is_right_or_says_so(store: S3Store, bucket_proxy: FaultyProxy, data: bytes, fault: Fault) -> None:
    key = new_key()
    store.put(key, pieces_of(data))
    bucket_proxy.add(fault, method="GET")
    try:
        found = read(store, key)
    except StoreUnavailable:
        found = data
    assert bucket_proxy.met == [fault.name]
    if fault.name == "flip":
        assert len(found) == len(data)  # the digest of whoever reads tells
    elif fault.name == "wrong_length":
        assert data.startswith(found[: len(data)])
    else:
        assert found == data
    assert read(store, key) == data
    store.delete(key)
