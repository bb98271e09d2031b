"""A process that sweeps and verifies when it is told to, as ``modelpool store`` does: commands take a second to start.

``python -m tests.faults.sweeper HOME`` reads a line ``sweep`` or ``verify`` and writes the report as a line of JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from django.db import close_old_connections

from modelpool.server.cli.homes import use_django


def main() -> None:
    """Work until standard input ends."""
    use_django(Path(sys.argv[1]))
    from modelpool.storage.services import sweep, verify

    for line in sys.stdin:
        close_old_connections()
        report = sweep(grace_s=0) if line.strip() == "sweep" else verify()
        sys.stdout.write(json.dumps(dataclasses.asdict(report)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
