"""The S3 store on a real server."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from modelpool.core.artifacts import ArtifactStore, ObjectMissing
from modelpool.core.errors import StoreUnavailable
from modelpool.core.testing.store_contract import (
    PROCESS_CHECKS,
    STORE_CHECKS,
    Check,
    check_delete,
    check_listing,
    check_round_trip,
)
from modelpool.storage.backends.s3 import uploads
from modelpool.storage.backends.s3.client import Bucket, head
from modelpool.storage.backends.s3.store import CHECKS, CLAIMS, S3Store
from tests.children import MIB, in_child
from tests.servers.faults import cut, faulty_proxy
from tests.servers.seaweedfs import (
    BUCKET,
    DOMAIN,
    KEY,
    READER_KEY,
    READER_SECRET,
    SECRET,
    SeaweedFS,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def server(seaweedfs: SeaweedFS) -> SeaweedFS:
    return seaweedfs


Connect = Callable[..., S3Store]


@pytest.fixture
def connect(server: SeaweedFS) -> Connect:
    """Return a function that gives new handles on the same empty place."""
    prefix = f"{uuid.uuid4().hex}/"

    def make(**changes: Any) -> S3Store:
        facts: dict[str, Any] = {"access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1"}
        facts |= {"prefix": prefix, "endpoint": server.endpoint}
        return S3Store(Bucket("bucket", BUCKET, **(facts | changes)))

    return make


def new_key() -> str:
    return f"{uuid.uuid4().hex}/{uuid.uuid4().hex}"


def read(store: ArtifactStore, key: str, **span: int) -> bytes:
    with store.open(key, **span) as pieces:
        return b"".join(pieces)


@pytest.mark.parametrize("check", [*STORE_CHECKS, *PROCESS_CHECKS], ids=lambda check: check.__name__)
def test_contract(check: Check, connect: Connect) -> None:
    check(connect)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"secret_access_key": "wrong"}, "correct stores.bucket.access_key_id and stores.bucket.secret_access_key"),
        ({"access_key_id": "nobody"}, "does not know the access key"),
        ({"name": "nowhere"}, "no such bucket; correct stores.bucket.bucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "does not answer"),
    ],
)
def test_what_is_wrong_is_said_with_the_setting(server: SeaweedFS, changes: dict[str, str], words: str) -> None:
    facts = {"access_key_id": KEY, "secret_access_key": SECRET, "endpoint": server.endpoint, "name": BUCKET}
    with pytest.raises(StoreUnavailable, match=words) as refused:
        S3Store(Bucket(alias="bucket", region="us-east-1", **(facts | changes))).check()
    assert SECRET not in str(refused.value)


def test_a_key_that_may_only_read_does_not_pass_the_check(connect: Connect) -> None:
    store = connect()
    store.check()
    key = new_key()
    store.put(key, [b"data"])
    reader = connect(access_key_id=READER_KEY, secret_access_key=READER_SECRET)
    assert read(reader, key) == b"data"
    with pytest.raises(StoreUnavailable, match="access key may not"):
        reader.check()


def test_no_credentials_are_said(server: SeaweedFS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StoreUnavailable, match=r"set stores\.bucket\.access_key_id"):
        S3Store(Bucket("bucket", BUCKET, endpoint=server.endpoint, region="us-east-1")).check()


def test_credentials_of_the_environment_are_used(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    connect(access_key_id=None, secret_access_key=None).check()


def test_credentials_of_a_profile_are_used(connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = nobody\naws_secret_access_key = x\n{profile('models')}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "models")
    connect(access_key_id=None, secret_access_key=None).check()
    monkeypatch.setenv("AWS_PROFILE", "default")
    with pytest.raises(StoreUnavailable, match="does not know the access key"):
        connect(access_key_id=None, secret_access_key=None).check()


def test_credentials_of_the_machines_role_are_used(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container or a machine in a cloud has them: a service on the machine gives keys that end."""
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    role = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": "", "Expiration": expires}
    with answering(json.dumps(role).encode()) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        connect(access_key_id=None, secret_access_key=None).check()


