"""The real servers of the fault tests, each behind a proxy that does wrong on demand."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.site import Remote
from tests.sandbox import fresh_path
from tests.servers.faults import FaultyProxy, faulty_proxy
from tests.servers.seaweedfs import SeaweedFS, SeaweedFSUnavailable, serve_seaweedfs
from tests.servers.webdav import WebDAV, WebDAVUnavailable, apache, serve_webdav


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[SeaweedFS]:
    """A real S3 server; whoever stops it starts it again."""
    try:
        with serve_seaweedfs(fresh_path("faults-seaweedfs")) as running:
            yield running
    except SeaweedFSUnavailable as error:
        missing(error)


@pytest.fixture(scope="session")
def dav_server() -> Iterator[WebDAV]:
    """A real WebDAV server; whoever stops it starts it again."""
    try:
        with serve_webdav(fresh_path("faults-webdav"), apache) as running:
            yield running
    except WebDAVUnavailable as error:
        missing(error)


@pytest.fixture(scope="session")
def bucket_proxy(bucket_server: SeaweedFS) -> Iterator[FaultyProxy]:
    """The proxy before the bucket."""
    with faulty_proxy(bucket_server.ports["s3"]) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def dav_proxy(dav_server: WebDAV) -> Iterator[FaultyProxy]:
    """The proxy before the folder."""
    with faulty_proxy(dav_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def remote(bucket_server: SeaweedFS, bucket_proxy: FaultyProxy, dav_server: WebDAV, dav_proxy: FaultyProxy) -> Remote:
    """The servers of the remote stores, for whole installations."""
    return Remote(bucket_server, bucket_proxy, dav_server, dav_proxy)


def missing(error: Exception) -> None:
    """Skip where a server is missing; in CI that is a failure."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"CI must have every server: {error}", pytrace=False)
    pytest.skip(str(error))
