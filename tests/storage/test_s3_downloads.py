"""Downloads that clients fetch from the bucket itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.db import transaction
from django.test import RequestFactory

from modelpool import conf
from modelpool.http.downloads import send_artifact
from modelpool.storage.models import Artifact
from modelpool.storage.replicas import copy_artifact
from modelpool.storage.services import get_store, mark_ready, read_artifact, store_artifact
from modelpool.tenants.models import Tenant
from tests.servers.seaweedfs import BUCKET, KEY, SECRET, SeaweedFS

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def bucket(seaweedfs: SeaweedFS, home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Configure the store ``bucket``; call it with what is to be different."""

    def configure(**changes: str) -> None:
        facts = {
            "kind": "s3", "bucket": BUCKET, "prefix": f"downloads-{os.getpid()}/", "endpoint": seaweedfs.endpoint,
            "region": "us-east-1", "access_key_id": KEY, "secret_access_key": SECRET, "redirect_downloads": "true",
        }  # fmt: skip
        for name, value in (facts | changes).items():
            monkeypatch.setenv(f"MODELPOOL_STORES_BUCKET_{name.upper()}", value)
        conf.settings.cache_clear()

    configure()
    yield configure
    conf.settings.cache_clear()


@pytest.fixture
def artifact(tenant: Tenant) -> Artifact:
    stored = store_artifact(tenant, chunks=[b"0123456789"], store="bucket", filename="m.onnx")
    with transaction.atomic():
        mark_ready(stored)
    return stored


def download(artifact: Artifact, method: str = "GET", **headers: str) -> Any:
    request = RequestFactory().generic(method, "/", headers=headers)
    return send_artifact(request, artifact, filename="acme-churn-1.onnx")


def test_the_client_is_sent_to_the_bucket(artifact: Artifact) -> None:
    answer = download(artifact)
    assert (answer.status_code, answer["ETag"]) == (307, f'"{artifact.sha256}"')
    assert answer["Cache-Control"] == "no-store, private"
    whole = httpx.get(answer["Location"])
    assert whole.content == b"0123456789"
    assert "acme-churn-1.onnx" in whole.headers["content-disposition"]
    part = httpx.get(answer["Location"], headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")


def test_what_needs_no_bytes_is_answered_at_once(artifact: Artifact) -> None:
    head = download(artifact, "HEAD")
    assert (head.status_code, head["Content-Length"]) == (200, "10")
    assert download(artifact, **{"If-None-Match": f'"{artifact.sha256}"'}).status_code == 304
    assert download(artifact, Range="bytes=90-").status_code == 416


def test_without_the_setting_the_file_comes_through_us(artifact: Artifact, bucket: Callable[..., None]) -> None:
    bucket(redirect_downloads="false")
    answer = download(artifact)
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content) == b"0123456789"


def test_a_file_that_is_only_in_its_second_copy_comes_through_us(artifact: Artifact) -> None:
    copy_artifact(artifact, to="rows")
    get_store("bucket").delete(artifact.key)
    answer = download(artifact)
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content) == b"0123456789"


def test_what_is_loaded_is_kept_on_the_local_disk(artifact: Artifact) -> None:
    assert read_artifact(artifact) == b"0123456789"
    (cached,) = (path for path in (conf.home().path / "cache").rglob("*") if path.is_file())
    assert (cached.name, cached.read_bytes()) == (artifact.sha256, b"0123456789")
    get_store("bucket").delete(artifact.key)
    assert read_artifact(artifact) == b"0123456789"
