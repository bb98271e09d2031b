"""Lists and lookups at 10,000 tenants × 10 versions: ``python benchmarks/bench_lists.py [sqlite postgres]``.

Fills an installation with ``populate.py``, serves it with one web process, and asks for one page after another, over
HTTP, one request at a time; each kind is asked for ``--requests`` times after five that do not count. All kinds are
gone through ``--rounds`` times, and of each the round counts that other programs disturbed least: the lowest p95.
Beside it, in a process of its own, what a first prediction asks the database. The claim: 95 of 100 take at most 25 ms,
pages of the console, which render templates, 100 ms. A database that cannot be started here is left out, which is said.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
from installation import HERE, Installation, serving, temporary_installation
from populate import LARGE
from report import print_table, write_results

sys.path.append(str(HERE.parent))  # the server is that of the tests

CLAIM_MS, CONSOLE_CLAIM_MS = 25.0, 100.0
_UNCOUNTED = 5
COLUMNS = ["database", "what", "p50 ms", "p95 ms", "claim"]
API = "/api/v1/tenants"
# each once in every request's own tenant where it names {tenant}, else in the large one
PAGES = {
    "tenants": API,
    "tenants, newest first": f"{API}?ordering=-created_at",
    "key and model of some tenant": f"{API}/{{tenant}}/models/churn",
    "key and versions of some tenant": f"{API}/{{tenant}}/models/churn/versions",
    "1,000 models": f"{API}/{LARGE}/models",
    "1,000 models, by prefix": f"{API}/{LARGE}/models?prefix=model-09",
    "1,000 models, by tag": f"{API}/{LARGE}/models?tags.team=south",
    "1,000 versions": f"{API}/{LARGE}/models/churn/versions",
    "1,000 versions, by metric": f"{API}/{LARGE}/models/churn/versions?ordering=-metrics.accuracy",
    "1,000 versions, by state": f"{API}/{LARGE}/models/churn/versions?state=ready",
    "2,000 jobs": f"{API}/{LARGE}/jobs",
    "2,000 jobs, by state": f"{API}/{LARGE}/jobs?state=failed",
    "2,000 jobs, by model": f"{API}/{LARGE}/jobs?model=churn",
    "keys": f"{API}/{LARGE}/keys",
}
CONSOLE = {
    "console: home of some tenant": "/console/tenants/{tenant}/",
    "console: home of 1,000 models": f"/console/tenants/{LARGE}/",
    "console: tenants of a person": "/console/tenants/",
    "console: 1,000 models": f"/console/tenants/{LARGE}/models/",
    "console: 1,000 versions": f"/console/tenants/{LARGE}/models/churn/",
    "console: 2,000 jobs": f"/console/tenants/{LARGE}/jobs/",
    "console: overview": "/console/operate/",
    "console: tenants": "/console/operate/tenants/",
    "console: people": "/console/operate/people/",
    "console: jobs of all": "/console/operate/jobs/",
    "console: nodes": "/console/operate/nodes/",
    "console: settings": "/console/operate/settings/",
    "console: audit trail": "/console/operate/audit/",
    "console: audit trail, one action": "/console/operate/audit/?action=tenant.update",
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("databases", nargs="*", metavar="DATABASE", help="of sqlite, postgres (both)")
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if unknown := set(options.databases) - {"sqlite", "postgres"}:
        parser.error(f"there is no database {', '.join(sorted(unknown))}; there are sqlite, postgres")
    rows: list[list[Any]] = []
    filled: dict[str, Any] = {}
    for database in options.databases or ("sqlite", "postgres"):
        measured, filled[database] = _measure(database, options)
        rows += measured
    print_table(COLUMNS, rows)
    late = [row for row in rows if row[-1] == "missed"]
    print(f"{len(late)} of {len(rows)} kinds miss the claim of {CLAIM_MS:g} ms, {CONSOLE_CLAIM_MS:g} ms for pages")
    facts = {
        "claim_ms": CLAIM_MS,
        "console_claim_ms": CONSOLE_CLAIM_MS,
        "filled": filled,
        "options": {"tenants": options.tenants, "requests": options.requests, "rounds": options.rounds},
    }
    print(write_results("lists", {"columns": COLUMNS, "rows": rows, **facts}))


def _measure(database: str, options: argparse.Namespace) -> tuple[list[list[Any]], dict[str, Any]]:
    with ExitStack() as stack:
        installation = stack.enter_context(temporary_installation())
        settings = {"MODELPOOL_SERVING_PRELOAD": "recent"}  # nothing was asked for: there are no files to load
        if database == "postgres":
            settings["MODELPOOL_DATABASE_URL"] = _start_postgres(installation, stack)
            installation.run("manage", "migrate", "--verbosity", "0", **settings)
        installation.run("store", "check", "default", **settings)  # marks the folder, while no row says it is not empty
        began = time.monotonic()
        facts = installation.run_script("populate.py", "--tenants", str(options.tenants), **settings)
        filled = {"seconds": round(time.monotonic() - began, 1), **facts["rows"]}
        print(f"{database}: {filled}", flush=True)
        rows = list(_lookups(installation, facts["keys"], settings))
        server = stack.enter_context(serving(installation, **settings))
        with httpx.Client(base_url=server.url, timeout=60) as client:
            rounds = [list(_lists(client, facts, options.requests)) for _ in range(options.rounds)]
        rows += [min(same, key=lambda row: float(row[2])) for same in zip(*rounds, strict=True)]
    return [[database, *row] for row in rows], filled


def _start_postgres(installation: Installation, stack: ExitStack) -> str:
    from tests.servers.postgres import start_postgres

    installation.home.parent.chmod(0o711)  # PostgreSQL refuses to run as root, and is then another user
    server = start_postgres(installation.home.parent / "postgres")
    stack.callback(server.stop)
    return server.url()


def _lookups(installation: Installation, keys: dict[str, str], settings: dict[str, str]) -> Iterator[list[Any]]:
    done = subprocess.run(
        [sys.executable, str(HERE / "resolve_routes.py")],
        env=installation.environment(**settings),
        input=json.dumps(keys),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for name, taken in json.loads(done.stdout.splitlines()[-1]).items():
        yield _row(f"lookup of {name}", taken[_UNCOUNTED:])


def _lists(client: httpx.Client, facts: dict[str, Any], requests: int) -> Iterator[list[Any]]:
    tenants = sorted(facts["keys"])

    def ask(path: str) -> None:
        tenant = random.choice(tenants)
        key = facts["keys"][tenant] if "{tenant}" in path else facts["operator"]
        _get(client, path.format(tenant=tenant), {"Authorization": f"Bearer {key}"})

    for name, path in PAGES.items():
        yield _row(name, _timed(lambda path=path: ask(path), requests))
    cookie = {"Cookie": facts["cookie"]}
    for name, path in CONSOLE.items():

        def look(path: str = path) -> None:
            _get(client, path.format(tenant=random.choice(tenants)), cookie)

        yield _row(name, _timed(look, requests // 5), claim_ms=CONSOLE_CLAIM_MS)


def _get(client: httpx.Client, path: str, headers: dict[str, str]) -> None:
    response = client.get(path, headers=headers)
    if response.status_code != 200:
        raise RuntimeError(f"GET {path}: {response.status_code} {response.text[:500]}")


def _timed(ask: Callable[[], None], count: int) -> list[float]:
    taken = []
    for _ in range(_UNCOUNTED + count):
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1000)
    return taken[_UNCOUNTED:]


def _row(name: str, taken: list[float], *, claim_ms: float = CLAIM_MS) -> list[Any]:
    taken = sorted(taken)
    p50, p95 = taken[len(taken) // 2], taken[min(len(taken) - 1, int(len(taken) * 0.95))]
    claim = "kept" if p95 <= claim_ms else "missed"
    print(f"  {name}: {p50:.2f} {p95:.2f} {claim}", flush=True)
    return [name, round(p50, 2), round(p95, 2), claim]


if __name__ == "__main__":
    main()
