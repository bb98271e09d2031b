"""A home folder of each test's own, so that a store holds nothing but what the test put there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpool import conf


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MODELPOOL_HOME", str(tmp_path / "home"))
    conf.settings.cache_clear()
    yield conf.home().prepare().path
    conf.settings.cache_clear()
