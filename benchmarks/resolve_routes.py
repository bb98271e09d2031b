"""Time what a first request asks the database: its key, and which version answers; prints milliseconds as JSON."""

from __future__ import annotations

import json
import os
import sys
import time

import django


def main() -> None:
    """Read tenants and their secrets from the standard input; each is asked about once."""
    django.setup()
    from modelpool.inference.resolution.lookup import find_route
    from modelpool.tenants.authentication import find_principal

    secrets = json.load(sys.stdin)
    taken: dict[str, list[float]] = {"key": [], "active version": []}
    for tenant, secret in secrets.items():
        for name, ask in (
            ("key", lambda secret=secret: find_principal(secret)),
            ("active version", lambda tenant=tenant: find_route((tenant, "churn", None))),
        ):
            began = time.perf_counter()
            ask()
            taken[name].append((time.perf_counter() - began) * 1000)
    print(json.dumps(taken))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelpool.server.settings")
    main()
