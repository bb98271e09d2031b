"""A home folder of each test's own, so that a store holds nothing but what the test put there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpool import conf
from tests.sandbox import fresh_path
from tests.servers.seaweedfs import SeaweedFS, SeaweedFSUnavailable, serve_seaweedfs
from tests.servers.webdav import WebDAV, WebDAVUnavailable, apache, nginx, serve_webdav


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFS]:
    """A real S3 server with an empty bucket; whoever stops it starts it again."""
    try:
        with serve_seaweedfs(fresh_path("seaweedfs")) as running:
            yield running
    except SeaweedFSUnavailable as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have every server: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=[apache, nginx], ids=lambda write: write.__name__)
def webdav(request: pytest.FixtureRequest) -> Iterator[WebDAV]:
    """Each of the real WebDAV servers, with an empty folder."""
    try:
        with serve_webdav(fresh_path("webdav"), request.param) as running:
            yield running
    except WebDAVUnavailable as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have every server: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MODELPOOL_HOME", str(tmp_path / "home"))
    conf.settings.cache_clear()
    yield conf.home().prepare().path
    conf.settings.cache_clear()
