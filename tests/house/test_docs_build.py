"""The documentation builds, and no link inside it is broken."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.house.source import ROOT


@pytest.mark.slow
def test_documentation_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", tmp_path / "trees"]
    done = subprocess.run(
        [*command, ROOT / "docs", tmp_path / "html"],
        env={**os.environ, "MODELPOOL_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "reference" / "settings.html").is_file()
