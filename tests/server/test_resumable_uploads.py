"""Resumable uploads against real servers: a client that people have, broken connections, killed servers, two nodes."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import signal
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.server.processes import children_running
from tests.server.tus_site import PIECE, TUS, Site, run_command, sha256_header
from tests.servers.modelpool import serve_modelpool
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_PART = 65536
_SETTINGS = """
[uploads]
part_size = "64 KiB"
"""


def _table(size: int) -> bytes:
    line = b"1.25,2.5,yes\n"
    return (b"a,b,label\n" + line * (size // len(line) + 1))[:size].rpartition(b"\n")[0] + b"\n"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    home = fresh_path("resumable-uploads")
    home.mkdir(mode=0o700)
    (home / "modelpool.toml").write_text(_SETTINGS)
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as served:
        key = run_command(home, "key", "create", "--tenant", "default", "--role", "scientist")["key"]
        yield Site(served.url, home, key, served.process.pid)


def test_the_client_that_people_have_uploads_a_dataset(site: Site):
    data = _table(300_000)
    names = {"filename": "table.csv"}
    uploader = site.tus().uploader(file_stream=io.BytesIO(data), chunk_size=100_000, metadata=names)
    uploader.upload_chunk()
    resumed = site.tus().uploader(file_stream=io.BytesIO(data), url=uploader.url)
    assert resumed.get_offset() == 100_000
    resumed.offset = resumed.get_offset()
    resumed.upload()
    upload = str(resumed.url).rpartition("/")[2]
    body = {"upload": upload, "name": "large", "sha256": hashlib.sha256(data).hexdigest()}
    with site.api as api:
        first = api.post("/datasets", json=body, headers={"Idempotency-Key": upload})
        again = api.post("/datasets", json=body, headers={"Idempotency-Key": upload})
        assert first.status_code == 201, first.text
        assert first.json() == again.json()
        assert first.json()["sha256"] == hashlib.sha256(data).hexdigest()
        assert api.get(f"/datasets/{first.json()['id']}/download").content == data
        assert api.post("/datasets", json=body).json()["code"] == "upload_not_found"
        assert api.head(f"/uploads/{upload}", headers=TUS).status_code == 404


def test_an_upload_becomes_a_version(site: Site):
    model = adds(1.0)
    upload = site.begin(len(model), filename="adds.onnx")
    assert site.patch(upload, 0, model, **sha256_header(model)).status_code == 204
    with site.api as api:
        body = {"upload": upload.rpartition("/")[2], "metrics": {"accuracy": 0.5}}
        answer = api.post("/models/resumed/versions", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["sha256"] == hashlib.sha256(model).hexdigest()
        assert answer.json()["metrics"] == {"accuracy": 0.5}


def test_what_came_of_a_piece_that_broke_off_is_kept(site: Site):
    data = os.urandom(5 * _PART)
    upload = site.begin(len(data))
    site.cut(upload, 0, data[: 2 * _PART + 1000], declared=len(data)).close()
    wait_until(lambda: site.offset(upload) == 2 * _PART + 1000, "what came is kept")
    answer = site.patch(upload, 2 * _PART + 1000, data[2 * _PART + 1000 :])
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(data)))
    with site.api as api:
        made = api.post("/datasets", json={"upload": upload.rpartition("/")[2], "filename": "x.csv"})
        assert made.json()["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_killed_server_keeps_the_parts_that_were_whole(site: Site):
    data = os.urandom(6 * _PART)
    upload = site.begin(len(data))
    connection = site.cut(upload, 0, data[: 3 * _PART + 500], declared=len(data))
    wait_until(lambda: site.offset(upload) >= 2 * _PART, "parts are kept while the request goes on")
    for pid in children_running(site.pid, "modelpool.server.web"):
        os.kill(pid, signal.SIGKILL)
    connection.close()
    wait_until(lambda: _answers(site), "the server is back", timeout_s=60)
    offset = site.offset(upload)
    assert offset >= 2 * _PART
    wait_until(lambda: site.patch(upload, offset, data[offset:]).status_code == 204, "it goes on")
    with site.api as api:
        made = api.post("/datasets", json={"upload": upload.rpartition("/")[2], "filename": "x.csv"})
        assert made.json()["sha256"] == hashlib.sha256(data).hexdigest()


def test_of_many_pieces_at_once_one_is_kept(site: Site):
    bodies = [bytes([number]) * 1000 for number in range(8)]
    upload = site.begin(1000)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda body=body: statuses.append(site.patch(upload, 0, body).status_code))  # type: ignore[misc]
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [204] + [409] * 7
    assert site.offset(upload) == 1000


def test_an_upload_is_used_once_also_by_many_at_once(site: Site):
    data = _table(200_000)
    upload = site.begin(len(data), filename="t.csv")
    assert site.patch(upload, 0, data).status_code == 204
    codes: list[int] = []

    def use() -> None:
        with site.api as api:
            codes.append(api.post("/datasets", json={"upload": upload.rpartition("/")[2], "name": "once"}).status_code)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201, 404, 404, 404]
    with site.api as api:
        assert len(api.get("/datasets", params={"name": "once"}).json()["results"]) == 1


def test_the_answers_of_the_protocol(site: Site):
    upload = site.begin(10, filename="a.csv")
    with site.api as api:
        options = api.options("/uploads")
        assert (options.status_code, options.headers["tus-version"]) == (204, "1.0.0")
        assert options.headers["tus-extension"] == "creation,creation-with-upload,termination,expiration,checksum"
        assert int(options.headers["tus-max-size"]) == 2 * 2**30
        head = api.head(upload, headers=TUS)
        assert (head.headers["upload-length"], head.headers["upload-offset"]) == ("10", "0")
        assert head.headers["cache-control"] == "no-store"
        assert head.headers["tus-resumable"] == "1.0.0"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", head.headers["upload-expires"])
        assert head.headers["upload-metadata"] == "filename YS5jc3Y="
        old = api.head(upload, headers={"Tus-Resumable": "0.2.2"})
        assert (old.status_code, old.headers["tus-version"]) == (412, "1.0.0")
    assert site.patch(upload, 5, b"12345").json()["code"] == "offset_mismatch"
    assert site.patch(upload, 0, b"1", **{"Content-Type": "text/plain"}).status_code == 415
    assert site.patch(upload, 0, b"12345678901").status_code == 413
    wrong = site.patch(upload, 0, b"12345", **sha256_header(b"other"))
    assert (wrong.status_code, wrong.json()["code"], site.offset(upload)) == (460, "checksum_mismatch", 0)
    with site.api as api:
        overridden = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
        assert api.post(upload, content=b"12345", headers=overridden).headers["upload-offset"] == "5"
        body = {"upload": upload.rpartition("/")[2]}
        assert api.post("/datasets", json=body).json()["code"] == "upload_unfinished"
        assert api.post(upload, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
        assert api.head(upload, headers=TUS).status_code == 404


def test_an_upload_can_begin_with_its_first_bytes(site: Site):
    with site.api as api:
        answer = api.post("/uploads", content=b"12345", headers={**PIECE, "Upload-Length": "10"})
        assert (answer.status_code, answer.headers["upload-offset"]) == (201, "5")


def test_an_upload_that_a_key_names_outlives_its_first_bytes(site: Site):
    wrong = "sha256 " + base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    head = {**PIECE, "Upload-Length": "10", "Upload-Checksum": wrong, "Idempotency-Key": os.urandom(8).hex()}
    with site.api as api:
        refused = api.post("/uploads", content=b"12345", headers=head)
        again = api.post("/uploads", content=b"12345", headers=head)
    assert (refused.status_code, again.status_code) == (460, 201)
    upload = "/uploads/" + again.headers["location"].rpartition("/")[2]
    assert site.offset(upload) == 0
    assert site.patch(upload, 0, b"1234567890").status_code == 204


@pytest.mark.parametrize(
    "metadata",
    [
        "filename !!!",
        "a YQ==,a YQ==",
        "k\x01 YQ==",
        "a " + "A" * 5000,
        ",".join(f"k{n}" for n in range(40)),
        "a YQ==,,b YQ==",
    ],
)
def test_hostile_metadata_is_refused(site: Site, metadata: str):
    with site.api as api:
        answer = api.post("/uploads", headers={**TUS, "Upload-Length": "1", "Upload-Metadata": metadata})
    assert answer.status_code == 400


def test_a_name_is_only_a_name(site: Site):
    upload = site.begin(1, filename="../../etc/passwd\x00\n.csv")
    with site.api as api:
        assert api.get(upload).json()["filename"] == "passwd.csv"


def _answers(site: Site) -> bool:
    try:
        return httpx.get(f"{site.url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
