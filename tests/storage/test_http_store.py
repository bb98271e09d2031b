"""The HTTP store on real WebDAV servers, and on one that does everything wrong."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import pytest

from modelpool.core.artifacts import ArtifactStore, ObjectMissing
from modelpool.core.errors import StoreUnavailable
from modelpool.core.testing.store_contract import PROCESS_CHECKS, STORE_CHECKS, Check
from modelpool.storage.backends.marker import marker_of
from modelpool.storage.backends.webdav.client import Share
from modelpool.storage.backends.webdav.store import WebDAVStore
from tests.children import MIB, in_child
from tests.servers.webdav import PASSWORD, USER, WebDAV

Connect = Callable[..., WebDAVStore]


@pytest.fixture
def server(webdav: WebDAV) -> WebDAV:
    return webdav


@pytest.fixture
def connect(server: WebDAV) -> Connect:
    """Return a function that gives new handles on the same empty folder."""
    url = server.make_folder()

    def make(**changes: Any) -> WebDAVStore:
        facts: dict[str, Any] = {"url": url, "username": USER, "password": PASSWORD}
        return WebDAVStore(Share("dav", **(facts | changes)))

    return make


def new_key() -> str:
    return f"{uuid.uuid4().hex}/{uuid.uuid4().hex}"


def read(store: ArtifactStore, key: str, **span: int) -> bytes:
    with store.open(key, **span) as pieces:
        return b"".join(pieces)


@pytest.mark.slow
@pytest.mark.timeout(180)
class TestRealServers:
    @pytest.mark.parametrize("check", [*STORE_CHECKS, *PROCESS_CHECKS], ids=lambda check: check.__name__)
    def test_contract(self, check: Check, connect: Connect) -> None:
        check(connect)

    def test_wrong_credentials_are_said(self, connect: Connect) -> None:
        for wrong in ({"password": "hunter2"}, {"username": None}, {"username": None, "bearer_token": "hunter2"}):
            with pytest.raises(StoreUnavailable, match=r"correct stores\.dav\.username") as refused:
                connect(**wrong).check()
            assert "hunter2" not in f"{refused.value} {refused.value.__notes__}"

    def test_a_folder_that_is_not_there_is_said(self, server: WebDAV, connect: Connect) -> None:
        with pytest.raises(StoreUnavailable, match=r"stores\.dav\.url"):
            connect(url=f"{server.url}nowhere/").check()

    def test_a_folder_with_other_things_is_no_store(self, server: WebDAV, connect: Connect) -> None:
        url = f"{connect()._files._connection.share.url}"
        assert httpx.put(f"{url}notes.txt", content=b"mine", auth=(USER, PASSWORD)).status_code == 201
        with pytest.raises(StoreUnavailable, match="no marker"):
            connect().check()

    def test_a_server_that_goes_and_comes_back(self, server: WebDAV, connect: Connect) -> None:
        store, key, lost = connect(), new_key(), new_key()
        data = os.urandom(3 * MIB)
        store.put(key, [data])

        def chunks() -> Iterator[bytes]:
            yield data
            server.stop()
            yield from [data] * 8

        try:
            with pytest.raises(StoreUnavailable):
                store.put(lost, chunks())
            with pytest.raises(StoreUnavailable, match="does not answer"):
                connect().check()
        finally:
            server.start()
        assert read(store, key) == data
        with pytest.raises(ObjectMissing):
            store.stat(lost)
        store.sweep_partial(older_than_s=-60)
        store.put(lost, [b"again"])
        assert [found.key for found in store.list()] == sorted([key, lost])

    def test_an_upload_that_was_killed_leaves_nothing_to_see(self, connect: Connect) -> None:
        connect().check()
        key = new_key()

        def chunks() -> Iterator[bytes]:
            yield os.urandom(2 * MIB)
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_child(lambda: connect().put(key, chunks())) == -signal.SIGKILL
        store = connect()
        assert list(store.list()) == []
        store.sweep_partial(older_than_s=-60)
        store.put(key, [b"again"])
        assert read(store, key) == b"again"


class Faulty(BaseHTTPRequestHandler):
    """Serves one file, and does what ``faults`` say, each once."""

    protocol_version = "HTTP/1.1"
    data: ClassVar[bytes] = os.urandom(300_000)
    faults: ClassVar[list[str]] = []
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(200, b"", {"Content-Length": str(len(self.data))})

    def do_GET(self) -> None:
        if self.path.endswith("store"):
            self._answer(200, marker_of("0" * 32))
            return
        start = int(self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")[0])
        fault = self.faults.pop(0) if self.faults else ""
        self.asked.append(fault or "good")
        if fault.isdecimal():
            self._answer(int(fault), b"")
        elif fault == "redirect":
            self._answer(302, b"", {"Location": "http://127.0.0.1:9/"})
        elif fault == "whole":
            self._answer(200, self.data)
        elif fault == "another part":
            self._answer(206, self.data[:10], {"Content-Range": f"bytes 0-9/{len(self.data)}"})
        elif fault == "cut":
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
            self.send_header("Content-Length", str(len(self.data) - start))
            self.end_headers()
            self.wfile.write(self.data[start : start + 1000])
            self.close_connection = True
        elif fault == "short":
            self._answer(206, self.data[start : start + 1000], {"Content-Range": f"bytes {start}-{start + 999}/*"})
        else:
            last = len(self.data) - 1
            self._answer(206, self.data[start:], {"Content-Range": f"bytes {start}-{last}/{len(self.data)}"})

    def do_PROPFIND(self) -> None:
        self._answer(207, self.faults.pop(0).encode())

    def do_DELETE(self) -> None:
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)), "Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT", **(headers or {})
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def faulty() -> Iterator[WebDAVStore]:
    Faulty.faults.clear()
    Faulty.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        store = WebDAVStore(Share("dav", f"http://127.0.0.1:{server.server_port}/", timeout_s=1.0))
        yield store
        assert store._files._connection._client is not None
        store._files._connection._client.close()
        server.shutdown()
        thread.join()


KEY = f"{'a' * 32}/{'b' * 32}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [[], ["503"], ["503", "502"], ["cut"], ["cut", "cut", "cut"], ["short", "cut"], ["whole"], ["cut", "whole"]],
)
def test_a_download_is_right_in_spite_of_faults(faulty: WebDAVStore, faults: list[str]) -> None:
    Faulty.faults[:] = faults
    assert read(faulty, KEY) == Faulty.data
    Faulty.faults[:] = faults
    assert read(faulty, KEY, start=100, stop=5000) == Faulty.data[100:5000]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (["503"] * 20, "status 503"),
        (["500"] * 20, "status 500"),
        (["cut"] * 20, "broke off"),
        (["another part"] * 20, "another part"),
        (["redirect"] * 20, r"correct stores\.dav\.url"),
        (["401"] * 20, "credentials"),
    ],
)
def test_one_that_cannot_be_right_ends(faulty: WebDAVStore, faults: list[str], words: str) -> None:
    Faulty.faults[:] = faults
    with pytest.raises(StoreUnavailable, match=words):
        read(faulty, KEY, start=1000)
    assert len(Faulty.asked) <= 12


@pytest.mark.parametrize(
    "document",
    [
        "no xml",
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><multistatus xmlns="DAV:">&a;</multistatus>',
        '<m xmlns="DAV:"><response><href>/a/</href><getcontentlength>x</getcontentlength></response></m>',
        "<multistatus",
    ],
)
def test_a_listing_that_is_none_is_refused(faulty: WebDAVStore, document: str) -> None:
    Faulty.faults[:] = [document]
    with pytest.raises(StoreUnavailable, match="is it WebDAV"):
        list(faulty.list())
