"""Resumable uploads whose requests go to two nodes in turn, on one PostgreSQL and one folder of files."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.fixtures.onnx_files import adds
from tests.sandbox import fresh_path
from tests.server.tus_site import PIECE, TUS, Site, run_command
from tests.servers.modelpool import serve_modelpool
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(240)]

_PART = 65536
_SETTINGS = """
[uploads]
part_size = "64 KiB"
[stores.default]
kind = "filesystem"
path = "{store}"
[database]
url = "{database}"
"""


@pytest.fixture(scope="module")
def nodes(postgres_server) -> Iterator[tuple[Site, Site]]:
    folder = fresh_path("uploads-on-two-nodes")
    database = postgres_server.create_database(f"uploads_{uuid.uuid4().hex[:12]}")
    text = _SETTINGS.format(store=folder / "store", database=database)
    homes = [folder / "one", folder / "two"]
    key, sites = "", []
    with ExitStack() as stack:
        for home in homes:
            home.mkdir(mode=0o700, parents=True)
            (home / "modelpool.toml").write_text(text)
            if sites:
                _share_secrets(homes[0], home)
            served = stack.enter_context(serve_modelpool(home, "--workers", "1", "--job-workers", "0"))
            key = key or run_command(home, "key", "create", "--tenant", "default", "--role", "scientist")["key"]
            sites.append(Site(served.url, home, key, served.process.pid))
        yield sites[0], sites[1]


def _share_secrets(source: Path, target: Path) -> None:
    """The second node begins with what the first one made, as the page on two nodes has it."""
    shutil.copy2(source / "secret_key", target / "secret_key")
    if (source / "keys").exists():
        shutil.copytree(source / "keys", target / "keys")


def _at_once(*patches: threading.Thread) -> None:
    for thread in patches:
        thread.start()
    for thread in patches:
        thread.join()


def test_pieces_that_go_to_the_nodes_in_turn_make_one_file(nodes: tuple[Site, Site]):
    data = os.urandom(10 * _PART + 77)
    step = _PART + _PART // 2  # each piece is a whole part and some of another one
    upload = nodes[1].begin(len(data), filename="x.csv")
    for number, offset in enumerate(range(0, len(data), step)):
        here, there = nodes[number % 2], nodes[1 - number % 2]
        assert there.offset(upload) == offset
        answer = here.patch(upload, offset, data[offset : offset + step])
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(min(offset + step, len(data))))
    with nodes[0].api as api, nodes[1].api as other:
        made = api.post("/datasets", json={"upload": upload.rpartition("/")[2]})
        assert made.status_code == 201, made.text
        assert other.get(f"/datasets/{made.json()['id']}/download").content == data
        assert other.head(upload, headers=TUS).status_code == 404


def test_a_version_is_made_at_one_node_of_what_the_other_one_took_and_both_answer_with_it(nodes: tuple[Site, Site]):
    model = adds(2.0)
    upload = nodes[0].begin(len(model), filename="adds.onnx")
    half = len(model) // 2
    assert nodes[0].patch(upload, 0, model[:half]).status_code == 204
    assert nodes[1].patch(upload, half, model[half:]).status_code == 204
    body = {"upload": upload.rpartition("/")[2], "activate": "always", "sha256": hashlib.sha256(model).hexdigest()}
    with nodes[1].api as api:
        made = api.post("/models/of-two/versions", json=body)
    assert made.status_code == 201, made.text
    answers = []
    for node in nodes:
        with node.api as api:
            answers.append(api.post("/models/of-two/predict", json={"instances": [[1.0]]}))
    assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
    assert [answer.json()["predictions"] for answer in answers] == [[3.0], [3.0]]


def test_of_pieces_at_once_to_both_nodes_one_is_kept(nodes: tuple[Site, Site]):
    upload = nodes[0].begin(1000, filename="x.csv")
    statuses: dict[bytes, int] = {}

    def send(node: Site, body: bytes) -> None:
        statuses[body] = node.patch(upload, 0, body).status_code

    bodies = [bytes([number]) * 1000 for number in range(8)]
    _at_once(*(threading.Thread(target=send, args=(nodes[n % 2], body)) for n, body in enumerate(bodies)))
    assert sorted(statuses.values()) == [204] + [409] * 7
    [kept] = [body for body, status in statuses.items() if status == 204]
    with nodes[1].api as api:
        made = api.post("/datasets", json={"upload": upload.rpartition("/")[2]})
        assert made.json()["sha256"] == hashlib.sha256(kept).hexdigest()


def test_a_piece_that_broke_off_at_one_node_goes_on_at_the_other(nodes: tuple[Site, Site]):
    data = os.urandom(5 * _PART)
    upload = nodes[0].begin(len(data), filename="x.csv")
    came = 2 * _PART + 1000
    nodes[0].cut(upload, 0, data[:came], declared=len(data)).close()
    wait_until(lambda: nodes[1].offset(upload) == came, "what came is kept")
    assert nodes[1].patch(upload, came, data[came:]).status_code == 204
    with nodes[0].api as api:
        made = api.post("/datasets", json={"upload": upload.rpartition("/")[2]})
        assert made.json()["sha256"] == hashlib.sha256(data).hexdigest()


def test_an_upload_is_used_once_also_at_both_nodes_at_once(nodes: tuple[Site, Site]):
    data = b"a,b\n" + b"1,2\n" * 50_000
    upload = nodes[0].begin(len(data), filename="t.csv")
    assert nodes[0].patch(upload, 0, data).status_code == 204
    codes: list[int] = []

    def use(node: Site) -> None:
        with node.api as api:
            codes.append(api.post("/datasets", json={"upload": upload.rpartition("/")[2], "name": "once"}).status_code)

    _at_once(*(threading.Thread(target=use, args=(nodes[number % 2],)) for number in range(4)))
    assert sorted(codes) == [201, 404, 404, 404]


def test_giving_up_at_one_node_ends_it_at_the_other(nodes: tuple[Site, Site]):
    upload = nodes[0].begin(1000)
    assert nodes[0].patch(upload, 0, b"1" * 500).status_code == 204
    with nodes[1].api as api:
        assert api.delete(upload, headers=TUS).status_code == 204
    assert nodes[0].patch(upload, 500, b"1" * 500).status_code == 404


def test_a_creation_that_is_repeated_at_the_other_node_tells_where_the_upload_stands(nodes: tuple[Site, Site]):
    head = {**PIECE, "Upload-Length": "10", "Idempotency-Key": os.urandom(8).hex()}
    first = _create(nodes[0], head)
    assert nodes[1].patch(_path_of(first), 5, b"678").status_code == 204
    again = _create(nodes[1], head)
    assert _path_of(again) == _path_of(first)
    assert (again.headers["upload-offset"], again.json()["offset"]) == ("8", 8)
    assert again.headers["idempotency-replayed"] == "true"
    assert nodes[0].patch(_path_of(first), 8, b"90").status_code == 204
    with nodes[0].api as api:
        assert api.delete(_path_of(first), headers=TUS).status_code == 204
    gone = _create(nodes[1], head)
    assert (_path_of(gone), gone.headers.get("upload-offset")) == (_path_of(first), None)


def _create(node: Site, head: dict[str, str]) -> httpx.Response:
    with node.api as api:
        answer = api.post("/uploads", content=b"12345", headers=head)
    assert answer.status_code == 201, answer.text
    return answer


def _path_of(answer: httpx.Response) -> str:
    return "/uploads/" + answer.headers["location"].rpartition("/")[2]
