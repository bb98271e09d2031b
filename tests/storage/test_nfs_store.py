"""The file-system store on a real NFS server with two clients, each with caches of its own."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

import pytest

from tests.sandbox import fresh_path
from tests.servers.nfs import NFSUnavailable, run_with_nfs
from tests.storage.nfs_guest import NAMES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """Boot one guest, and return what it said of each check."""
    try:
        lines = run_with_nfs(fresh_path("nfs"), "tests.storage.nfs_guest")
    except NFSUnavailable as error:
        is_possible = platform.machine() == "x86_64"  # User Mode Linux is for no others
        if is_possible and os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have every server: {error}", pytrace=False)
        pytest.skip(str(error))
    said = [json.loads(line) for line in lines if line.startswith('{"check":')]
    return {each["check"]: each for each in said}


def test_on_two_nfs_clients(found: dict[str, dict[str, Any]]) -> None:
    """All in one test: several of a module may be divided among processes, which would boot a guest each."""
    assert list(found) == NAMES
    failed = [f"{name}\n{each['failure']}" for name, each in found.items() if each["failure"]]
    assert not failed, "\n\n".join(failed)
