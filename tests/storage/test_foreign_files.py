"""Files that others put into a store, by the tools they use: read where they are, and nowhere else."""

from __future__ import annotations

import uuid

import botocore.session
import httpx
import pytest

from modelpool.core.artifacts import ArtifactStore, ObjectMissing
from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.s3.client import Bucket
from modelpool.storage.backends.s3.store import S3Store
from modelpool.storage.backends.webdav.client import Share
from modelpool.storage.backends.webdav.store import WebDAVStore
from tests.servers.seaweedfs import BUCKET, KEY, SECRET, SeaweedFS
from tests.servers.webdav import PASSWORD, USER, WebDAV

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
DATA = bytes(range(256)) * 10_000


def read(store: ArtifactStore, path: str) -> bytes:
    with store.open_foreign(path) as pieces:
        return b"".join(pieces)


def test_an_object_that_somebody_else_put_into_a_bucket(seaweedfs: SeaweedFS) -> None:
    prefix = f"{uuid.uuid4().hex}/"
    access = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client = botocore.session.Session().create_client("s3", endpoint_url=seaweedfs.endpoint, **access)
    client.put_object(Bucket=BUCKET, Key=f"{prefix}imports/acme/2024/a.csv", Body=DATA)
    client.put_object(Bucket=BUCKET, Key="imports/acme/outside.csv", Body=b"of another")
    facts = {"access_key_id": KEY, "secret_access_key": SECRET, "region": "us-east-1", "prefix": prefix}
    store = S3Store(Bucket("bucket", BUCKET, endpoint=seaweedfs.endpoint, **facts))
    assert read(store, "imports/acme/2024/a.csv") == DATA
    for path in ("imports/acme/outside.csv", "imports/acme/2024", "imports/acme/2024/a.csv/b"):
        with pytest.raises(ObjectMissing):
            read(store, path)
    wrong = S3Store(Bucket("bucket", BUCKET, endpoint=seaweedfs.endpoint, **facts | {"secret_access_key": "wrong"}))
    with pytest.raises(StoreUnavailable):
        read(wrong, "imports/acme/2024/a.csv")


def test_a_file_that_somebody_else_put_into_a_share(webdav: WebDAV) -> None:
    url = webdav.make_folder()
    with httpx.Client(auth=(USER, PASSWORD)) as client:
        for folder in ("imports/", "imports/acme/"):
            assert client.request("MKCOL", url + folder).status_code == 201
        assert client.put(url + "imports/acme/a.csv", content=DATA).status_code == 201
    store = WebDAVStore(Share("dav", url=url, username=USER, password=PASSWORD))
    assert read(store, "imports/acme/a.csv") == DATA
    for path in ("imports/acme/b.csv", "imports/umbrella/a.csv"):
        with pytest.raises(ObjectMissing):
            read(store, path)
    wrong = WebDAVStore(Share("dav", url=url, username=USER, password="wrong"))
    with pytest.raises(StoreUnavailable):
        read(wrong, "imports/acme/a.csv")