def profile(name: str) -> str:
    return f"[{name}]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Answer every GET with this body, and give the address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/role"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("check", [check_round_trip, check_listing, check_delete], ids=lambda check: check.__name__)
def test_a_bucket_in_the_name_of_the_host(
    check: Check, server: SeaweedFS, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is resolved here, as nobody else would; the server sees it in ``Host``, which is signed."""
    asked, resolve = set[str](), socket.getaddrinfo

    def local(host: Any, *rest: Any, **more: Any) -> Any:
        asked.add(host)
        return resolve("127.0.0.1" if str(host).endswith(DOMAIN) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    check(lambda: connect(path_style=False, endpoint=f"http://{DOMAIN}:{server.ports['s3']}"))
    assert asked == {f"{BUCKET}.{DOMAIN}"}


def test_an_upload_that_was_killed_is_taken_back(connect: Connect) -> None:
    connect().check()
    key = new_key()

    def chunks() -> Iterator[bytes]:
        yield os.urandom(9 * MIB)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(lambda: connect().put(key, chunks())) == -signal.SIGKILL
    store = connect()
    assert store.sweep_partial(older_than_s=60) == 0
    assert store.sweep_partial(older_than_s=-60) == 1
    assert store.sweep_partial(older_than_s=-60) == 0
    assert list(store.list()) == []


@pytest.mark.parametrize("folder", [CHECKS, CLAIMS])
def test_what_an_interrupted_process_left_beside_objects_is_swept(connect: Connect, folder: str) -> None:
    store = connect()
    store.check()
    name = f"{store._bucket.prefix}{folder}1234"
    with store._connection.asked("test") as s3:
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"left")
    store.sweep_partial(older_than_s=60)
    assert head(store._connection, name) is not None
    store.sweep_partial(older_than_s=-60)
    assert head(store._connection, name) is None


def test_uploads_and_objects_of_others_are_left_alone(connect: Connect) -> None:
    store = connect()
    store.check()
    with store._connection.asked("test") as s3:
        where = {"Bucket": BUCKET, "Key": f"{store._bucket.prefix}notes/today.txt"}
        s3.put_object(**where, Body=b"mine")
        upload = s3.create_multipart_upload(**where)
        assert store.sweep_partial(older_than_s=-60) == 0
        s3.abort_multipart_upload(**where, UploadId=upload["UploadId"])
    assert list(store.list()) == []


def test_another_bucket_is_not_taken_for_the_store(connect: Connect) -> None:
    connect().check()

    class Expecting:
        def may_start_empty(self) -> bool:
            return False

        def accept(self, mark: str) -> None:
            raise StoreUnavailable("another mark")

    store = connect()
    elsewhere = Bucket("bucket", BUCKET, "elsewhere/", store._bucket.endpoint, "us-east-1", KEY, SECRET)
    with pytest.raises(StoreUnavailable, match=r"correct stores\.bucket\.bucket|Correct"):
        S3Store(elsewhere, record=Expecting()).check()
    with pytest.raises(StoreUnavailable, match="another mark"):
        S3Store(store._bucket, record=Expecting()).check()


def test_a_signed_address_downloads_without_a_key(connect: Connect) -> None:
    store, key = connect(), new_key()
    store.put(key, [b"data"])
    assert store.download_url(key, filename="model.onnx") is None
    url = connect(redirect_lifetime_s=60.0).download_url(key, filename="modèle.onnx")
    assert url is not None
    with urlopen(url, timeout=10) as answer:
        assert answer.read() == b"data"
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''mod%C3%A8le.onnx"
    with pytest.raises(HTTPError, match="403"):
        urlopen(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"), timeout=10)


def _answer(store: S3Store, key: str) -> bytes | None:
    """A server that has just started takes requests some moments before it finds its volumes."""
    try:
        return read(store, key)
    except StoreUnavailable:
        return None


def test_a_server_that_goes_and_comes_back(server: SeaweedFS, connect: Connect) -> None:
    store, key = connect(), new_key()
    data = os.urandom(9 * MIB)
    store.put(key, [data])

    def chunks() -> Iterator[bytes]:
        yield data
        server.kill()
        yield from [data] * 3

    lost = new_key()
    try:
        with pytest.raises(StoreUnavailable):
            store.put(lost, chunks())
        with pytest.raises(StoreUnavailable, match="does not answer"):
            store.check()
    finally:
        server.start()
    assert wait_until(lambda: _answer(store, key), "the volumes to come back") == data
    with pytest.raises(ObjectMissing):
        store.stat(lost)
    store.sweep_partial(older_than_s=-60)
    store.put(lost, [b"again"])
    assert [found.key for found in store.list()] == sorted([key, lost])


@pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB, 20 * MIB + 7])
def test_what_is_sent_in_parts_is_one_object(connect: Connect, size: int) -> None:
    store, key, other = connect(), new_key(), connect()
    data = os.urandom(size)
    seen: list[object] = []

    def chunks() -> Iterator[bytes]:
        for at in range(0, size, 700_001):
            yield data[at : at + 700_001]
        seen.append(list(other.list()))

    stored = store.put(key, chunks())
    assert (stored.size_bytes, stored.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert seen == [[]]
    assert read(other, key) == data
    assert read(other, key, start=8 * MIB - 5, stop=8 * MIB + 5) == data[8 * MIB - 5 : 8 * MIB + 5]
    with pytest.raises(FileExistsError):
        store.put(key, [data])
    assert store.sweep_partial(older_than_s=-60) == 0


def test_a_sender_that_fails_between_parts_leaves_nothing(connect: Connect) -> None:
    store, error = connect(), OSError("the client went away")

    def chunks() -> Iterator[bytes]:
        yield os.urandom(9 * MIB)
        raise error

    with pytest.raises(OSError, match="went away"):
        store.put(new_key(), chunks())
    assert store.sweep_partial(older_than_s=-60) == 0


def test_a_download_goes_on_however_often_it_breaks_off_as_long_as_it_gets_on(
    server: SeaweedFS, connect: Connect
) -> None:
    store, key, data = connect(), new_key(), os.urandom(10 * MIB)
    store.put(key, [data])
    with faulty_proxy(server.ports["s3"]) as proxy:
        near = connect(endpoint=f"http://127.0.0.1:{proxy.port}")
        near.check()
        proxy.add(cut(3 * MIB // 2), method="GET", within=key, times=6)
        assert read(near, key) == data
        assert proxy.met == ["cut"] * 6
        proxy.add(cut(1000), method="GET", within=key, times=10)
        with pytest.raises(StoreUnavailable, match="broke off"):
            read(near, key)


def test_of_several_that_send_parts_one_wins(connect: Connect) -> None:
    key, barrier = new_key(), threading.Barrier(4)

    def put(number: int) -> BaseException | None:
        data = bytes([number]) * (9 * MIB)
        store = connect()
        barrier.wait(30)
        try:
            store.put(key, [data])
        except FileExistsError as error:
            return error
        return None

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(put, range(4)))
    assert outcomes.count(None) == 1
    assert read(connect(), key) == bytes([outcomes.index(None)]) * (9 * MIB)
    assert connect().sweep_partial(older_than_s=-60) == 0


def test_parts_are_exact() -> None:
    part = uploads.PART_BYTES
    assert list(uploads.cut([])) == [b""]
    assert [len(found) for found in uploads.cut([b"x" * part, b"", b"y"])] == [part, 1]
    assert [len(found) for found in uploads.cut([b"x" * (2 * part)])] == [part, part]
