"""Lists and lookups walk indexes: no question reads a whole table, and none sorts where an index gives the order.

The rows are those of ``benchmarks/populate.py``, fewer; what a page takes with 10,000 tenants is measured by
``benchmarks/bench_lists.py``.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from modelpool.inference.resolution.lookup import find_route
from tests.api.v1.wire import Wire
from tests.house.source import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(180)]

LARGE = "tenant-00000"
TABLES = frozenset(
    f"modelpool_{name}"
    for name in (
        "tenant", "model", "model_version", "model_alias", "artifact", "training_job", "api_key", "audit_event",
        "activation", "dataset", "upload",
    )
)  # fmt: skip
"""Those that grow with customers, models and time."""
_PAGE = re.compile(r" LIMIT (?!1\b)")
_SMALL = ("SCAN modelpool_change", "SCAN CONSTANT", "SCAN (", "SCAN subquery")
LISTS = {
    "tenants": "",
    "tenants, newest first": "?ordering=-created_at",
    "models": f"/{LARGE}/models",
    "models by prefix": f"/{LARGE}/models?prefix=model-09",
    "models by name backwards": f"/{LARGE}/models?ordering=-name",
    "versions": f"/{LARGE}/models/churn/versions",
    "a version": f"/{LARGE}/models/churn/versions/7",
    "jobs": f"/{LARGE}/jobs",
    "jobs of a model": f"/{LARGE}/jobs?model=churn",
    "keys": f"/{LARGE}/keys",
    "audit": f"/{LARGE}/audit",
    "datasets": f"/{LARGE}/datasets",
    "keys of another": "/tenant-00007/keys",
    "a tenant": f"/{LARGE}",
}


@pytest.fixture(scope="module")
def large(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """Rows of 300 tenants, one of them large, for the tests of this module."""
    from django.db import transaction

    sys.path.append(str(ROOT / "benchmarks"))
    populate = import_module("populate").populate
    with django_db_blocker.unblock():
        try:
            with transaction.atomic():
                facts = populate(300, 2)
                with connection.cursor() as cursor:
                    cursor.execute("ANALYZE")
                yield facts
                transaction.set_rollback(True)
        finally:
            sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("name", LISTS)
def test_a_page_reads_no_table_from_end_to_end(large: dict[str, Any], name: str) -> None:
    client = Wire(large["operator"], base="/api/v1/tenants")
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(f"/api/v1/tenants{LISTS[name]}")
    assert answer.status_code == 200, answer.content
    assert _unindexed(asked) == []


@pytest.mark.parametrize("ordering", ["metrics.accuracy", "-metrics.accuracy"])
def test_a_page_by_metric_sorts_numbers_and_looks_its_rows_up(large: dict[str, Any], ordering: str) -> None:
    client = Wire(large["operator"], base="/api/v1/tenants")
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(f"/api/v1/tenants/{LARGE}/models/churn/versions?ordering={ordering}&page_size=20")
    found = [version["metrics"]["accuracy"] for version in answer.json()["results"]]
    assert found == sorted(found, reverse=ordering.startswith("-"))
    assert len(found) == 20
    [numbers] = [query["sql"] for query in asked.captured_queries if " LIMIT 21" in query["sql"]]
    assert '"signature"' not in numbers
    [rows] = [query["sql"] for query in asked.captured_queries if '"number" IN (' in query["sql"]]
    assert list(_problems(rows)) == []
    if connection.vendor == "sqlite":
        assert any("model_id=? AND number=?" in step for step in _sqlite_all(rows))


def test_what_a_first_prediction_asks_is_looked_up(large: dict[str, Any]) -> None:
    with CaptureQueriesContext(connection) as asked:
        # without closing the connection, which has the rows of these tests
        assert inspect.unwrap(find_route)((LARGE, "churn", None)).number == 1000
    assert asked.captured_queries
    assert _unindexed(asked) == []


def _unindexed(asked: CaptureQueriesContext) -> list[str]:
    return [problem for query in asked.captured_queries for problem in _problems(query["sql"])]


def _problems(statement: str) -> Iterator[str]:
    if not statement.lstrip().upper().startswith("SELECT"):
        return
    steps = _sqlite_steps(statement) if connection.vendor == "sqlite" else _postgres_steps(statement)
    for step in steps:
        yield f"{step}: {statement[:2000]}"


def _sqlite_all(statement: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
        return [row[3] for row in cursor.fetchall()]


def _sqlite_steps(statement: str) -> Iterator[str]:
    for detail in _sqlite_all(statement):
        is_whole = detail.startswith("SCAN") and " USING " not in detail and not detail.startswith(_SMALL)
        is_sorted = detail == "USE TEMP B-TREE FOR ORDER BY" and _PAGE.search(statement)  # else a page's own few rows
        if is_whole or is_sorted:
            yield detail


def _postgres_steps(statement: str) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # so few rows are read at once where that can be helped
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
        [(plan,)] = cursor.fetchall()
    todo = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
    while todo:
        node = todo.pop()
        todo += node.get("Plans", ())
        if node["Node Type"] == "Seq Scan" and node.get("Relation Name") in TABLES:
            yield f"{node['Node Type']} of {node['Relation Name']}"
