from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from modelpool.core.artifacts import CHUNK_BYTES
from modelpool.core.errors import ArtifactCorrupt
from modelpool.registry import services as registry
from modelpool.storage.services import get_store
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from tests.api.v1.wire import Wire, body_of, problem
from tests.api.v1.world import add_version

pytestmark = pytest.mark.django_db

DATA = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"the end"
DIGEST = hashlib.sha256(DATA).hexdigest()
PATH = "/models/big/versions/1/download"


@pytest.fixture
def stored(tenant: Tenant, actor: Actor) -> Path:
    """A version of three megabytes and a bit; returns where its file is."""
    version = add_version(tenant, DATA, actor=actor, name="big")
    path = get_store("default").local_path(version.artifact.key)
    assert path is not None
    return path


def test_the_file_comes_back_whole(scientist: Wire, stored: Path):
    response = scientist.get(PATH)
    assert response.status_code == 200
    assert hashlib.sha256(body_of(response)).hexdigest() == DIGEST
    assert response["ETag"] == f'"{DIGEST}"'
    assert response["Content-Length"] == str(len(DATA))
    assert response["Content-Disposition"].startswith('attachment; filename="acme-big-1.onnx"')
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]


def test_head_has_the_heads_and_no_body(scientist: Wire, stored: Path):
    response = scientist("HEAD", PATH)
    assert (response.status_code, response["Content-Length"]) == (200, str(len(DATA)))
    assert body_of(response) == b""


def test_an_interrupted_download_goes_on(scientist: Wire, stored: Path):
    first = body_of(scientist.get(PATH, headers={"Range": "bytes=0-999999"}))
    response = scientist.get(PATH, headers={"Range": "bytes=1000000-", "If-Range": f'"{DIGEST}"'})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes 1000000-{len(DATA) - 1}/{len(DATA)}"
    assert first + body_of(response) == DATA


def test_conditions(scientist: Wire, stored: Path):
    unchanged = scientist.get(PATH, headers={"If-None-Match": f'"{DIGEST}"'})
    assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", f'"{DIGEST}"')
    beyond = scientist.get(PATH, headers={"Range": f"bytes={len(DATA)}-"})
    assert (beyond.status_code, beyond["Content-Range"]) == (416, f"bytes */{len(DATA)}")
    assert problem(beyond)["code"] == "range_not_satisfiable"


def test_a_corrupt_file_never_arrives_whole(scientist: Wire, stored: Path):
    stored.chmod(0o600)
    with stored.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")
    response = scientist.get(PATH)
    received: list[bytes] = []
    with pytest.raises(ArtifactCorrupt):
        received.extend(response.streaming_content)
    response.close()
    assert 0 < sum(map(len, received)) < len(DATA)


def test_a_small_corrupt_file_is_503(scientist: Wire, tenant: Tenant, actor: Actor):
    version = add_version(tenant, b"small", actor=actor, name="big")
    path = get_store("default").local_path(version.artifact.key)
    assert path is not None
    path.chmod(0o600)
    path.write_bytes(b"smell")
    response = scientist.get(PATH)
    assert (response.status_code, problem(response)["code"]) == (503, "artifact_corrupt")
    path.unlink()
    assert (scientist.get(PATH).status_code, problem(scientist.get(PATH))["code"]) == (503, "object_missing")


def test_what_is_not_there(scientist: Wire, stored: Path, tenant: Tenant, actor: Actor):
    assert scientist.get(PATH + "?artifact=compiled").status_code == 404
    assert scientist.get(PATH + "?artifact=secret").status_code == 422
    registry.delete_version(registry.get_version(registry.get_model(tenant, "big"), 1), actor=actor)
    assert problem(scientist.get(PATH))["code"] == "version_not_found"
