"""Datasets from the operator's databases and stores: fetched by a worker, bound, bounded, and of one tenant only."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import timezone
from msgspec import structs

from modelpool import conf
from modelpool.conf import SqlSourceSettings, StoreSourceSettings, decode_settings
from modelpool.core.errors import ConfigurationError, Conflict, Invalid, QuotaExceeded
from modelpool.storage.services import copy_to_file, get_store
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training.fetching import fetch_next
from modelpool.training.forkserver import ForkServer
from modelpool.training.models import Dataset
from modelpool.training.profiling import profile_next, timeout_s
from modelpool.training.queries import to_psycopg
from modelpool.training.requests import check_has_file
from modelpool.training.sources import request_dataset, sources_of
from modelpool.training.tables import read_table
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.django_db
QUERY = "select amount, day, 'a:b' as text from sales where owner = :tenant and day >= :since order by amount"
ROWS = [("acme", 1.5, "2024-01-01"), ("acme", 2.0, "2024-02-01"), ("umbrella", 9.0, "2024-03-01")]


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with closing(ForkServer(is_warm=False)) as server:
        yield server


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(**sources: conf.SourceSettings) -> None:
        now = conf.settings()
        changed = structs.replace(now, datasets=structs.replace(now.datasets, sources=sources))
        monkeypatch.setattr(conf, "settings", lambda: changed)

    return use


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    path = tmp_path / "sales.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table sales (owner text, amount real, day text)")
        connection.executemany("insert into sales values (?, ?, ?)", ROWS)
    return f"sqlite:///{path}"


def fetched(tenant: Tenant, forks: ForkServer, actor: Actor, **request: Any) -> Dataset:
    dataset = request_dataset(tenant, source="sales", actor=actor, **request)
    with pytest.raises(Conflict, match="being fetched"):
        check_has_file(dataset)
    assert fetch_next(forks)
    dataset.refresh_from_db()
    return dataset


def amounts(dataset: Dataset, folder: Path) -> list[float]:
    assert dataset.artifact is not None
    copy_to_file(dataset.artifact, folder / "copy")
    return list(read_table(folder / "copy", format="parquet").frame["amount"])


def check_query(url: str, use: Any, tenant: Tenant, forks: ForkServer, actor: Actor, folder: Path) -> None:
    use(sales=SqlSourceSettings(url=url, query=QUERY, parameters=("since",), tenants=("acme",)))
    dataset = fetched(tenant, forks, actor, parameters={"since": "2024-01-15"})
    assert (dataset.state, dataset.warning) == ("ready", "")
    assert amounts(dataset, folder) == [2.0]
    assert profile_next(forks)
    dataset.refresh_from_db()
    assert [column["dtype"] for column in dataset.columns] == ["float64", "datetime", "string"]
    assert dataset.preview["rows"][0][2] == "a:b"
    assert url not in str(dataset.origin)


def test_a_query_of_sqlite(sqlite_url, use, tenant, forks, actor, tmp_path):
    check_query(sqlite_url, use, tenant, forks, actor, tmp_path)


@pytest.mark.slow
def test_a_query_of_postgresql(postgres_server: PostgresServer, use, tenant, forks, actor, tmp_path):
    url = postgres_server.create_database(f"sales_{tenant.pk.hex[:12]}")
    with psycopg.connect(url) as connection:
        connection.execute("create table sales (owner text, amount numeric, day date)")
        connection.cursor().executemany("insert into sales values (%s, %s, %s)", ROWS)
    check_query(url, use, tenant, forks, actor, tmp_path)
    wrong = fetched(tenant, forks, actor, parameters={"since": "'; drop table sales; --"})
    assert (wrong.state, wrong.columns) == ("failed", [])
    assert "invalid input syntax" in wrong.warning
    writing = "with gone as (delete from sales returning amount) select amount, :tenant as t from gone"
    use(sales=SqlSourceSettings(url=url, query=writing, tenants=("*",)))
    assert "refused" in fetched(tenant, forks, actor).warning
    slow = "select pg_sleep(20)::text as t, :tenant as tenant"
    use(sales=SqlSourceSettings(url=url, query=slow, tenants=("*",), timeout=conf.Duration(0.5)))
    assert "took longer" in fetched(tenant, forks, actor).warning
    use(sales=SqlSourceSettings(url="postgresql://me:secret@127.0.0.1:1/none", query=slow, tenants=("*",)))
    gone = fetched(tenant, forks, actor)
    assert gone.state == "failed"
    assert not {"127.0.0.1", "secret"} & set(gone.warning.replace(":", " ").split())
    with psycopg.connect(url) as connection:
        assert connection.execute("select count(*) from sales").fetchone() == (3,)


def test_a_query_cannot_write_and_is_not_cut(sqlite_url, use, tenant, forks, actor):
    use(sales=SqlSourceSettings(url=sqlite_url, query="delete from sales returning amount", tenants=("*",)))
    assert fetched(tenant, forks, actor).state == "failed"
    everything = "select amount from sales"
    use(sales=SqlSourceSettings(url=sqlite_url, query=everything, tenants=("*",), max_rows=2))
    assert "more than 2 rows" in fetched(tenant, forks, actor).warning
    use(sales=SqlSourceSettings(url=sqlite_url, query=everything + " where 0", tenants=("*",)))
    assert "no rows" in fetched(tenant, forks, actor).warning


def test_an_object_of_a_store_is_copied(use, tenant, forks, actor, tmp_path, monkeypatch):
    use(sales=StoreSourceSettings(store="default", tenants=("*",)))
    root = Path(get_store("default").store._root.path)  # type: ignore[attr-defined]
    get_store("default").check()
    for name in (tenant.name, "umbrella"):
        folder = root / "imports" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.csv").write_text(f"owner\n{name}\n")
    (root / "imports" / tenant.name / "link.csv").symlink_to(root / "imports" / "umbrella" / "a.csv")
    dataset = fetched(tenant, forks, actor, path="a.csv")
    assert (dataset.state, dataset.format) == ("ready", "csv")
    (root / "imports" / tenant.name / "a.csv").unlink()
    assert dataset.artifact is not None
    copy_to_file(dataset.artifact, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == f"owner\n{tenant.name}\n"
    assert "no object" in fetched(tenant, forks, actor, path="b.csv").warning
    assert fetched(tenant, forks, actor, path="link.csv").state == "failed"
    (root / "imports" / tenant.name / "folder").symlink_to(root / "imports" / "umbrella")
    for path in ("folder/a.csv", "link.csv/a.csv", "folder", "x" * 300 + ".csv"):
        assert "no object" in fetched(tenant, forks, actor, path=path).warning


@pytest.mark.parametrize(
    "path", ["", "../umbrella/a.csv", "/etc/passwd", "a//b", "a/../../b", ".hidden", "a b", "a%2e"]
)
def test_paths_stay_in_the_tenants_folder(use, tenant, actor, path):
    use(sales=StoreSourceSettings(store="default", tenants=("*",)))
    with pytest.raises(Invalid, match="object"):
        request_dataset(tenant, source="sales", actor=actor, path=path)


def test_sources_are_for_whom_the_operator_names(use, tenant, actor, sqlite_url):
    source = SqlSourceSettings(url=sqlite_url, query=QUERY, parameters=("since",), tenants=("umbrella",))
    use(sales=source, nobody=structs.replace(source, tenants=()), mine=structs.replace(source, tenants=(tenant.name,)))
    assert list(sources_of(tenant)) == ["mine"]
    with pytest.raises(Invalid, match="those are: mine"):
        request_dataset(tenant, source="sales", actor=actor, parameters={"since": "x"})
    for parameters in ({}, {"since": ["x"]}, {"since": "x", "tenant": "umbrella"}):
        with pytest.raises(Invalid, match=r"parameters\."):
            request_dataset(tenant, source="mine", actor=actor, parameters=parameters)


def test_parameters_are_found_only_where_they_are_meant():
    query = """select ':no', "a:b", x::date, 5 % 2 -- :no\n from t /* :no */ where d >= :since"""
    expected = """select ':no', "a:b", x::date, 5 %% 2 -- :no\n from t /* :no */ where d >= %(since)s"""
    assert to_psycopg(query) == expected


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"kind": "sql", "url": "mysql://x", "query": "select 1"}, "url"),
        ({"kind": "sql", "url": "sqlite:///x", "query": "select 1", "parameters": ["tenant"]}, "parameters"),
        ({"kind": "store", "store": "default", "prefix": "all/", "tenants": ["*"]}, "prefix"),
        ({"kind": "store", "store": "default", "prefix": "../{tenant}/", "tenants": ["a"]}, "prefix"),
    ],
)
def test_unsafe_sources_are_refused_at_start(source: dict[str, Any], key: str):
    with pytest.raises(ConfigurationError, match=key):
        decode_settings({"datasets": {"sources": {"s": source}}}, source="file")


def test_a_stopped_worker_leaves_its_dataset_to_another(sqlite_url, use, tenant, actor, make_dataset, forks):
    use(sales=SqlSourceSettings(url=sqlite_url, query="select amount from sales", tenants=("*",)))
    given, asked = make_dataset(tenant), request_dataset(tenant, source="sales", actor=actor)
    stopped = ForkServer(is_warm=False)
    stopped.close()
    assert not fetch_next(stopped)
    assert not profile_next(stopped)
    for dataset in (given, asked):
        dataset.refresh_from_db()
        assert (dataset.columns, dataset.warning) == (None, "")
        assert dataset.profile_until > timezone.now()
    Dataset.objects.for_tenant(tenant).update(profile_until=None)
    assert fetch_next(forks)
    while profile_next(forks):
        pass
    for dataset in (given, asked):
        dataset.refresh_from_db()
        assert (dataset.state, len(dataset.columns)) == ("ready", 2 if dataset == given else 1)


def test_a_worker_that_is_stopped_in_the_middle_of_a_query_leaves_it_to_another(sqlite_url, use, tenant, actor):
    endless = "with recursive n(x) as (select 1 union all select x + 1 from n) select count(*) as c from n"
    use(sales=SqlSourceSettings(url=sqlite_url, query=endless, tenants=("*",), timeout=conf.Duration(60)))
    dataset = request_dataset(tenant, source="sales", actor=actor)
    forks = ForkServer(is_warm=False)
    child_is_asked = threading.Event()

    def stop() -> None:
        child_is_asked.wait(30)
        forks.close()

    run = forks.run

    def run_and_tell(task: Any) -> Any:
        child = run(task)
        child_is_asked.set()
        return child

    forks.run = run_and_tell  # type: ignore[method-assign]
    thread = threading.Thread(target=stop)
    thread.start()
    assert not fetch_next(forks)
    thread.join()
    dataset.refresh_from_db()
    assert (dataset.state, dataset.warning) == ("pending", "")


def test_a_store_that_does_not_answer_is_asked_again(use, tenant, actor, forks, monkeypatch):
    now = conf.settings()
    away = conf.HttpStoreSettings(url="http://127.0.0.1:1/", connect_timeout=conf.Duration(1))
    with_away = structs.replace(now, stores={**now.stores, "away": away})
    monkeypatch.setattr(conf, "settings", lambda: with_away)
    use(sales=StoreSourceSettings(store="away", tenants=("*",)))
    dataset = fetched(tenant, forks, actor, path="late.csv")
    assert dataset.state == "pending"
    assert dataset.warning.startswith("It is tried again")
    assert not fetch_next(forks)  # not at once
    use(sales=StoreSourceSettings(store="default", tenants=("*",)))
    get_store("default").check()
    folder = Path(get_store("default").store._root.path) / "imports" / tenant.name  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "late.csv").write_text("n\n1\n")
    Dataset.objects.for_tenant(tenant).update(profile_until=None)
    assert fetch_next(forks)
    dataset.refresh_from_db()
    assert (dataset.state, dataset.warning) == ("ready", "")


@pytest.mark.parametrize("store", ["nowhere", "rows"])
def test_a_store_that_cannot_hold_files_of_others_is_said(use, tenant, actor, forks, monkeypatch, store):
    now = conf.settings()
    with_rows = structs.replace(now, stores={**now.stores, "rows": conf.DatabaseStoreSettings()})
    monkeypatch.setattr(conf, "settings", lambda: with_rows)
    use(sales=StoreSourceSettings(store=store, tenants=("*",)))
    dataset = fetched(tenant, forks, actor, path="a.csv")
    assert (dataset.state, "set up wrongly" in dataset.warning) == ("failed", True)


def test_only_so_many_datasets_wait_to_be_fetched(sqlite_url, use, tenant, actor):
    use(sales=SqlSourceSettings(url=sqlite_url, query="select 1 as n", tenants=("*",)))
    Tenant.objects.filter(pk=tenant.pk).update(max_queued_jobs=2)
    for _ in range(2):
        request_dataset(tenant, source="sales", actor=actor)
    with pytest.raises(QuotaExceeded, match="2 datasets"):
        request_dataset(tenant, source="sales", actor=actor)
    assert Dataset.objects.for_tenant(tenant).count() == 2


def test_a_large_file_may_take_longer_to_describe():
    assert timeout_s(0) == 300.0
    assert timeout_s(2 << 30) > 4000.0
