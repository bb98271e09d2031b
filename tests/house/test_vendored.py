"""Files of other projects are those that were published."""

from __future__ import annotations

import hashlib
import re

from tests.house.source import ROOT

VENDOR = ROOT / "src/modelpool/console/static/console/vendor"


def test_vendored_files_are_as_listed():
    listed = dict(re.findall(r"^\| (\S+) \|.*`([0-9a-f]{64})`", (VENDOR / "README.md").read_text(), re.MULTILINE))
    code = [path for path in VENDOR.rglob("*") if path.suffix in (".js", ".css")]
    assert {str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest() for path in code} == listed
