"""The servers of the remote stores, each behind a proxy that does wrong on demand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.site import Remote
from tests.sandbox import fresh_path
from tests.servers.faults import faulty_proxy
from tests.servers.seaweedfs import serve_seaweedfs
from tests.servers.webdav import apache, serve_webdav


@contextmanager
def serve_remote() -> Iterator[Remote]:
    """Start SeaweedFS and Apache; end them. Raises what they do where they are missing."""
    with (
        serve_seaweedfs(fresh_path("faults-seaweedfs")) as bucket,
        serve_webdav(fresh_path("faults-webdav"), apache) as dav,
        faulty_proxy(bucket.ports["s3"]) as bucket_proxy,
        faulty_proxy(dav.port) as dav_proxy,
    ):
        yield Remote(bucket, bucket_proxy, dav, dav_proxy)
