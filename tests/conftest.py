"""The environment of the tests: each test process has its own home folder and database, made before Django is set up.

``MODELPOOL_TEST_DATABASE=postgres`` runs everything on a real PostgreSQL instead of SQLite; ``-m database`` chooses the
tests to which that makes a difference.
"""

from __future__ import annotations

import os

import pytest

from tests.sandbox import sandbox

_WORKER_MEMORY_BYTES = 1536 * 2**20
_MOST_WORKERS = 8
_DATABASE_FIXTURES = frozenset({"db", "transactional_db", "database_url"})
_OF_THIS_PROCESS = ("DJANGO_SETTINGS_MODULE", "MODELPOOL_HOME", "MODELPOOL_DATABASE_URL")


def _prepare_environment() -> None:
    for name in [name for name in os.environ if name.startswith("MODELPOOL_") and "_TEST_" not in name]:
        del os.environ[name]  # the developer's own installation is none of the tests' business
    home = sandbox() / "home"
    os.environ["MODELPOOL_HOME"] = str(home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "modelpool.server.settings"
    scheme = "postgres://not-started/" if uses_postgres() else f"sqlite:///{home}/"
    os.environ["MODELPOOL_DATABASE_URL"] = f"{scheme}test_modelpool{'' if uses_postgres() else '.sqlite3'}"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # test processes are as many as cores already


def uses_postgres() -> bool:
    """Say whether Django's tests run on PostgreSQL."""
    chosen = os.environ.get("MODELPOOL_TEST_DATABASE", "sqlite")
    if chosen not in ("sqlite", "postgres"):
        raise pytest.UsageError(f"MODELPOOL_TEST_DATABASE is {chosen!r}; write sqlite or postgres")
    return chosen == "postgres"


_prepare_environment()

import django  # noqa: E402  (reads the environment just made)

django.setup()

pytest_plugins = ("tests.fixtures.databases", "tests.fixtures.tenants", "tests.fixtures.data_plane")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests that read or write a database, so that they can be run on the other kind as well."""
    for item in items:
        if item.get_closest_marker("django_db") or _DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.database)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many processes as cores this process may use, fewer where memory is short."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), pages // _WORKER_MEMORY_BYTES, _MOST_WORKERS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Do not hand down what each worker makes for itself."""
    for name in _OF_THIS_PROCESS:
        os.environ.pop(name, None)
