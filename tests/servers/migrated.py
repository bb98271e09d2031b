"""A database with all tables and no rows, made once in a test process: servers of tests begin with a copy of it.

What migrating does to a new home is tested where it is the subject (``tests/server/test_online_migrations.py``, the
commands on a home that was never served); everywhere else it would be two seconds of every test.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from tests.sandbox import fresh_path
from tests.servers.processes import inherited_environment

FILE = "modelpool.sqlite3"
"""Where a home has its database, unless its settings say otherwise."""


def bring_tables(home: Path) -> None:
    """Put a copy into a new home whose settings name no database of their own."""
    settings = home / "modelpool.toml"
    names_another = settings.exists() and "[database]" in settings.read_text(encoding="utf-8")
    if not names_another and not (home / FILE).exists():
        shutil.copyfile(_migrated(), home / FILE)


@lru_cache(maxsize=1)
def _migrated() -> Path:
    home = fresh_path("migrated")
    home.mkdir(mode=0o700)
    command = [sys.executable, "-P", "-m", "modelpool", "manage", "migrate", "--verbosity", "0"]
    environment = {**inherited_environment(), "MODELPOOL_HOME": str(home)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return home / FILE
